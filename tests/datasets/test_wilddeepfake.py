from pathlib import Path

import pytest

from pipeline.datasets import load_layout, no_lists
from pipeline.tables import FAKE, REAL
from published import is_sidecar, recognise, recognise_all, videos


def test_a_sequence_is_one_video_in_natural_order(tmp_path: Path) -> None:
    paths = [f"fake_train/1/fake/131/{frame}.png" for frame in (1073, 844, 99)]
    records = recognise_all(tmp_path, "wilddeepfake", {}, paths)
    assert videos(records) == {
        ("fake", "native", "fake_train/1/131"): [f"fake_train/1/fake/131/{frame}.png" for frame in (99, 844, 1073)]
    }


@pytest.mark.parametrize(
    ("folder", "label", "split"),
    [
        ("real_train", REAL, "train"),
        ("fake_train", FAKE, "train"),
        ("real_test", REAL, "test"),
        ("fake_test", FAKE, "test"),
    ],
)
def test_the_folder_gives_label_and_split(folder: str, label: int, split: str) -> None:
    kind = folder[:4]
    record = recognise("wilddeepfake", f"{folder}/6/{kind}/54/0.png", no_lists({}))
    assert (record.label, record.list_label, record.official_split, record.method) == (label, label, split, kind)
    assert (record.person, record.original, record.source_video) == (None, None, None)


def test_numbers_of_archives_and_sequences_repeat(tmp_path: Path) -> None:
    paths = [f"{folder}/1/{folder[:4]}/54/0.png" for folder in ("real_train", "real_test", "fake_train", "fake_test")]
    records = recognise_all(tmp_path, "wilddeepfake", {}, [*paths, "real_train/2/real/54/0.png"])
    assert len(videos(records)) == 5
    assert len({record.recording for record in records.values()}) == 5


def test_sequences_of_an_archive_are_tied(tmp_path: Path) -> None:
    records = recognise_all(tmp_path, "wilddeepfake", {}, [f"real_train/6/real/{number}/0.png" for number in (1, 2)])
    assert {record.recording for record in records.values()} == {"wilddeepfake/real_train/6"}


@pytest.mark.parametrize(
    ("path", "published"),
    [
        ("real_train/6/54/0.png", "real_train/6/real/54/0.png"),
        ("fake_test/6/54/0.png", "fake_test/6/fake/54/0.png"),
        ("real_train/6/real/54/0.png", "real_train/6/real/54/0.png"),
        ("real_train/6/fake/54/0.png", "real_train/6/fake/54/0.png"),
        ("real_train/6.tar.gz", "real_train/6.tar.gz"),
    ],
)
def test_without_the_level_inside_the_archive(path: str, published: str) -> None:
    assert load_layout("wilddeepfake").published(path) == published


def test_an_archive_unpacked_in_the_wrong_place_shows() -> None:
    record = recognise("wilddeepfake", "real_train/6/fake/54/0.png", no_lists({}))
    assert (record.label, record.list_label) == (REAL, FAKE)


def test_archives_are_sidecars() -> None:
    assert is_sidecar("wilddeepfake", "fake_test/12.tar.gz") and not is_sidecar("wilddeepfake", "12.tar.gz")


@pytest.mark.parametrize(
    "path",
    [
        "real_train/6/real/54.png",
        "real_val/6/real/54/0.png",
        "real_train/6/real/54/0.mp4",
        "real_train/6/real/54/._0.png",
    ],
)
def test_strangers(path: str) -> None:
    assert load_layout("wilddeepfake").recognise(path, no_lists({})) is None
