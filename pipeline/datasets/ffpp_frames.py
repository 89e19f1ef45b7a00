"""Frames of FaceForensics++ on Kaggle: kaggle.com/datasets/fatimahirshad/faceforensics-extracted-dataset-c23.

`FF++C32-Frames/{Original,Deepfakes,Face2Face,FaceShifter,FaceSwap,NeuralTextures}/` hold five whole frames of each
video (the folder says C32, the data are c23), and `CSVs/<folder>.csv` lists them as filename,label with label = the
folder: Original is real, the others are fake. Frames of one video are one video here: splitting them at random, as is
often done, puts the same video into training and test.

The grammar of the file names is not documented. Assumed is `<target>[_<donor>]_<frame>` with three digits for each
sequence as in FaceForensics++ and a frame number that a word may precede: 000_003_frame_42.jpg, 000_12.jpg. A fake's
donor may be left out only before a word, since `000_003.jpg` would be frame 3 or donor 003. Other names are strays.

The release has no splits: they are those of FaceForensics++, if its train.json, val.json and test.json lie in splits/,
and none otherwise.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.datasets import Count, Layout, Lists, Record, csv_rows, ffpp, listed, natural_order
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

METHOD = "|".join(ffpp.METHODS)
FRAME = r"[_-](?:[A-Za-z]+[_-]?)?\d+\.(?:jpg|jpeg|png)"
ORIGINAL = re.compile(rf"Original/(?P<target>\d{{3}}){FRAME}")
MANIPULATED = re.compile(
    rf"(?P<method>{METHOD})/(?P<name>(?P<target>\d{{3}})(?:_(?P<donor>\d{{3}})|(?=[_-][A-Za-z]))){FRAME}"
)
LIST = re.compile(rf"CSVs/(?:Original|{METHOD})\.csv")


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read which frames there should be and FaceForensics++'s lists; note the first frame of each original."""
    named: set[str] = set()
    lists = sorted(path for path in files if LIST.fullmatch(path))
    for path in lists:
        named |= _read_frames(files[path])
    sequences = ffpp.read_lists(files)
    originals: dict[str, str] = {}
    for path in sorted(files, key=natural_order):
        if match := ORIGINAL.fullmatch(path):
            originals.setdefault(match["target"], path)
    return Lists(sequences.files | set(lists), frozenset(named), {**sequences.content, "originals": originals})


def _read_frames(file: Path) -> set[str]:
    rows = csv_rows(file)
    _, header = next(rows, (1, []))
    if header != ["filename", "label"]:
        raise UserError(f"{file}, line 1: expected the columns filename,label")
    frames = set()
    for number, cells in rows:
        if len(cells) != 2 or not re.fullmatch(rf"Original|{METHOD}", cells[1]):
            raise UserError(f"{file}, line {number}: expected <file>,<Original or method>")
        frames.add(listed(f"{cells[1]}/{cells[0]}"))
    return frames


def recognise(path: str, lists: Lists) -> Record | None:
    """Read method and sequences from the path; a fake is in the split that both of its sequences share."""
    split_of, source_of = lists.content["split_of"], lists.content["source_of"]
    if match := ORIGINAL.fullmatch(path):
        return Record(
            name=match["target"],
            method="Original",
            label=REAL,
            compression="c23",
            official_split=split_of.get(match["target"]),
            recording=f"ffpp/{match['target']}",
            source_video=source_of.get(match["target"]),
        )
    if match := MANIPULATED.fullmatch(path):
        target, donor = match["target"], match["donor"]
        splits = {split_of.get(target), split_of.get(donor or target)}
        return Record(
            name=match["name"],
            method=match["method"],
            label=FAKE,
            compression="c23",
            official_split=splits.pop() if len(splits) == 1 else None,
            recording=f"ffpp/{target}",
            donor_recording=f"ffpp/{donor}" if donor else None,
            source_video=source_of.get(target),
            donor_source_video=source_of.get(donor),
            original=lists.content["originals"].get(target),
        )
    return None


LAYOUTS = {
    "ffpp_frames": Layout(
        "FaceForensics++ frames on Kaggle",
        read_lists,
        recognise,
        rearranged=ffpp.LIST_PLACES,
        counts=tuple(Count(1_000, method=method, certain=False) for method in ("Original", *ffpp.METHODS)),
    )
}
