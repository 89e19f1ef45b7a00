"""FakeAVCeleb v1.2 (Khalid et al., NeurIPS 2021 Datasets and Benchmarks): forged pictures and voices of VoxCeleb2.

The label is that of the picture, which the category folder says: RealVideo-RealAudio and RealVideo-FakeAudio are real,
FakeVideo-* are fake. The categories share their persons and recordings. There is no official split.

A file `<clip>_....mp4` below `<category>/<race>/<gender>/<id>/` was made from clip `<clip>.mp4` of person `<id>`. File
names repeat across persons and categories, so the name of a video is its whole path. meta_data.csv adds methods and
donors (`target1` or `target2` where it is an id: whose face was put in or, for wav2lip, whose speech moves the lips).
Its header has nine names and an empty tenth while its rows have ten values: the column called `path` holds the file
name and the unnamed one the folder. Some copies have a mended header, so the eight columns before are found by name
and the rest by their content. A few files stand there twice with two methods; the first counts.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.datasets import Count, Layout, Lists, Record, csv_rows, listed
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

LIST = "meta_data.csv"
COLUMNS = ("source", "target1", "target2", "method", "category", "type", "race", "gender")
CATEGORY = r"(?:Real|Fake)Video-(?:Real|Fake)Audio"
VIDEO = re.compile(
    rf"(?P<category>{CATEGORY})/(?P<folder>[^/]+/(?:men|women)/(?P<person>id\d+))/(?P<clip>[^/_.]+)(?:_[^/]*)?\.mp4"
)
PERSON = re.compile(r"id\d+")


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read meta_data.csv into path -> its columns by name; without it, methods and donors stay unknown."""
    if LIST not in files:
        return Lists(content={"rows": {}})
    file = files[LIST]
    lines = csv_rows(file)
    _, header = next(lines, (1, []))
    if not set(COLUMNS) <= set(header):
        raise UserError(f"{file}, line 1: expected the columns {','.join(COLUMNS)}, then file name and folder")
    rows: dict[str, dict[str, str]] = {}
    for number, cells in lines:
        facts = dict(zip(header, cells, strict=False))
        path = _published_path(facts, cells[header.index("gender") + 1 :])
        if path is None or not re.fullmatch(CATEGORY, facts["type"]):
            raise UserError(f"{file}, line {number}: expected {','.join(COLUMNS)}, then file name and folder")
        rows.setdefault(path, facts)
    return Lists(frozenset([LIST]), frozenset(rows), {"rows": rows})


def _published_path(facts: Mapping[str, str], rest: Sequence[str]) -> str | None:
    """Join folder and file name, in whatever order `rest` has them; a folder that is not there follows from `facts`."""
    cells = [listed(cell) for cell in rest if cell]
    place = "/".join(sorted(cells, key=lambda cell: cell.endswith(".mp4")))
    if match := re.search(rf"{CATEGORY}/.*\Z", place):
        place = match[0]
    else:
        place = "/".join([*(facts.get(column, "") for column in ("type", "race", "gender", "source")), place])
    return place if VIDEO.fullmatch(place) else None


def recognise(path: str, lists: Lists) -> Record | None:
    """Read label, person and recording from the path, method and donor from meta_data.csv."""
    match = VIDEO.fullmatch(path)
    if match is None:
        return None
    facts = lists.content["rows"].get(path)
    person, clip = match["person"], match["clip"]
    fake = match["category"].startswith("Fake")
    targets = (facts["target1"], facts["target2"]) if facts and fake else ()
    donor = next((target for target in targets if PERSON.fullmatch(target)), None)
    return Record(
        name=path.removesuffix(".mp4"),
        method=(facts["method"] if facts and fake else "") or match["category"],
        label=FAKE if fake else REAL,
        recording=f"voxceleb2/{person}/{clip}",
        person=f"voxceleb2/{person}",
        donor_person=f"voxceleb2/{donor}" if donor else None,
        original=f"RealVideo-RealAudio/{match['folder']}/{clip}.mp4" if fake else None,
        list_label=None if facts is None else FAKE if facts["type"].startswith("Fake") else REAL,
    )


LAYOUTS = {
    "fakeavceleb": Layout(
        "FakeAVCeleb v1.2",
        read_lists,
        recognise,
        counts=(  # the authors' repository says 500 real and 19,500 fake
            Count(500, label=REAL, method="RealVideo-RealAudio"),
            Count(500, label=REAL, method="RealVideo-FakeAudio", certain=False),
            Count(20_544, label=FAKE, certain=False),
        ),
    )
}
