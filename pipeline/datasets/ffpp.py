"""FaceForensics++ (Rössler et al., ICCV 2019, github.com/ondyari/FaceForensics) with FaceShifter (Li et al., 2020).

Sequences 000 to 999 and five manipulations of each, at three compressions. A fake `<target>_<donor>` shows sequence
target with the face or expression of sequence donor. Label: the folder alone. The published splits are three JSON lists
of unordered pairs of sequences; a real follows its own id, a fake the split both of its ids share. The file
`conversion_dict.json` says which YouTube video a sequence was cut from: 1000 sequences come from 977. Lists and
dictionary lie in the repository, not in the download.

Masks show the forged region, one per fake for all compressions; FaceShifter has none, NeuralTextures has those of
Face2Face.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pipeline.datasets import Count, KnownList, Layout, Lists, Record, json_object
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL, SPLITS

METHODS = ("Deepfakes", "Face2Face", "FaceShifter", "FaceSwap", "NeuralTextures")
COMPRESSIONS = ("raw", "c23", "c40")
CONVERSION = "conversion_dict.json"
SEQUENCE = re.compile(r"\d{3}")
CUT = re.compile(r"(?P<youtube>\S+) \d+")
ORIGINAL = re.compile(r"original_sequences/youtube/(?P<compression>raw|c23|c40)/videos/(?P<name>\d{3})\.mp4")
MANIPULATED = re.compile(
    rf"manipulated_sequences/(?P<method>{'|'.join(METHODS)})/(?P<compression>raw|c23|c40)/videos/"
    r"(?P<name>(?P<target>\d{3})_(?P<donor>\d{3}))\.mp4"
)
# The mirror on Kaggle (xdxd003/ff-c23) holds c23 and does without levels; others leave out `videos/` or say `c0`.
FLAT = r"(?=[^/]+\.mp4\Z)"
LIST_PLACES = (
    (r"(?:dataset/)?(?:splits/)?(train|val|test)\.json\Z", r"splits/\1.json"),
    (r"(?:dataset/)?(?:splits/)?conversion_dict\.json\Z", CONVERSION),
)
REARRANGED = (
    (rf"({'|'.join(METHODS)}|DeepFakeDetection)/{FLAT}", r"manipulated_sequences/\1/c23/videos/"),
    (rf"[Oo]riginal/{FLAT}", "original_sequences/youtube/c23/videos/"),
    *[(rf"manipulated_sequences/(?i:{method})/", f"manipulated_sequences/{method}/") for method in METHODS],
    (r"((?:original|manipulated)_sequences/\w+)/[cC]0/", r"\1/raw/"),
    (r"((?:original|manipulated)_sequences/\w+)/C(23|40)/", r"\1/c\2/"),
    (rf"((?:original|manipulated)_sequences/\w+/(?:raw|c23|c40|masks))/{FLAT}", r"\1/videos/"),
    *LIST_PLACES,
)
SIDECARS = (
    (r"manipulated_sequences/\w+/masks/.*", "mask of the forged region"),
    (r"manipulated_sequences/Deepfakes/models/.*", "model that made the fakes"),
    (r"\w+_sequences/\w+/\w+/images/.*", "frame as an image; the videos are read"),
    (r"downloaded_videos.*", "footage that the sequences were cut from"),
    (r"csv/.*\.csv", "table of the mirror on Kaggle"),
)


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read the three split lists into sequence -> split, and the dictionary into sequence -> YouTube video.

    They name sequences and no files: the videos `named` are those of every method at c23.
    """
    found, missing = set(), []
    split_of: dict[str, str] = {}
    fakes: list[str] = []
    for split in SPLITS:
        file = f"splits/{split}.json"
        if file not in files:
            missing.append(f"{file}; copy it from dataset/splits of https://github.com/ondyari/FaceForensics")
            continue
        found.add(file)
        for pair in _read_pairs(files[file]):
            fakes += ["_".join(pair), "_".join(reversed(pair))]
            for sequence in pair:
                if split_of.setdefault(sequence, split) != split:
                    raise UserError(f"{files[file]}: sequence {sequence} is in {split_of[sequence]} as well")
    if CONVERSION in files:
        found.add(CONVERSION)
    names = {"original": list(split_of), "manipulated": fakes}
    folders = ("original_sequences/youtube", *[f"manipulated_sequences/{method}" for method in METHODS])
    return Lists(
        files=frozenset(found),
        named=frozenset(path for folder in folders for path in _videos(f"{folder}/c23/videos", names)),
        content={
            "split_of": split_of,
            "names": names,
            "source_of": _read_sources(files[CONVERSION]) if CONVERSION in files else {},
        },
        missing=tuple(missing),
    )


def _read_pairs(file: Path) -> list[list[str]]:
    try:
        pairs: list[list[str]] = json.loads(file.read_text(encoding="utf-8-sig"))
        if not all(SEQUENCE.fullmatch(sequence) for first, second in pairs for sequence in (first, second)):
            raise ValueError
    except (ValueError, TypeError):
        raise UserError(f'{file}: expected a JSON list of pairs of sequence ids, as ["071", "054"]') from None
    return pairs


def _read_sources(file: Path) -> dict[str, str]:
    """Read `{"<sequence>": "<YouTube id> <number of the cut>"}` into sequence -> youtube/<id>."""
    form = '{"<sequence>": "<YouTube id> <number>", ...}'
    sources = {}
    for sequence, cut in json_object(file, form).items():
        match = CUT.fullmatch(cut) if isinstance(cut, str) else None
        if match is None:
            raise UserError(f"{file}: expected {form}")
        sources[sequence] = f"youtube/{match['youtube']}"
    return sources


def recognise(path: str, lists: Lists) -> Record | None:
    """Read method, compression and both sequences from the path."""
    split_of, source_of = lists.content["split_of"], lists.content["source_of"]
    if match := ORIGINAL.fullmatch(path):
        return Record(
            name=match["name"],
            method="youtube",
            label=REAL,
            compression=match["compression"],
            official_split=split_of.get(match["name"]),
            recording=f"ffpp/{match['name']}",
            source_video=source_of.get(match["name"]),
        )
    if match := MANIPULATED.fullmatch(path):
        method, target, donor = match["method"], match["target"], match["donor"]
        same_split = split_of.get(target) == split_of.get(donor)
        mask = f"manipulated_sequences/{method}/masks/videos/{match['name']}.mp4"
        return Record(
            name=match["name"],
            method=method,
            label=FAKE,
            compression=match["compression"],
            official_split=split_of.get(target) if same_split else None,
            recording=f"ffpp/{target}",
            donor_recording=f"ffpp/{donor}",
            source_video=source_of.get(target),
            donor_source_video=source_of.get(donor),
            original=f"original_sequences/youtube/{match['compression']}/videos/{target}.mp4",
            mask=None if method == "FaceShifter" else mask,
        )
    return None


def expected(lists: Lists, present: Collection[str]) -> Iterator[str]:
    """Yield every sequence, or both orders of every pair, for each method and compression of which a video is there."""
    folders = {path.rpartition("/")[0] for path in present if ORIGINAL.fullmatch(path) or MANIPULATED.fullmatch(path)}
    for folder in sorted(folders):
        yield from _videos(folder, lists.content["names"])


def _videos(folder: str, names: Mapping[str, list[str]]) -> Iterator[str]:
    return (f"{folder}/{name}.mp4" for name in names[folder.partition("_")[0]])


LAYOUTS = {
    "ffpp": Layout(
        "FaceForensics++",
        read_lists,
        recognise,
        REARRANGED,
        sidecars=(
            (r"(original_sequences/actors|manipulated_sequences/DeepFakeDetection)/.*", "of DFD: see the layout dfd"),
            *SIDECARS,
        ),
        expected=expected,
        counts=tuple(
            Count(videos, split, method=method, compression=compression)
            for method in ("youtube", *METHODS)
            for compression in COMPRESSIONS
            for split, videos in (("train", 720), ("val", 140), ("test", 140))
        ),
        known_lists={
            "splits/train.json": KnownList("e59386911255e6fb0a79a7808ec2210536b8c0474268342694c4bca766d1b347", 1442),
            "splits/val.json": KnownList("b48cc511f66938e05356aaa9c67e150b1e3638c355db3d745225b0022884b36e", 282),
            "splits/test.json": KnownList("886f5a0da623c25820692e0d8dc33d197ddb1db527a7f1cfcb9bcbca60fe4f40", 282),
            CONVERSION: KnownList("2d5e03a3d4bd47ef0e8c84881f595ca1e1ba191928fa50dcd30a470a7173612f", 1002),
        },
    )
}
