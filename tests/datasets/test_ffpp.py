"""FaceForensics++: unordered pairs, methods, compressions, masks, YouTube videos, re-arrangements, published lists."""

import json
import re
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import Lists, Record, load_layout
from pipeline.datasets.ffpp import COMPRESSIONS, CONVERSION, METHODS
from pipeline.errors import UserError
from pipeline.params import Dataset
from pipeline.recognition import recognise
from pipeline.tables import FAKE, REAL

FFPP = load_layout("ffpp")
SPLITS = {"train": [["071", "054"], ["000", "003"]], "val": [["720", "672"]], "test": [["953", "974"]]}
SEQUENCES = sorted(sequence for pairs in SPLITS.values() for pair in pairs for sequence in pair)
FAKES = ["000_003", "003_000", "054_071", "071_054", "672_720", "720_672", "953_974", "974_953"]


def files(folder: Path, /, **contents: object) -> dict[str, Path]:
    """Write lists as JSON and return them by published path; None leaves one out."""
    found = {}
    for name, content in (SPLITS | contents).items():
        published = f"{name}.json" if name == "conversion_dict" else f"splits/{name}.json"
        found[published] = folder / f"{name}.json"
        found[published].write_text(content if isinstance(content, str) else json.dumps(content))
    return found


def read(path: str, lists: Lists) -> Record:
    record = FFPP.recognise(path, lists)
    assert record is not None
    return record


def test_lists(tmp_path: Path) -> None:
    lists = FFPP.read_lists(files(tmp_path))
    assert lists.files == {"splits/train.json", "splits/val.json", "splits/test.json"} and lists.missing == ()
    assert lists.content["split_of"]["054"] == "train" and lists.content["split_of"]["974"] == "test"
    assert len(lists.content["split_of"]) == 8
    # 8 sequences and, for each of 5 methods, both orders of 4 pairs.
    assert len(lists.named) == 8 + 5 * 8
    assert all(read(path, lists).official_split for path in lists.named)


def test_a_fake_is_named_target_donor_whatever_the_order_in_the_list(tmp_path: Path) -> None:
    lists = FFPP.read_lists(files(tmp_path, conversion_dict={"054": "-a_b 0", "071": "c-d 1"}))
    assert lists.files >= {CONVERSION}
    assert read("manipulated_sequences/Face2Face/c23/videos/054_071.mp4", lists) == Record(
        name="054_071",
        method="Face2Face",
        label=FAKE,
        compression="c23",
        official_split="train",
        recording="ffpp/054",
        donor_recording="ffpp/071",
        source_video="youtube/-a_b",
        donor_source_video="youtube/c-d",
        original="original_sequences/youtube/c23/videos/054.mp4",
        mask="manipulated_sequences/Face2Face/masks/videos/054_071.mp4",
    )


def test_a_real_follows_its_own_id(tmp_path: Path) -> None:
    lists = FFPP.read_lists(files(tmp_path))
    assert read("original_sequences/youtube/c40/videos/953.mp4", lists) == Record(
        name="953", method="youtube", label=REAL, compression="c40", official_split="test", recording="ffpp/953"
    )


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_compression(tmp_path: Path, method: str, compression: str) -> None:
    path = f"manipulated_sequences/{method}/{compression}/videos/720_672.mp4"
    record = read(path, FFPP.read_lists(files(tmp_path)))
    assert (record.method, record.compression, record.label, record.official_split) == (
        method,
        compression,
        FAKE,
        "val",
    )
    # A mask serves all compressions; FaceShifter has none.
    mask = f"manipulated_sequences/{method}/masks/videos/720_672.mp4"
    assert record.mask == (None if method == "FaceShifter" else mask)


@pytest.mark.parametrize("name", ["071_953", "071_500", "500_501"])
def test_a_fake_across_splits_is_in_none(tmp_path: Path, name: str) -> None:
    record = read(f"manipulated_sequences/Deepfakes/c23/videos/{name}.mp4", FFPP.read_lists(files(tmp_path)))
    assert record.official_split is None


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("original_sequences/actors/c23/videos/01__exit_phone_room.mp4", "layout dfd"),
        ("manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4", "layout dfd"),
        ("manipulated_sequences/Deepfakes/masks/videos/071_054.mp4", "mask"),
        ("manipulated_sequences/Deepfakes/models/071_054/encoder.h5", "model"),
        ("downloaded_videos/-a_b/-a_b.mp4", "cut from"),
        ("downloaded_videos_info.zip", "cut from"),
        ("original_sequences/youtube/c23/images/071/0001.png", "frame"),
        ("csv/FF++_Metadata.csv", "Kaggle"),
        ("manipulated_sequences/Deepfakes/c23/videos/071.mp4", None),
        ("original_sequences/youtube/c30/videos/071.mp4", None),
        ("original_sequences/youtube/c23/videos/71.mp4", None),
        ("manipulated_sequences/Other/c23/videos/071_054.mp4", None),
    ],
)
def test_what_is_no_video(tmp_path: Path, path: str, what: str | None) -> None:
    assert FFPP.recognise(path, FFPP.read_lists(files(tmp_path))) is None
    assert FFPP.published(path) == path
    said = next((meaning for pattern, meaning in FFPP.sidecars if re.fullmatch(pattern, path)), None)
    assert said is None if what is None else what in str(said)


@pytest.mark.parametrize(
    "pairs",
    [
        "no JSON",
        {"071": "054"},
        ["071", "054"],
        ["ab", "cd"],
        [[71, 54]],
        [["071"]],
        [["071", "054", "000"]],
        [[["071"], "054"]],
        [["71", "54"]],
        None,
        3,
    ],
)
def test_malformed_list(tmp_path: Path, pairs: object) -> None:
    with pytest.raises(UserError, match=r"val\.json: expected a JSON list of pairs"):
        FFPP.read_lists(files(tmp_path, val=pairs))


@pytest.mark.parametrize("cuts", ["no JSON", ["071"], {"071": 3}, {"071": "-a_b"}, {"071": None}, 3, {"071": "a b 0"}])
def test_malformed_dictionary(tmp_path: Path, cuts: object) -> None:
    with pytest.raises(UserError, match=r"conversion_dict\.json: expected"):
        FFPP.read_lists(files(tmp_path, conversion_dict=cuts))


def test_sequence_in_two_lists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"val\.json: sequence 054 is in train as well"):
        FFPP.read_lists(files(tmp_path, val=[["720", "054"]]))


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    found = files(tmp_path)
    del found["splits/test.json"]
    lists = FFPP.read_lists(found)
    assert len(lists.missing) == 1 and lists.missing[0].startswith("splits/test.json; copy it from ")
    assert read("original_sequences/youtube/c23/videos/953.mp4", lists).official_split is None


def test_expected_are_all_videos_of_the_folders_that_are_there(tmp_path: Path) -> None:
    lists = FFPP.read_lists(files(tmp_path))
    present = [
        "original_sequences/youtube/c40/videos/000.mp4",
        "manipulated_sequences/FaceSwap/raw/videos/000_003.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4",
        "notes.txt",
    ]
    assert sorted(FFPP.expected(lists, present)) == [
        *[f"manipulated_sequences/FaceSwap/raw/videos/{name}.mp4" for name in FAKES],
        *[f"original_sequences/youtube/c40/videos/{name}.mp4" for name in SEQUENCES],
    ]
    assert list(FFPP.expected(lists, [])) == []


@pytest.mark.parametrize(
    ("found", "published"),
    [
        # The mirror on Kaggle
        ("original/071.mp4", "original_sequences/youtube/c23/videos/071.mp4"),
        ("Original/071.mp4", "original_sequences/youtube/c23/videos/071.mp4"),
        ("Deepfakes/071_054.mp4", "manipulated_sequences/Deepfakes/c23/videos/071_054.mp4"),
        (
            "DeepFakeDetection/01_02__meeting_serious__YVGY8LOK.mp4",
            "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__meeting_serious__YVGY8LOK.mp4",
        ),
        # No level `videos`
        ("original_sequences/youtube/c40/071.mp4", "original_sequences/youtube/c40/videos/071.mp4"),
        ("manipulated_sequences/FaceSwap/raw/071_054.mp4", "manipulated_sequences/FaceSwap/raw/videos/071_054.mp4"),
        ("manipulated_sequences/FaceSwap/masks/071_054.mp4", "manipulated_sequences/FaceSwap/masks/videos/071_054.mp4"),
        # c0
        ("original_sequences/youtube/c0/videos/071.mp4", "original_sequences/youtube/raw/videos/071.mp4"),
        (
            "manipulated_sequences/FaceShifter/c0/071_054.mp4",
            "manipulated_sequences/FaceShifter/raw/videos/071_054.mp4",
        ),
        # Lists
        ("train.json", "splits/train.json"),
        ("dataset/splits/val.json", "splits/val.json"),
        ("dataset/conversion_dict.json", "conversion_dict.json"),
        ("splits/conversion_dict.json", "conversion_dict.json"),
        # None of them
        ("more/Deepfakes/071_054.mp4", "more/Deepfakes/071_054.mp4"),
        ("other.json", "other.json"),
    ],
)
def test_rearrangements(found: str, published: str) -> None:
    assert FFPP.published(found) == published


@pytest.mark.parametrize("wrapper", ["", "FaceForensics++_C23"])
def test_the_mirror_on_kaggle(tmp_path: Path, wrapper: str) -> None:
    paths = [f"original/{name}.mp4" for name in SEQUENCES]
    paths += [f"{method}/{name}.mp4" for method in METHODS for name in FAKES]
    paths += ["DeepFakeDetection/01_02__meeting_serious__YVGY8LOK.mp4", "csv/FF++_Metadata.csv"]
    for path in paths:
        (tmp_path / wrapper / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / wrapper / path).touch()
    files(tmp_path)
    tree = recognise("ffpp", Dataset(layout="ffpp", root=tmp_path))
    assert tree.lists.missing == ()
    rows = [row for row in tree.rows if row["status"] == "ok"]
    assert {row["path"] for row in rows} == {f"{wrapper}/{path}".removeprefix("/") for path in paths[:-2]}
    assert {row["reason"] for row in tree.rows if row["status"] != "ok"} <= {"sidecar", "stray"}
    assert Counter((row["label"], row["official_split"]) for row in rows) == {
        (REAL, "train"): 4,
        (REAL, "val"): 2,
        (REAL, "test"): 2,
        (FAKE, "train"): 20,
        (FAKE, "val"): 10,
        (FAKE, "test"): 10,
    }
    assert {row["original"] for row in rows if row["recording"] == "ffpp/071"} == {None, "ffpp/youtube/c23/071"}


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    for path in ("original_sequences/youtube/c23/videos/000.mp4", "manipulated_sequences/FaceSwap/c0/000_003.mp4"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    files(tmp_path)
    rows = recognise("ffpp", Dataset(layout="ffpp", root=tmp_path)).rows
    missing = Counter((row["method"], row["compression"]) for row in rows if row["reason"] == "missing")
    assert missing == {("youtube", "c23"): 7, ("FaceSwap", "raw"): 7}


sequences = st.integers(0, 999).map("{:03d}".format)


@given(st.sampled_from(METHODS), st.sampled_from(COMPRESSIONS), sequences, sequences)
def test_published_paths_stay_as_they_are(method: str, compression: str, target: str, donor: str) -> None:
    paths = [
        f"original_sequences/youtube/{compression}/videos/{target}.mp4",
        f"manipulated_sequences/{method}/{compression}/videos/{target}_{donor}.mp4",
        f"manipulated_sequences/{method}/masks/videos/{target}_{donor}.mp4",
        f"manipulated_sequences/Deepfakes/models/{target}_{donor}/encoder.h5",
        *FFPP.known_lists,
    ]
    assert [FFPP.published(path) for path in paths] == paths


def test_the_published_lists(official: Path) -> None:
    found = {FFPP.published(file.name): file for file in (official / "ffpp").iterdir()}
    assert set(found) == set(FFPP.known_lists)
    for path, known in FFPP.known_lists.items():
        assert sha256(found[path].read_bytes()).hexdigest() == known.sha256
        assert len(found[path].read_text().splitlines()) == known.lines
    lists = FFPP.read_lists(found)
    records = [read(path, lists) for path in lists.named]
    counts = Counter((record.split, record.method, record.compression) for record in FFPP.counts)
    assert set(counts.values()) == {1}
    for count in FFPP.counts:
        if count.compression == "c23":
            named = [
                record for record in records if (record.method, record.official_split) == (count.method, count.split)
            ]
            assert len(named) == count.videos
    reals = [record for record in records if record.label == REAL]
    assert {record.name for record in reals} == {f"{number:03d}" for number in range(1000)}


def test_the_published_dictionary(official: Path) -> None:
    lists = FFPP.read_lists({FFPP.published(file.name): file for file in (official / "ffpp").iterdir()})
    reals = [record for path in lists.named if (record := read(path, lists)).label == REAL]
    splits_of: dict[str | None, list[str | None]] = {}
    for record in reals:
        splits_of.setdefault(record.source_video, []).append(record.official_split)
    shared = [splits for splits in splits_of.values() if len(splits) > 1]
    assert len(splits_of) == 977 and None not in splits_of
    assert (len(shared), sum(map(len, shared)), sum(len(set(splits)) > 1 for splits in shared)) == (22, 45, 7)
