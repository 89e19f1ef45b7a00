"""Image sets: scanned, read back exactly, and taken through the pipeline without a video decoder."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fabricated_videos import KEY, picture
from pipeline import images, tables
from pipeline.files import sha256_of_bytes, sha256_of_text
from pipeline.video import VideoError
from small_project import STAGES, contents, run_stage, write_params

CHANGES = {
    f"datasets.{KEY}.layout": "image_folder",
    "sample.every": 1,
    "reduce.quota": {"train": "none", "val": "none", "test": "none"},
}


def write_image(path: Path, number: int, size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(number, *size))
    return path


def hash_of(path: Path) -> str:
    return sha256_of_bytes(path.read_bytes())


@pytest.mark.parametrize(("suffix", "kind"), [("png", "png"), ("jpg", "jpeg"), ("webp", "webp"), ("bmp", "bmp")])
def test_a_single_image(tmp_path: Path, suffix: str, kind: str) -> None:
    path = write_image(tmp_path / f"a.{suffix}", 3)
    facts = images.scan([path])
    assert (facts["width"], facts["height"], facts["frames"], facts["container"]) == (64, 48, 1, kind)
    assert facts["sha256"] == hash_of(path) and facts["image_sha256"] == [hash_of(path)]
    assert facts["bytes"] == path.stat().st_size and facts["pts"] == facts["key_frames"] == [0]


def test_a_png_that_is_called_jpg_is_known_for_what_it_is(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 1)
    assert images.scan([path.rename(tmp_path / "a.jpg")])["container"] == "png"


def test_the_frames_of_a_video(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.png", number) for number in range(4)]
    facts = images.scan(paths)
    assert facts["frames"] == 4 and facts["pts"] == [0, 1, 2, 3]
    assert facts["sha256"] == sha256_of_text(*[hash_of(path) for path in paths])
    assert facts["sha256"] != images.scan(paths[::-1])["sha256"]
    assert facts["bytes"] == sum(path.stat().st_size for path in paths)


def test_images_that_cannot_be_read_stay_frames_and_are_named(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.png", number) for number in range(4)]
    paths[0].write_bytes(b"")
    paths[2].write_bytes(paths[2].read_bytes()[:60])
    facts = images.scan(paths)
    assert facts["frames"] == 4 and facts["width"] == 64
    assert facts["detail"] == "2 of 4 images cannot be decoded: 0.png, 2.png"
    with pytest.raises(VideoError) as error:
        images.scan([paths[0]])
    assert error.value.reason == "unreadable"


def test_decode_answers_every_image_once(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.png", number) for number in range(4)]
    paths[1].write_bytes(b"no image")
    hashes = [hash_of(path) for path in paths]
    paths[2].write_bytes(paths[3].read_bytes())
    paths[3].unlink()
    answers = list(images.decode(paths, hashes))
    assert [reason for _, reason in answers] == ["", "corrupt_frame", "changed_since_index", "missing"]
    assert answers[0][0] is not None
    # OpenCV wrote the numbers as blue, green, red.
    np.testing.assert_array_equal(answers[0][0], picture(0, 64, 48)[:, :, ::-1])


@pytest.fixture(scope="module")
def taken_through(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with single images and frame folders after the stages from index to shard."""
    project = tmp_path_factory.mktemp("images")
    root = project / "raw"
    number = 0
    for split, single, sequences in (("train", 8, 4), ("test", 3, 2)):
        for label in ("real", "fake"):
            for place in range(single):
                number += 1
                write_image(root / split / label / f"{place}.jpg", number)
            for place in range(sequences):
                for frame in range(12):
                    number += 1
                    write_image(root / split / label / f"walk{place}" / f"frame{frame}.png", number)
    (root / "train/fake/walk0/frame11.png").write_bytes(b"damaged")
    write_params(project, root, CHANGES)
    for stage in STAGES:
        run_stage(project, stage)
    return project


def test_images_become_samples(taken_through: Path) -> None:
    videos = tables.read(taken_through / f"data/index/{KEY}/videos.parquet", tables.VIDEOS)
    assert len(videos) == 2 * (8 + 4) + 2 * (3 + 2) and set(videos.media) == {"images"}
    assert (videos.status == "ok").all()  # single images are not too short
    frames = tables.read(taken_through / f"data/extract/{KEY}/frames.parquet", tables.FRAMES)
    assert frames.time_s.isna().all()
    assert len(frames) == videos.frames.sum() == 2 * (8 + 4 * 12) + 2 * (3 + 2 * 12)
    assert frames[frames.status == "failed"].reason.tolist() == ["corrupt_frame"]
    samples = tables.read(taken_through / f"data/shard/{KEY}/samples.parquet", tables.SAMPLES)
    assert len(samples) == (frames.status == "kept").sum() > 50
    findings = pd.read_parquet(taken_through / f"data/index/{KEY}/findings.parquet")
    assert findings[findings.code == "unreadable_images"].detail.str.contains("frame11.png").all()
    # Frames of one folder are one video: never on both sides.
    split = tables.read(taken_through / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    assert set(split.split) == {"train", "val", "test"}
    assert frames.groupby("video").split.nunique().max() == 1


def test_images_give_the_same_bytes_twice(taken_through: Path, tmp_path: Path) -> None:
    root = taken_through / "raw"
    write_params(tmp_path, root, CHANGES)
    for stage in STAGES:
        run_stage(tmp_path, stage, VERIFRAME_WORKERS="2")
    assert contents(tmp_path / "data") == contents(taken_through / "data")


def test_an_image_that_changed_since_index_stops_the_pipeline(taken_through: Path, tmp_path: Path) -> None:
    import shutil

    from pipeline.errors import UserError

    project = shutil.copytree(taken_through, tmp_path / "project", ignore=shutil.ignore_patterns("cache", "extract"))
    write_params(project, project / "raw", CHANGES)
    write_image(project / "raw/train/real/0.jpg", 999)
    run_stage(project, "extract")
    frames = tables.read(project / f"data/extract/{KEY}/frames.parquet", tables.FRAMES)
    assert "changed_since_index" in set(frames.reason)
    with pytest.raises(UserError, match="unanswered_frame"):
        run_stage(project, "check")
