"""Celeb-DF v2 (Li et al., CVPR 2020): Celeb-real, YouTube-real, Celeb-synthesis and one list of testing videos.

In that list 1 means real and 0 fake; here, as everywhere in Veriframe, 0 is real and 1 is fake. A fake
`id<a>_id<b>_<rec>` shows person a in recording `id<a>_<rec>` with the face of person b. There is no validation list.
"""

import re
from pathlib import Path

from pipeline.datasets import Lists, Record, find_list
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

TEST_LIST = "List_of_testing_videos.txt"
CELEB_REAL = re.compile(r"Celeb-real/(?P<name>(?P<person>id\d+)_\d+)\.mp4")
YOUTUBE_REAL = re.compile(r"YouTube-real/(?P<name>\d+)\.mp4")
SYNTHESIS = re.compile(r"Celeb-synthesis/(?P<name>(?P<target>id\d+)_(?P<donor>id\d+)_(?P<rec>\d+))\.mp4")


def read_lists(root: Path) -> Lists:
    """Read the test list: path -> label, turned to 0 = real and 1 = fake."""
    file = find_list(root, TEST_LIST)
    labels: dict[str, int] = {}
    for number, line in enumerate((root / file).read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        mark, _, path = line.strip().partition(" ")
        path = path.strip()
        if mark not in ("0", "1") or not path:
            raise UserError(
                f"{root / file}, line {number}: expected `<1 = real, 0 = fake> <folder>/<file>`, found {line!r}"
            )
        label = REAL if mark == "1" else FAKE
        if labels.setdefault(path, label) != label:
            raise UserError(f"{root / file}, line {number}: {path} stands above with the other label")
    return Lists(files=frozenset([file]), named=frozenset(labels), content={"test_labels": labels})


def recognise(path: str, lists: Lists) -> Record | None:
    """Read label, persons and recordings from the path; videos outside the test list are the training pool."""
    test_labels = lists.content["test_labels"]
    split, list_label = ("test", test_labels[path]) if path in test_labels else ("train", None)
    if match := CELEB_REAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="Celeb-real",
            label=REAL,
            official_split=split,
            recording=match["name"],
            person=match["person"],
            list_label=list_label,
        )
    if match := YOUTUBE_REAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="YouTube-real",
            label=REAL,
            official_split=split,
            recording=f"YouTube-real/{match['name']}",
            list_label=list_label,
        )
    if match := SYNTHESIS.fullmatch(path):
        recording = f"{match['target']}_{match['rec']}"
        return Record(
            name=match["name"],
            method="Celeb-synthesis",
            label=FAKE,
            official_split=split,
            recording=recording,
            person=match["target"],
            donor_person=match["donor"],
            original=f"Celeb-real/{recording}.mp4",
            list_label=list_label,
        )
    return None
