from pathlib import Path

import pytest

from pipeline.datasets import load_layout
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL
from published import read_lists, recognise, recognise_all, videos, walk

FAKES = [f"Deepfakes/000_003_frame_{number}.jpg" for number in (120, 60, 0)]
REALS = [f"Original/000_frame_{number}.jpg" for number in (60, 0)]
SPLITS: dict[str, object] = {
    "splits/train.json": [["003", "000"]],
    "splits/val.json": [["720", "672"]],
    "splits/test.json": [["953", "974"]],
}


def test_frames_of_a_video_are_one_video(tmp_path: Path) -> None:
    paths = [*FAKES, *REALS, "FaceSwap/000_003_frame_0.jpg"]
    assert videos(recognise_all(tmp_path, "ffpp_frames", {}, paths)) == {
        ("Deepfakes", "c23", "000_003"): FAKES[::-1],
        ("FaceSwap", "c23", "000_003"): ["FaceSwap/000_003_frame_0.jpg"],
        ("Original", "c23", "000"): REALS[::-1],
    }


def test_fake(tmp_path: Path) -> None:
    lists = read_lists(tmp_path, "ffpp_frames", SPLITS, [*FAKES, *REALS])
    fake = recognise("ffpp_frames", FAKES[0], lists)
    assert (fake.label, fake.method, fake.official_split) == (FAKE, "Deepfakes", "train")
    assert fake.compression == "c23"  # whatever the folder FF++C32-Frames says
    assert (fake.recording, fake.donor_recording) == ("ffpp/000", "ffpp/003")
    assert fake.original == "Original/000_frame_0.jpg"  # where the images of the original begin


def test_real(tmp_path: Path) -> None:
    lists = read_lists(tmp_path, "ffpp_frames", SPLITS, REALS)
    real = recognise("ffpp_frames", REALS[0], lists)
    assert (real.label, real.method, real.official_split, real.recording) == (REAL, "Original", "train", "ffpp/000")
    assert (real.original, real.donor_recording) == (None, None)


def test_splits_are_those_of_ffpp_if_given(tmp_path: Path) -> None:
    without = recognise_all(tmp_path, "ffpp_frames", {}, FAKES)
    assert {record.official_split for record in without.values()} == {None}
    lists = read_lists(tmp_path, "ffpp_frames", SPLITS)
    across = recognise("ffpp_frames", "Deepfakes/000_720_frame_1.jpg", lists)
    assert across.official_split is None and lists.missing == ()
    assert load_layout("ffpp_frames").published("dataset/splits/val.json") == "splits/val.json"


def test_youtube_videos_if_given(tmp_path: Path) -> None:
    lists = read_lists(tmp_path, "ffpp_frames", {"conversion_dict.json": {"000": "abc 1", "003": "def 0"}}, FAKES)
    fake = recognise("ffpp_frames", FAKES[0], lists)
    assert (fake.source_video, fake.donor_source_video) == ("youtube/abc", "youtube/def")


@pytest.mark.parametrize(
    ("path", "name", "donor"),
    [
        ("Deepfakes/000_003_12.jpg", "000_003", "ffpp/003"),
        ("Deepfakes/000_003_frame12.png", "000_003", "ffpp/003"),
        ("Deepfakes/000_003-f-0012.jpeg", "000_003", "ffpp/003"),
        ("NeuralTextures/000_frame_0001.jpg", "000", None),
        ("Original/000_12.jpg", "000", None),
        ("Original/000_003.jpg", "000", None),  # of an original it can only be frame 3
        ("Original/000_f0.jpg", "000", None),
    ],
)
def test_grammar(tmp_path: Path, path: str, name: str, donor: str | None) -> None:
    record = recognise_all(tmp_path, "ffpp_frames", {}, [path])[path]
    assert (record.name, record.donor_recording, record.recording) == (name, donor, "ffpp/000")


@pytest.mark.parametrize(
    "path",
    [
        "Deepfakes/000_003.jpg",  # frame 3 or donor 003
        "Deepfakes/frame_1.jpg",
        "Deepfakes/0001.jpg",
        "Original/000.jpg",
        "original/000_1.jpg",
        "DeepFakeDetection/000_003_1.jpg",
        "Deepfakes/000_003_1.mp4",
    ],
)
def test_strangers(tmp_path: Path, path: str) -> None:
    assert load_layout("ffpp_frames").recognise(path, read_lists(tmp_path, "ffpp_frames", {})) is None


def test_as_downloaded(tmp_path: Path) -> None:
    paths = [f"FF++C32-Frames/{path}" for path in [*FAKES, *REALS]]
    table = "filename,label\n000_003_frame_0.jpg,Deepfakes\n000_003_frame_999.jpg,Deepfakes\n"
    rows = walk(tmp_path, "ffpp_frames", paths, {"CSVs/Deepfakes.csv": table.encode()})
    video = rows["FF++C32-Frames/Deepfakes/000_003_frame_0.jpg"]
    assert video["images"] == [f"FF++C32-Frames/{path}" for path in FAKES[::-1]]
    assert video["original"] == "key/Original/c23/000"
    assert {path for path, row in rows.items() if row["reason"] == "missing"} == {"Deepfakes/000_003_frame_999.jpg"}


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("file,label\na.jpg,Original\n", 1),
        ("filename,label\na.jpg,fake\n", 2),
        ("filename,label\na.jpg,Original\na.jpg\n", 3),
        ("", 1),
    ],
)
def test_malformed_list(tmp_path: Path, table: str, line: int) -> None:
    with pytest.raises(UserError, match=rf"CSVs/Original\.csv, line {line}: expected"):
        read_lists(tmp_path, "ffpp_frames", {"CSVs/Original.csv": table})
