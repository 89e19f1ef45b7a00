"""Celeb-DF v1, v2 (Li et al., CVPR 2020, github.com/yuezunli/celeb-deepfakeforensics) and Celeb-DF++ (Li et al., 2025).

Celeb-DF++ (arXiv 2507.18015, github.com/OUC-VAS/Celeb-DF-PP) keeps the reals of v2 and has fakes of 22 methods, one
folder each. The three share persons and recordings, so they share the corpus name `celeb_df`.

Label: the folder, and the test list, in which 1 means real and 0 fake; here, as everywhere, 0 is real and 1 is fake.
A swap `id<a>_id<b>_<rec>` shows person a in recording `id<a>_<rec>` with the face of person b (in a reenactment: moved
by person b); a talking face `id<a>_<rec>_<reference>` has no donor. The release lists its test videos; all others may
be trained on. The list of Celeb-DF++ was never published outside its download; without it no split is official.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from pipeline.datasets import Count, KnownList, Layout, Lists, Record, listed, no_lists
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

TEST_LIST = "List_of_testing_videos.txt"
CELEB_REAL = re.compile(r"Celeb-real/(?P<name>(?P<person>id\d+)_\d+)\.mp4")
YOUTUBE_REAL = re.compile(r"YouTube-real/(?P<name>\d+)\.mp4")
SWAP = r"(?P<name>(?P<target>id\d+)_(?P<donor>id\d+)_(?P<rec>\d+))\.mp4"
TALKING = r"(?P<name>(?P<target>id\d+)_(?P<rec>\d+)_\w+)\.mp4"
FAKES = (re.compile(rf"Celeb-synthesis/{SWAP}"),)
FAKES_BY_METHOD = (
    re.compile(rf"Celeb-synthesis/(?:FaceSwap|FaceReenact)/(?P<method>[\w-]+)/{SWAP}"),
    re.compile(rf"Celeb-synthesis/TalkingFace/(?P<method>[\w-]+)/{TALKING}"),
)
REARRANGED = (
    *[(rf"(?i:{folder})/(?:videos/)?", f"{folder}/") for folder in ("Celeb-real", "YouTube-real", "Celeb-synthesis")],
    (r"Celeb-synthesis/(\w+)/([\w-]+)/videos/", r"Celeb-synthesis/\1/\2/"),
)


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read the test list: path -> label, turned to 0 = real and 1 = fake."""
    if TEST_LIST not in files:
        return Lists(missing=(f"{TEST_LIST}; it is part of the download, place it at the root",))
    labels: dict[str, int] = {}
    for place, path, label in _entries(files[TEST_LIST]):
        if labels.setdefault(path, label) != label:
            raise UserError(f"{place}: {path} stands above with the other label")
    return Lists(files=frozenset([TEST_LIST]), named=frozenset(labels), content={"test_labels": labels})


def read_lists_if_there(files: Mapping[str, Path]) -> Lists:
    """Read the test list like `read_lists`, but do without it where it is not there."""
    return read_lists(files) if TEST_LIST in files else no_lists(files)


def _entries(file: Path) -> Iterator[tuple[str, str, int]]:
    """Yield place in the list, path and label of every entry."""
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        place = f"{file}, line {number}"
        mark, *path = line.split(maxsplit=1) or [""]
        if mark in ("0", "1") and path:
            yield place, listed(path[0], REARRANGED), REAL if mark == "1" else FAKE
        elif mark:
            raise UserError(f"{place}: expected `<1 = real, 0 = fake> <folder>/<file>`, found {line!r}")


def recognise(fakes: tuple[re.Pattern[str], ...], path: str, lists: Lists) -> Record | None:
    """Read label, method, persons and recordings from the path; videos outside the test list are the training pool."""
    test_labels = lists.content.get("test_labels")
    split = None if test_labels is None else "test" if path in test_labels else "train"
    list_label = (test_labels or {}).get(path)
    if match := CELEB_REAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="Celeb-real",
            label=REAL,
            official_split=split,
            recording=f"celeb_df/{match['name']}",
            person=f"celeb_df/{match['person']}",
            list_label=list_label,
        )
    if match := YOUTUBE_REAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="YouTube-real",
            label=REAL,
            official_split=split,
            recording=f"celeb_df/YouTube-real/{match['name']}",
            list_label=list_label,
        )
    if match := next(filter(None, (pattern.fullmatch(path) for pattern in fakes)), None):
        parts = match.groupdict()
        recording = f"{parts['target']}_{parts['rec']}"
        return Record(
            name=parts["name"],
            method=parts.get("method", "Celeb-synthesis"),
            label=FAKE,
            official_split=split,
            recording=f"celeb_df/{recording}",
            person=f"celeb_df/{parts['target']}",
            donor_person=f"celeb_df/{parts['donor']}" if "donor" in parts else None,
            original=f"Celeb-real/{recording}.mp4",
            list_label=list_label,
        )
    return None


V1 = Layout(
    "Celeb-DF v1",
    read_lists,
    partial(recognise, FAKES),
    REARRANGED,
    counts=(
        Count(158, method="Celeb-real"),
        Count(250, method="YouTube-real"),
        Count(795, method="Celeb-synthesis"),
        Count(38, "test", REAL, certain=False),
        Count(62, "test", FAKE, certain=False),
    ),
)
V2 = Layout(
    "Celeb-DF v2",
    read_lists,
    partial(recognise, FAKES),
    REARRANGED,
    counts=(
        Count(590, method="Celeb-real"),
        Count(300, method="YouTube-real"),
        Count(5639, method="Celeb-synthesis"),
        Count(108, "test", method="Celeb-real"),
        Count(70, "test", method="YouTube-real"),
        Count(340, "test", method="Celeb-synthesis"),
    ),
    known_lists={
        TEST_LIST: KnownList(
            "07063d46206e011aef9d1ad8d1854f5b87ae519ba6e452b897cc528c3dcfcdc0",
            518,
            {448: "the copy without the 70 test videos of YouTube-real, which would then be trained on"},
        )
    },
)
# The owners state 200 test videos per method of swap or reenactment and 300 per talking-face method; of the method
# Celeb-DF, users count v2's 340 in the list.
PLUS_PLUS = Layout(
    "Celeb-DF++",
    read_lists_if_there,
    partial(recognise, FAKES_BY_METHOD),
    REARRANGED,
    counts=(
        Count(590, method="Celeb-real", certain=False),
        Count(300, method="YouTube-real", certain=False),
        Count(178, "test", REAL),
        Count(340, "test", FAKE, "Celeb-DF", certain=False),
        *[
            Count(200, "test", FAKE, method)
            for method in (
                *("BlendFace", "GHOST", "HifiFace", "InSwapper", "MobileFaceSwap", "SimSwap", "UniFace"),
                *("DaGAN", "FSRT", "HyperReenact", "LIA", "LivePortrait", "MCNET", "TPSMM"),
            )
        ],
        *[
            Count(300, "test", FAKE, method)
            for method in ("AniTalker", "EchoMimic", "EDTalk", "FLOAT", "IP_LAP", "Real3DPortrait", "SadTalker")
        ],
    ),
)
LAYOUTS = {"celeb_df_v1": V1, "celeb_df_v2": V2, "celeb_df_pp": PLUS_PLUS}
