"""Real decode traps through every stage up to shard: each ends with the right status and exact frame counts."""

import shutil
from pathlib import Path

import pytest

from fabricated_videos import KEY, write_video
from pipeline import tables
from small_project import STAGES, run_stage, write_params

# What becomes of each: a reason, or its number of frames as counted packet by packet by its README.
FRAMES = {
    "av1.mkv": 125,
    "bt709_full_range.mp4": 30,
    "corrupted_packet.mp4": 50,
    "empty_file.webm": "empty_file",
    "h264_10bits.mp4": 30,
    "one_pixel.mp4": 5,
    "rotated_180.mov": 3,
    "rotated_90.mov": 3,
    "sample_aspect_2by3.mp4": 60,
    "theora_empty_packets.ogv": 752,
    "two_video_streams.mp4": 325,
    "unordered_pts.mov": 4,
}
FINDINGS = {
    ("rotated_90.mov", "rotated"),
    ("rotated_180.mov", "rotated"),
    ("two_video_streams.mp4", "several_video_streams"),
    ("sample_aspect_2by3.mp4", "odd_pixels"),
    ("empty_file.webm", "empty_file"),
}


NONE = {"train": "none", "val": "none", "test": "none"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """The traps and two plain videos as a dataset, after every stage from index to shard; every frame is taken."""
    project = tmp_path_factory.mktemp("traps")
    root = shutil.copytree(clips / "traps", project / "raw")
    plain = [write_video(root / f"plain{number}.mp4", 20 + number).name for number in range(2)]
    lines = [f"{name},{number % 2},{'test' if number % 3 == 0 else 'train'}" for number, name in enumerate(FRAMES)]
    lines += [f"{name},{number},train" for number, name in enumerate(plain)]
    (root / "manifest.csv").write_text("\n".join(["path,label,split", *lines]))
    write_params(project, root, {f"datasets.{KEY}.layout": "manifest", "sample.every": 1, "reduce.quota": NONE})
    for stage in STAGES:
        run_stage(project, stage)
    return project


def test_index_counts_what_the_readme_counts(project: Path) -> None:
    videos = tables.read(project / f"data/index/{KEY}/videos.parquet", tables.VIDEOS).set_index("path")
    assert set(FRAMES) <= set(videos.index)
    for path, expected in FRAMES.items():
        row = videos.loc[path]
        assert (row.reason or row.frames) == expected, path
        if row.status == "ok":
            assert len(row.pts) == row.frames and list(row.pts) == sorted(set(row.pts))
    found = tables.read(project / f"data/index/{KEY}/findings.parquet", tables.FINDINGS)
    assert set(zip(found.subject, found.code, strict=True)) >= FINDINGS


def test_every_frame_is_answered(project: Path) -> None:
    frames = tables.read(project / f"data/extract/{KEY}/frames.parquet", tables.FRAMES)
    name = frames.video.str.rsplit("/", n=1).str[-1]
    assert frames.groupby(name).size().to_dict() == {
        Path(path).stem: count for path, count in FRAMES.items() if isinstance(count, int)
    } | {"plain0": 20, "plain1": 21}
    assert (frames.status != "unused").all()
    damaged = frames[frames.reason.isin(["corrupt_frame", "missing_frame"])]
    assert set(damaged.video.str.rsplit("/", n=1).str[-1]) == {"corrupted_packet"}
    assert 1 <= len(damaged) <= 50 - 28  # the 28 before the bad packet are whole
    assert damaged.frame.min() >= 28


def test_face_detection_survives_them(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "data/index", tmp_path / "data/index")
    detect = {"extract.faces": "mtcnn", "sample.every": None, "sample.count": 2, "reduce.quota": NONE}
    write_params(tmp_path, project / "raw", {f"datasets.{KEY}.layout": "manifest", **detect})
    for stage in STAGES[STAGES.index("split") : STAGES.index("check")]:
        run_stage(tmp_path, stage)
    frames = tables.read(tmp_path / f"data/extract/{KEY}/frames.parquet", tables.FRAMES)
    assert len(frames) == 2 * 13 and (frames.status != "unused").all()
    assert set(frames[frames.video.str.endswith("one_pixel")].reason) == {"no_face"}
    assert set(frames[frames.status == "failed"].reason) <= {
        "no_face",
        "small_face",
        "improbable_face",
        "missing_frame",
        "corrupt_frame",
    }
