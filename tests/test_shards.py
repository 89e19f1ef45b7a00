import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import webdataset

from fabricated_videos import picture
from pipeline.crops import Alignment, final_picture
from pipeline.errors import UserError
from pipeline.files import list_files, sha256_of_bytes, sha256_of_file
from pipeline.sharding import shards
from pipeline.tars import read_member, write_tar
from small_project import contents

LOOK = {"size": 32, "alignment": "margin", "margin": 0.25, "jpeg_quality": 95}
LANDMARKS = [25, 20, 34, 19, 30, 25, 26, 30, 34, 30]
COUNTS = {"train": 3, "val": 1, "test": 2}


def kept_frames(folder: Path, videos: int, *, found: bool = True, suffix: str = ".png") -> pd.DataFrame:
    """Write loose crops of 48 x 40 at (8, 4) of their frames, and return their rows; four frames a video."""
    rows, members = [], []
    for number in range(videos):
        split = ("train", "train", "val", "test")[number % 4]
        for frame in range(4):
            crop = cv2.imencode(suffix, picture(number * 4 + frame, 48, 40))[1].tobytes()
            key = f"d__m__native__v{number}__f{frame:06d}"
            members.append((f"{key}{suffix}", crop))
            rows.append(
                {
                    "key": key,
                    "dataset": "d",
                    "video": f"d/m/native/v{number}",
                    "split": split,
                    "label": number % 2,
                    "method": "m",
                    "group": f"g{number}",
                    "frame": frame,
                    "pts": frame * 512,
                    "time_s": frame / 25,
                    "faces": 1 if found else None,
                    "chosen_by": "track" if found else "",
                    "box_x": 20 if found else None,
                    "box_y": 12 if found else None,
                    "box_width": 20 if found else None,
                    "box_height": 24 if found else None,
                    "landmarks": LANDMARKS if found else None,
                    "crop_x": 8,
                    "crop_y": 4,
                    "crop_width": 48,
                    "crop_height": 40,
                    "tar": "crops-00000.tar",
                    "bytes": len(crop),
                    "sha256": sha256_of_bytes(crop),
                }
            )
    frames = pd.DataFrame(rows)
    frames["offset"] = write_tar(folder / "crops-00000.tar", members)
    return frames


@pytest.fixture
def written(tmp_path: Path, in_process: Any) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    frames = kept_frames(tmp_path, 12)
    return tmp_path / "out", frames, shards.write_shards(frames, tmp_path, tmp_path / "out", LOOK, COUNTS, in_process)


def test_every_frame_is_in_one_shard_of_its_split(written: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    out, frames, samples = written
    assert sorted(samples.key) == sorted(frames.key)
    assert set(list_files(out)) == {
        "train/train-000000.tar",
        "train/train-000001.tar",
        "train/train-000002.tar",
        "val/val-000000.tar",
        "test/test-000000.tar",
        "test/test-000001.tar",
    }
    assert (samples.shard.str.split("/").str[0] == samples.split).all()
    assert (samples.groupby("video").shard.nunique() == 1).all()


def test_offsets_lead_to_the_pictures(written: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    out, _, samples = written
    for row in samples.itertuples():
        jpg = read_member(out / row.shard, row.offset, row.bytes)
        assert sha256_of_bytes(jpg) == row.sha256 and jpg[:2] == b"\xff\xd8"
        assert cv2.imdecode(np.frombuffer(jpg, np.uint8), cv2.IMREAD_COLOR).shape == (32, 32, 3)


def test_webdataset_reads_them(written: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    out, frames, samples = written
    urls = [str(path) for path in sorted(out.rglob("*.tar"))]
    read = {sample["__key__"]: sample for sample in webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)}
    assert set(read) == set(frames.key)
    for row in samples.itertuples():
        assert sha256_of_bytes(read[row.key]["jpg"]) == row.sha256
        told = json.loads(read[row.key]["json"])
        assert told == {
            "dataset": "d",
            "video": row.video,
            "method": "m",
            "split": row.split,
            "group": row.group,
            "label": row.label,
            "frame": row.frame,
            "pts": row.frame * 512,
            "time_s": row.frame / 25,
            "box": [20, 12, 20, 24],
            "landmarks": LANDMARKS,
            "chosen_by": "track",
        }


def test_samples_of_a_shard_are_mixed(written: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    _, _, samples = written
    largest = samples[samples.shard == samples.shard.value_counts().idxmax()].sort_values("offset")
    assert largest.video.nunique() > 1 and not largest.video.is_monotonic_increasing


def test_the_face_is_in_the_middle(tmp_path: Path, in_process: Any) -> None:
    frames = kept_frames(tmp_path, 1)
    look = LOOK | {"size": 36, "jpeg_quality": 100}
    samples = shards.write_shards(frames, tmp_path, tmp_path / "out", look, COUNTS, in_process)
    row = samples[samples.frame == 0].iloc[0]
    jpg = read_member(tmp_path / "out" / row.shard, row.offset, row.bytes)
    got = cv2.imdecode(np.frombuffer(jpg, np.uint8), cv2.IMREAD_COLOR).astype(int)
    # The box is 24 high; a quarter on each side makes 36; its corner lies at (12, 6) of the frame, (4, 2) of the crop.
    assert np.abs(got - picture(0, 48, 40)[2:38, 4:40].astype(int)).mean() < 3


def first_picture(samples: pd.DataFrame, out: Path) -> tuple[int, np.ndarray]:
    """Return the number of the picture of the first sample and its final picture, BGR."""
    row = samples.iloc[0]
    jpg = read_member(out / row.shard, row.offset, row.bytes)
    number = int(row.video[-1]) * 4 + row.frame
    return number, cv2.imdecode(np.frombuffer(jpg, np.uint8), cv2.IMREAD_COLOR).astype(int)


@pytest.mark.parametrize("alignment", ["margin", "similarity", "none"])
def test_whole_frames_are_squeezed(tmp_path: Path, in_process: Any, alignment: str) -> None:
    frames = kept_frames(tmp_path, 4, found=False)
    look = LOOK | {"alignment": alignment}
    samples = shards.write_shards(frames, tmp_path, tmp_path / "out", look, COUNTS, in_process)
    number, got = first_picture(samples, tmp_path / "out")
    expected = cv2.resize(picture(number, 48, 40), (32, 32), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(got - expected).mean() < 8
    described = read_member(tmp_path / "out" / samples.shard.iloc[0], int(samples.offset.iloc[0]), 10**6)
    assert b'"box"' not in described and b'"chosen_by"' not in described


@pytest.mark.parametrize("alignment", ["margin", "similarity", "none"])
def test_the_alignment_is_that_of_the_final_picture(tmp_path: Path, in_process: Any, alignment: Alignment) -> None:
    frames = kept_frames(tmp_path, 4)
    look = {"size": 64, "alignment": alignment, "margin": 0.1, "jpeg_quality": 100}
    samples = shards.write_shards(frames, tmp_path, tmp_path / "out", look, COUNTS, in_process)
    number, got = first_picture(samples, tmp_path / "out")
    loose = picture(number, 48, 40)
    expected = final_picture(loose, (8, 4), (20, 12, 20, 24), LANDMARKS, alignment=alignment, margin=0.1, size=64)
    assert np.abs(got - expected.astype(int)).mean() < 3


def test_loose_crops_may_be_jpegs(tmp_path: Path, in_process: Any) -> None:
    samples = shards.write_shards(
        kept_frames(tmp_path, 4, suffix=".jpg"), tmp_path, tmp_path / "out", LOOK, COUNTS, in_process
    )
    number, got = first_picture(samples, tmp_path / "out")
    loose = picture(number, 48, 40)
    expected = final_picture(loose, (8, 4), (20, 12, 20, 24), LANDMARKS, alignment="margin", margin=0.25, size=32)
    assert np.abs(got - expected.astype(int)).mean() < 10


def test_the_order_of_rows_changes_no_byte(
    written: tuple[Path, pd.DataFrame, pd.DataFrame], tmp_path: Path, in_process: Any
) -> None:
    out, frames, _ = written
    shuffled = frames.sample(frac=1, random_state=0)
    shards.write_shards(shuffled, tmp_path, tmp_path / "again", LOOK, COUNTS, in_process)
    assert contents(tmp_path / "again") == contents(out)


def test_a_video_stays_in_its_shard_when_others_are_added(tmp_path: Path, in_process: Any) -> None:
    """And a shard that none of the new ones falls into keeps its bytes."""
    frames = kept_frames(tmp_path, 9)
    few = frames[frames.video != "d/m/native/v8"]
    before = shards.write_shards(few, tmp_path, tmp_path / "few", LOOK, COUNTS, in_process)
    after = shards.write_shards(frames, tmp_path, tmp_path / "all", LOOK, COUNTS, in_process)
    place = after.set_index("key").shard
    assert (before.set_index("key").shard == place[before.key]).all()
    touched = set(after.shard[after.video == "d/m/native/v8"])
    for shard in list_files(tmp_path / "few"):
        same = sha256_of_file(tmp_path / "few" / shard) == sha256_of_file(tmp_path / "all" / shard)
        assert same == (shard not in touched)


def test_a_shard_that_cannot_be_written(tmp_path: Path, in_process: Any) -> None:
    frames = kept_frames(tmp_path, 4)
    (tmp_path / "crops-00000.tar").unlink()
    with pytest.raises(UserError, match=r"could not be written: .*crops-00000.tar") as caught:
        shards.write_shards(frames, tmp_path, tmp_path / "out", LOOK, COUNTS, in_process)
    shard = str(caught.value).split()[1]
    assert shard not in list_files(tmp_path / "out")
    assert not [path for path in list_files(tmp_path / "out") if ".part" in path]
