"""FaceForensics++ (Rössler et al., ICCV 2019) with FaceShifter: sequences 000 to 999 and five manipulations of each.

A fake `<target>_<donor>` shows sequence target with the face or expression of sequence donor. The published splits are
three JSON lists of unordered pairs of sequences; a real follows its own id, a fake the split both of its ids share.
The release script writes `raw` where other scripts say `c0`.
"""

import json
import re
from pathlib import Path

from pipeline.datasets import Lists, Record, find_list
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

METHODS = "Deepfakes|Face2Face|FaceShifter|FaceSwap|NeuralTextures"
SEQUENCE = re.compile(r"\d{3}")
ORIGINAL = re.compile(r"original_sequences/youtube/(?P<compression>raw|c0|c23|c40)/videos/(?P<name>\d{3})\.mp4")
MANIPULATED = re.compile(
    rf"manipulated_sequences/(?P<method>{METHODS})/(?P<compression>raw|c0|c23|c40)/videos/"
    r"(?P<name>(?P<target>\d{3})_(?P<donor>\d{3}))\.mp4"
)


def read_lists(root: Path) -> Lists:
    """Read the three split lists into sequence -> split; they lie in splits/, dataset/splits/ or at the root."""
    files: set[str] = set()
    split_of: dict[str, str] = {}
    for split in ("train", "val", "test"):
        file = find_list(root, f"splits/{split}.json", f"dataset/splits/{split}.json", f"{split}.json")
        files.add(file)
        try:
            pairs = json.loads((root / file).read_text(encoding="utf-8"))
            sequences = [sequence for first, second in pairs for sequence in (first, second)]
            if not all(SEQUENCE.fullmatch(sequence) for sequence in sequences):
                raise ValueError
        except (ValueError, TypeError):
            raise UserError(
                f'{root / file}: expected a JSON list of pairs of sequence ids, as ["071", "054"]'
            ) from None
        for sequence in sequences:
            if split_of.setdefault(sequence, split) != split:
                raise UserError(f"{root / file}: sequence {sequence} is in {split_of[sequence]} as well")
    return Lists(files=frozenset(files), content={"split_of": split_of})


def recognise(path: str, lists: Lists) -> Record | None:
    """Read method, compression and both sequences from the path."""
    split_of = lists.content["split_of"]
    if match := ORIGINAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="youtube",
            label=REAL,
            compression=_compression(match["compression"]),
            official_split=split_of.get(match["name"]),
            recording=match["name"],
        )
    if match := MANIPULATED.fullmatch(path):
        target, donor = match["target"], match["donor"]
        same_split = split_of.get(target) == split_of.get(donor)
        return Record(
            name=match["name"],
            method=match["method"],
            label=FAKE,
            compression=_compression(match["compression"]),
            official_split=split_of.get(target) if same_split else None,
            recording=target,
            donor_recording=donor,
            original=f"original_sequences/youtube/{match['compression']}/videos/{target}.mp4",
        )
    return None


def _compression(folder: str) -> str:
    return "raw" if folder == "c0" else folder
