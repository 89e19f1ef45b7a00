from pathlib import Path

import pytest

from pipeline.datasets import Lists, load_layout
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL
from published import is_sidecar, read_lists, recognise, recognise_all

METADATA = {
    "aaa.mp4": {"label": "REAL", "split": "train", "original": None},
    "bbb.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
    "ccc.mp4": {"label": "FAKE", "split": "train", "original": "gone.mp4"},
    "ddd.mp4": {"label": "REAL", "split": "train"},
}


def dfdc_lists(root: Path, **lists: object) -> Lists:
    """Keyword arguments: `part` and `sample` are metadata, `labels` the text of labels.csv."""
    place = {
        "part": "dfdc_train_part_7/metadata.json",
        "sample": "train_sample_videos/metadata.json",
        "labels": "test/labels.csv",
    }
    return read_lists(root, "dfdc", {place[name]: content for name, content in lists.items()})


def test_a_training_part(tmp_path: Path) -> None:
    lists = dfdc_lists(tmp_path, part=METADATA)
    assert lists.files == {"dfdc_train_part_7/metadata.json"} and lists.missing == ()
    assert lists.named == {f"dfdc_train_part_7/{name}" for name in METADATA}

    real, fake, orphan = (recognise("dfdc", f"dfdc_train_part_7/{name}.mp4", lists) for name in ("aaa", "bbb", "ccc"))
    assert (real.label, real.method, real.official_split, real.original) == (REAL, "original", "train", None)
    assert (fake.label, fake.method, fake.original) == (FAKE, "unknown", "dfdc_train_part_7/aaa.mp4")
    assert real.recording == fake.recording == "dfdc/aaa"  # ties the fake to its original
    assert orphan.recording == "dfdc/gone"
    assert (real.name, real.person) == ("dfdc_train_part_7/aaa", None)


def test_labels_csv_says_one_for_fake(tmp_path: Path) -> None:
    lists = dfdc_lists(tmp_path, labels="filename,label\naaa.mp4,0\nbbb.mp4,1\n")
    assert lists.named == {"test/aaa.mp4", "test/bbb.mp4"}
    real, fake = recognise("dfdc", "test/aaa.mp4", lists), recognise("dfdc", "test/bbb.mp4", lists)
    assert (real.label, fake.label) == (REAL, FAKE)
    assert (fake.official_split, fake.original, fake.name) == ("test", None, "bbb")


def test_kaggles_sample_beside_full_parts(tmp_path: Path) -> None:
    lists = dfdc_lists(tmp_path, part=METADATA, sample={"bbb.mp4": METADATA["bbb.mp4"]})
    part, sample = (
        recognise("dfdc", f"{folder}/bbb.mp4", lists) for folder in ("dfdc_train_part_7", "train_sample_videos")
    )
    assert (sample.label, sample.official_split, sample.original) == (FAKE, "train", "train_sample_videos/aaa.mp4")
    assert part.name != sample.name  # two files, two keys ...
    assert part.recording == sample.recording == "dfdc/aaa"  # ... of one recording


def test_videos_without_metadata_have_no_label(tmp_path: Path) -> None:
    lists = dfdc_lists(tmp_path, part=METADATA)
    for path in ("dfdc_train_part_7/zzz.mp4", "dfdc_train_part_8/aaa.mp4"):
        record = recognise("dfdc", path, lists)
        assert (record.label, record.official_split, record.original) == (None, "train", None)


def test_kaggles_test_videos_have_no_label(tmp_path: Path) -> None:
    record = recognise("dfdc", "test_videos/aaa.mp4", dfdc_lists(tmp_path, labels="filename,label\naaa.mp4,1\n"))
    assert (record.label, record.name, record.official_split) == (None, "test_videos/aaa", "test")


@pytest.mark.parametrize(
    ("path", "published"),
    [
        ("dfdc_train_part_00/dfdc_train_part_0/aaa.mp4", "dfdc_train_part_0/aaa.mp4"),
        ("dfdc_train_part_00/metadata.json", "dfdc_train_part_0/metadata.json"),
        ("dfdc_train_part_07/aaa.mp4", "dfdc_train_part_7/aaa.mp4"),
        ("dfdc_train_part_40/aaa.mp4", "dfdc_train_part_40/aaa.mp4"),
        ("dfdc_train_part_0/aaa.mp4", "dfdc_train_part_0/aaa.mp4"),
        ("test/videos/aaa.mp4", "test/aaa.mp4"),
        ("test_videos/aaa.mp4", "test_videos/aaa.mp4"),
    ],
)
def test_rearranged_copies(path: str, published: str) -> None:
    assert load_layout("dfdc").published(path) == published


def test_a_whole_copy(tmp_path: Path) -> None:
    lists: dict[str, object] = {
        f"{part}/metadata.json": METADATA for part in ("dfdc_train_part_0", "train_sample_videos")
    }
    lists["test/labels.csv"] = "filename,label\naaa.mp4,0\n"
    paths = [path for part in lists for path in (f"{part.split('/')[0]}/{video}" for video in ("aaa.mp4", "bbb.mp4"))]
    records = recognise_all(tmp_path, "dfdc", lists, paths)
    assert len({(record.method, record.name) for record in records.values()}) == len(paths) == 6
    assert is_sidecar("dfdc", "sample_submission.csv") and is_sidecar("dfdc", "dfdc_train_part_03.zip")


@pytest.mark.parametrize(
    "path",
    [
        "aaa.mp4",
        "dfdc_train_part_x/aaa.mp4",
        "dfdc_train_part_7/aaa.avi",
        "dfdc_train_part_7/.aaa.mp4",
        "dfdc_train_part_7/more/aaa.mp4",
        "test/labels.csv",
    ],
)
def test_strangers(tmp_path: Path, path: str) -> None:
    assert load_layout("dfdc").recognise(path, dfdc_lists(tmp_path, part=METADATA)) is None


@pytest.mark.parametrize(
    "metadata",
    [
        "no JSON",
        ["aaa.mp4"],
        {"aaa.mp4": "REAL"},
        {"aaa.mp4": {}},
        {"aaa.mp4": {"label": "real"}},
        {"aaa.mp4": {"label": ["REAL"]}},
        {"aaa.mp4": {"label": "FAKE", "original": 3}},
        b"\xff\xfe",
    ],
)
def test_malformed_metadata(tmp_path: Path, metadata: object) -> None:
    with pytest.raises(UserError, match=r"dfdc_train_part_7/metadata\.json(, aaa\.mp4)?: expected"):
        dfdc_lists(tmp_path, part=metadata)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("filename,label\naaa.mp4,FAKE\n", 2),
        ("filename,label\n\naaa.mp4\n", 3),
        ("filename,label\naaa.mp4,1\naaa.mp4,0\n", 3),
        ("file,label\naaa.mp4,1\n", 1),
        ("", 1),
    ],
)
def test_malformed_labels(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(UserError, match=rf"labels\.csv, line {line}: "):
        dfdc_lists(tmp_path, labels=text)


@pytest.mark.parametrize("content", [b"filename,label\n\xff\xfe,1\n", b"\xff\xfef\x00"])
def test_labels_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"labels\.csv: expected CSV in UTF-8"):
        dfdc_lists(tmp_path, labels=content)


def test_without_any_list(tmp_path: Path) -> None:
    assert "metadata.json" in dfdc_lists(tmp_path).missing[0]
