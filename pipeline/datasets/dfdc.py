"""DFDC (Dolhansky et al., 2020): training parts with a metadata.json each, and a test folder with labels.csv.

`metadata.json` maps file -> {label: REAL|FAKE, split, original}; an original lies in the same part. `labels.csv` has
the columns filename,label with 1 = fake. Manipulation methods and persons are not published.
"""

import csv
import json
import re
from pathlib import Path

from pipeline.datasets import Lists, Record
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

TRAIN = re.compile(r"(?P<part>dfdc_train_part_\d+)/(?P<name>\w+)\.mp4")
TEST = re.compile(r"test/(?:videos/)?(?P<name>\w+)\.mp4")
LABELS = {"REAL": REAL, "FAKE": FAKE}


def read_lists(root: Path) -> Lists:
    """Read each part's metadata and the test labels into path -> (label, path of the original or None)."""
    files, entries = set(), {}
    for file in sorted(root.glob("dfdc_train_part_*/metadata.json")):
        part = file.parent.name
        files.add(f"{part}/metadata.json")
        try:
            for video, facts in json.loads(file.read_text(encoding="utf-8")).items():
                original = facts.get("original")
                entries[f"{part}/{video}"] = (LABELS[facts["label"]], f"{part}/{original}" if original else None)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f'{file}: expected {{"<file>": {{"label": "REAL" or "FAKE", ...}}, ...}}') from None
    labels = root / "test/labels.csv"
    if labels.is_file():
        files.add("test/labels.csv")
        folder = "test/videos" if (root / "test/videos").is_dir() else "test"
        try:
            with labels.open(newline="", encoding="utf-8") as rows:
                for row in csv.DictReader(rows):
                    label = {"0": REAL, "1": FAKE}[row["label"]]
                    entries[f"{folder}/{row['filename']}"] = (label, None)
        except (KeyError, UnicodeDecodeError, csv.Error):
            raise UserError(f"{labels}: expected columns filename,label with label 0 = real or 1 = fake") from None
    if not entries:
        raise UserError(f"{root}: neither dfdc_train_part_*/metadata.json nor test/labels.csv is there")
    return Lists(files=frozenset(files), named=frozenset(entries), content={"entries": entries})


def recognise(path: str, lists: Lists) -> Record | None:
    """Take label and original from the lists; a video that no list names has no label and is not recognised."""
    match = TRAIN.fullmatch(path) or TEST.fullmatch(path)
    if match is None or path not in lists.content["entries"]:
        return None
    label, original = lists.content["entries"][path]
    part = match.groupdict().get("part")
    return Record(
        name=f"{part}/{match['name']}" if part else match["name"],
        method="original" if label == REAL else "unknown",
        label=label,
        official_split="train" if part else "test",
        recording=original.removesuffix(".mp4") if original else path.removesuffix(".mp4"),
        original=original,
    )
