from pathlib import Path

import pytest

from pipeline.datasets import Lists, load_layout
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL
from published import read_lists, recognise

REAL_VIDEO = "original_videos/1260311/1260311_C_001.mp4"
FAKE_VIDEO = "method_B/1260311/1260311_C/1255229_1260311_C_001.mp4"
LISTED = {
    REAL_VIDEO: {"label": "real", "set": "train", "target_id": 1260311, "swapped_id": None, "augmentations": []},
    FAKE_VIDEO: {
        "label": "fake",
        "set": "test",
        "target_id": 1260311,
        "swapped_id": 1255229,
        "augmentations": ["augmentation_resolution"],
    },
}


def preview_lists(root: Path, listed: object = LISTED) -> Lists:
    return read_lists(root, "dfdc_preview", {"dataset.json": listed})


def test_names_are_donor_first(tmp_path: Path) -> None:
    fake = recognise("dfdc_preview", FAKE_VIDEO, preview_lists(tmp_path))
    # The picture is 1260311's, the face 1255229's: the other way round than in Celeb-DF and FaceForensics++.
    assert (fake.person, fake.donor_person) == ("dfdc_preview/1260311", "dfdc_preview/1255229")
    assert (fake.recording, fake.donor_recording) == ("dfdc_preview/1260311_C", None)
    assert fake.original == REAL_VIDEO
    assert (fake.label, fake.list_label, fake.method, fake.official_split) == (FAKE, FAKE, "method_B", "test")
    assert fake.name == "1260311/1260311_C/1255229_1260311_C_001"


def test_real(tmp_path: Path) -> None:
    lists = preview_lists(tmp_path)
    assert lists.files == {"dataset.json"} and lists.named == set(LISTED) and lists.missing == ()
    real = recognise("dfdc_preview", REAL_VIDEO, lists)
    assert (real.label, real.list_label, real.method, real.official_split) == (REAL, REAL, "original_videos", "train")
    assert (real.person, real.donor_person, real.recording) == ("dfdc_preview/1260311", None, "dfdc_preview/1260311_C")
    assert real.original is None


def test_the_two_methods_do_not_share_keys(tmp_path: Path) -> None:
    lists = preview_lists(tmp_path)
    a, b = (
        recognise("dfdc_preview", FAKE_VIDEO.replace("method_B", method), lists) for method in ("method_A", "method_B")
    )
    assert a.name == b.name and a.method != b.method


def test_a_video_outside_an_incomplete_list_keeps_the_label_of_its_folder(tmp_path: Path) -> None:
    record = recognise("dfdc_preview", "method_A/77/77_A/88_77_A_012.mp4", preview_lists(tmp_path))
    assert (record.label, record.list_label, record.official_split) == (FAKE, None, None)


def test_folder_and_list_can_disagree(tmp_path: Path) -> None:
    lists = preview_lists(tmp_path, {REAL_VIDEO: {"label": "fake", "set": "train"}})
    record = recognise("dfdc_preview", REAL_VIDEO, lists)
    assert (record.label, record.list_label) == (REAL, FAKE)


@pytest.mark.parametrize(
    "path",
    [
        "original_videos/1260311_C_001.mp4",
        "original_videos/1260311/1255229_1260311_C_001.avi",
        "method_C/1260311/1260311_C/1255229_1260311_C_001.mp4",
        "method_A/1260311/1260311_C/1260311_C_001.mp4",
        "dataset.json",
    ],
)
def test_strangers(tmp_path: Path, path: str) -> None:
    assert load_layout("dfdc_preview").recognise(path, preview_lists(tmp_path)) is None


@pytest.mark.parametrize(
    "listed",
    [
        "no JSON",
        [REAL_VIDEO],
        {REAL_VIDEO: "real"},
        {REAL_VIDEO: {"label": "REAL", "set": "train"}},
        {REAL_VIDEO: {"label": "real"}},
        {REAL_VIDEO: {"label": "real", "set": ["val"]}},
        b"\xff\xfe",
    ],
)
def test_malformed_list(tmp_path: Path, listed: object) -> None:
    with pytest.raises(UserError, match=r"dataset\.json(, original_videos/\S+)?: expected"):
        preview_lists(tmp_path, listed)


def test_without_its_list(tmp_path: Path) -> None:
    lists = read_lists(tmp_path, "dfdc_preview", {})
    assert lists.missing == ("dataset.json; place it at the root",)
    assert recognise("dfdc_preview", FAKE_VIDEO, lists).official_split is None
