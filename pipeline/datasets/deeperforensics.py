"""DeeperForensics-1.0 (Jiang et al., CVPR 2020, github.com/EndlessSora/DeeperForensics-1.0).

A fake `<target>_<actor>` shows sequence target of FaceForensics++ with the face of a paid actor, in eleven variants
that differ by distortion. Label: the folder alone. The actors' own footage (`source_videos`) is not the real class, its
owners say; the reals are the originals of FaceForensics++ at c23, which the release does not contain. They come from a
dataset of the layout ffpp, or from `original_sequences/youtube/c23/videos` where that folder is put below this root.
The splits are lists of fakes, disjoint in the actors; a real follows the fakes of its sequence.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pipeline.datasets import Count, Layout, Lists, Record
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL, SPLITS

VARIANTS = (
    "end_to_end",
    *[f"end_to_end_level_{level}" for level in range(1, 6)],
    "end_to_end_random_level",
    *[f"end_to_end_mix_{distortions}_distortions" for distortions in range(2, 5)],
    "reenact_postprocess",
)
NAME = re.compile(r"(?P<target>\d{3})_(?P<actor>[MW]\d{3})")
MANIPULATED = re.compile(rf"manipulated_videos/(?P<method>{'|'.join(VARIANTS)})/(?P<name>{NAME.pattern})\.mp4")
ORIGINAL = re.compile(r"original_sequences/youtube/c23/videos/(?P<name>\d{3})\.mp4")


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read the three split lists into name of a fake -> split and target -> split, and see which reals are there."""
    found, missing = set(), []
    split_of: dict[str, str] = {}
    for split in SPLITS:
        path = f"lists/splits/{split}.txt"
        if path not in files:
            missing.append(f"{path}; it is part of the download")
            continue
        found.add(path)
        for number, line in enumerate(
            files[path].read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1
        ):
            name = line.strip().removesuffix(".mp4")
            if name and not NAME.fullmatch(name):
                raise UserError(f"{files[path]}, line {number}: expected `<target>_<actor>.mp4`, found {line!r}")
            if name and split_of.setdefault(name, split) != split:
                raise UserError(f"{files[path]}, line {number}: {name} is in {split_of[name]} as well")
    return Lists(
        files=frozenset(found),
        named=frozenset(f"manipulated_videos/{variant}/{name}.mp4" for variant in VARIANTS for name in split_of),
        content={
            "split_of": split_of,
            "split_of_target": _split_of_target(split_of),
            "originals": frozenset(path for path in files if ORIGINAL.fullmatch(path)),
        },
        missing=tuple(missing),
    )


def _split_of_target(split_of: Mapping[str, str]) -> dict[str, str]:
    """Return the split of every target whose fakes are all in the same one."""
    splits: dict[str, set[str]] = {}
    for name, split in split_of.items():
        splits.setdefault(name.partition("_")[0], set()).add(split)
    return {target: next(iter(found)) for target, found in splits.items() if len(found) == 1}


def recognise(path: str, lists: Lists) -> Record | None:
    """Read variant, target and actor from the path."""
    if match := ORIGINAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="youtube",
            label=REAL,
            compression="c23",
            official_split=lists.content["split_of_target"].get(match["name"]),
            recording=f"ffpp/{match['name']}",
        )
    if match := MANIPULATED.fullmatch(path):
        original = f"original_sequences/youtube/c23/videos/{match['target']}.mp4"
        return Record(
            name=match["name"],
            method=match["method"],
            label=FAKE,
            official_split=lists.content["split_of"].get(match["name"]),
            recording=f"ffpp/{match['target']}",
            donor_person=f"deeperforensics/{match['actor']}",
            original=original if original in lists.content["originals"] else None,
        )
    return None


def expected(lists: Lists, present: Collection[str]) -> Iterator[str]:
    """Yield the listed fakes for each variant of which a video is there."""
    folders = {match[0].rpartition("/")[0] for path in present if (match := MANIPULATED.fullmatch(path))}
    return (f"{folder}/{name}.mp4" for folder in sorted(folders) for name in lists.content["split_of"])


LAYOUTS = {
    "deeperforensics": Layout(
        "DeeperForensics-1.0",
        read_lists,
        recognise,
        sidecars=(
            (r"source_videos/.*", "footage of the actors whose faces were put in; not the real class"),
            (r"lists/.*", "list that no label or split is read from"),
            (r"terms_of_use\.pdf|unzip\.sh", "of the release"),
        ),
        expected=expected,
        counts=tuple(
            Count(videos, split, FAKE, variant)
            for variant in VARIANTS
            for split, videos in (("train", 703), ("val", 96), ("test", 201))
        ),
    )
}
