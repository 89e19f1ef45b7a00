"""DFDC, the Deepfake Detection Challenge dataset (Dolhansky et al., arXiv:2006.07397), and Kaggle's samples of it.

`dfdc_train_part_<n>/` and Kaggle's `train_sample_videos/` hold videos beside a metadata.json, which maps file ->
{label: REAL|FAKE, split, original}; an original lies in the same folder. `test/labels.csv` has the columns
filename,label with 1 = fake. Kaggle's `test_videos/` have no labels. Methods and persons are not published, and up to
two actors are seen, of whom one may be forged.

A copy may hold any of these. The sample repeats videos of the parts under the same file names: the name of a video
holds its folder, its recording does not, so that copies are tied.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pipeline.datasets import Count, Layout, Lists, Record, csv_rows, json_object, listed
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

TRAIN_FOLDER = r"dfdc_train_part_\d+|train_sample_videos"
VIDEO = re.compile(rf"(?P<folder>(?P<train>{TRAIN_FOLDER})|test|test_videos)/(?P<name>\w+)\.mp4")
METADATA = re.compile(rf"(?P<folder>{TRAIN_FOLDER})/metadata\.json")

LABELS = "test/labels.csv"
Entries = dict[str, tuple[int, str | None]]


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read each part's metadata and the test labels into path -> (label, path of the original or None)."""
    found: set[str] = set()
    entries: Entries = {}
    for path in sorted(files):
        if match := METADATA.fullmatch(path):
            found.add(path)
            entries |= _read_metadata(files[path], match["folder"])
    if LABELS in files:
        found.add(LABELS)
        entries |= _read_labels(files[LABELS])
    missing = ("metadata.json of each training part or test/labels.csv; place them beside the videos",)
    return Lists(frozenset(found), frozenset(entries), {"entries": entries}, () if entries else missing)


def _read_metadata(file: Path, folder: str) -> Entries:
    entries: Entries = {}
    for video, facts in json_object(file, 'JSON {"<file>": {"label": "REAL" or "FAKE", ...}, ...}').items():
        label, original = (facts.get("label"), facts.get("original")) if isinstance(facts, dict) else (None, None)
        if label not in ("REAL", "FAKE") or not isinstance(original, str | None):
            raise UserError(f'{file}, {video}: expected {{"label": "REAL" or "FAKE", "original": "<file>" or null}}')
        entries[listed(f"{folder}/{video}")] = (
            REAL if label == "REAL" else FAKE,
            f"{folder}/{original}" if original else None,
        )
    return entries


def _read_labels(file: Path) -> Entries:
    rows = csv_rows(file)
    _, header = next(rows, (1, []))
    if header != ["filename", "label"]:
        raise UserError(f"{file}, line 1: expected the columns filename,label")
    entries: Entries = {}
    for number, cells in rows:
        if len(cells) != 2 or cells[1] not in ("0", "1"):
            raise UserError(f"{file}, line {number}: expected <file>,<0 = real, 1 = fake>")
        entry = (REAL if cells[1] == "0" else FAKE, None)
        if entries.setdefault(listed(f"test/{cells[0]}"), entry) != entry:
            raise UserError(f"{file}, line {number}: {cells[0]} stands above with the other label")
    return entries


def recognise(path: str, lists: Lists) -> Record | None:
    """Take label and original from the lists; a video that no list names has no label."""
    match = VIDEO.fullmatch(path)
    if match is None:
        return None
    label, original = lists.content["entries"].get(path, (None, None))
    return Record(
        name=match["name"] if match["folder"] == "test" else f"{match['folder']}/{match['name']}",
        method="original" if label == REAL else "unknown",
        label=label,
        official_split="train" if match["train"] else "test",
        recording=f"dfdc/{PurePosixPath(original or path).stem}",
        original=original,
    )


LAYOUTS = {
    "dfdc": Layout(
        "DFDC",
        read_lists,
        recognise,
        rearranged=(
            # A part unpacked in a folder named after its archive.
            (r"dfdc_train_part_\d+/(?=dfdc_train_part_\d+/)", ""),
            (r"dfdc_train_part_0+(?=\d)", "dfdc_train_part_"),
            (r"train/(?=dfdc_train_part_)", ""),
            (r"test/videos/", "test/"),
            (r"labels\.csv\Z", LABELS),
        ),
        sidecars=(
            (r"sample_submission\.csv", "form of a Kaggle submission"),
            (r"[\w-]+\.zip", "archive; unpack it where it lies"),
        ),
        counts=(  # other pages say 119,146 or 119,197 training videos
            Count(19_154, "train", REAL, certain=False),
            Count(100_000, "train", FAKE, certain=False),
            Count(2_500, "test", REAL),
            Count(2_500, "test", FAKE),
        ),
    )
}
