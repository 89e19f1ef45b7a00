"""DFDC Preview (Dolhansky et al., arXiv:1910.08854): two methods, 66 actors, one dataset.json.

The names are donor first, the other way round than in FaceForensics++ and Celeb-DF: a fake
`<donor>_<target>_<recording>_<clip>` shows the clip `<target>_<recording>_<clip>` with the face of actor donor.
dataset.json maps path -> {label: real|fake, set: train|test, target_id, swapped_id, augmentations}. There is no
validation set, and actors may occur in both sets, as target or as donor. The augmentations (frame rate, size or
quality of some test clips) are not read: the media facts of `index` show them.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from pipeline.datasets import Count, Layout, Lists, Record, json_object, listed
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL

DATASET = "dataset.json"
CLIP = r"(?P<clip>(?P<recording>(?P<target>\d+)_[^\W_]+)_\d+)"
ORIGINAL = re.compile(rf"original_videos/(?P<name>\d+/{CLIP})\.mp4")
SWAPPED = re.compile(rf"(?P<method>method_[AB])/(?P<name>\d+/\w+/(?P<donor>\d+)_{CLIP})\.mp4")


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read dataset.json into path -> (label, split)."""
    if DATASET not in files:
        return Lists(content={"entries": {}}, missing=(f"{DATASET}; place it at the root",))
    file = files[DATASET]
    entries = {}
    for path, facts in json_object(file, 'JSON {"<path>": {"label": ..., "set": ...}, ...}').items():
        label, split = (facts.get("label"), facts.get("set")) if isinstance(facts, dict) else (None, None)
        if label not in ("real", "fake") or split not in ("train", "test"):
            raise UserError(f'{file}, {path}: expected {{"label": "real" or "fake", "set": "train" or "test", ...}}')
        entries[listed(path)] = (REAL if label == "real" else FAKE, split)
    return Lists(frozenset([DATASET]), frozenset(entries), {"entries": entries})


def recognise(path: str, lists: Lists) -> Record | None:
    """Read label, method, actors and recording from the path, the split from dataset.json."""
    match = ORIGINAL.fullmatch(path) or SWAPPED.fullmatch(path)
    if match is None:
        return None
    list_label, split = lists.content["entries"].get(path, (None, None))
    donor = match.groupdict().get("donor")
    return Record(
        name=match["name"],
        method=match["method"] if donor else "original_videos",
        label=FAKE if donor else REAL,
        official_split=split,
        recording=f"dfdc_preview/{match['recording']}",
        person=f"dfdc_preview/{match['target']}",
        donor_person=f"dfdc_preview/{donor}" if donor else None,
        original=f"original_videos/{match['target']}/{match['clip']}.mp4" if donor else None,
        list_label=list_label,
    )


LAYOUTS = {
    "dfdc_preview": Layout(
        "DFDC Preview",
        read_lists,
        recognise,
        counts=(  # the paper's figures differ
            Count(1_131, label=REAL, certain=False),
            Count(4_119, label=FAKE, certain=False),
            Count(276, "test", REAL, certain=False),
            Count(504, "test", FAKE, certain=False),
        ),
    )
}
