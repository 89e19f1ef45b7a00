import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fabricated_videos import KEY
from pipeline import tables
from pipeline.errors import UserError
from pipeline.files import sha256_of_bytes
from pipeline.tars import read_member
from small_project import contents, inside, refusal, run_stage, script, write_params
from stages import extract


def read(project: Path) -> Any:
    return tables.read(project / f"data/extract/{KEY}/frames.parquet", tables.FRAMES)


def test_every_candidate_is_a_row_and_every_kept_frame_a_crop(finished: Path) -> None:
    frames = read(finished)
    ranked = tables.read(finished / f"data/reduce/{KEY}/frames.parquet", tables.RANKED)
    assert set(frames.key) == set(ranked.key) and len(frames) == len(ranked)
    kept = frames[frames.status == "kept"]
    for row in kept.itertuples():
        png = read_member(finished / f"data/extract/{KEY}" / row.tar, int(row.offset), int(row.bytes))
        assert sha256_of_bytes(png) == row.sha256
        assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape == (
            row.crop_height,
            row.crop_width,
            3,
        )
    assert kept.groupby("video").tar.nunique().max() == 1  # all crops of a video in one tar
    gone = frames[frames.status != "kept"]
    assert gone[["tar", "offset", "bytes", "sha256", "crop_x"]].isna().all(axis=None)
    assert set(frames[frames.status == "unused"].recipe) <= {""}
    assert kept.recipe.nunique() == 1 and "pyav" in kept.recipe.iloc[0]


def test_quotas_are_met_exactly(finished: Path) -> None:
    filled = tables.read(finished / f"data/extract/{KEY}/quotas.parquet", tables.FILLED)
    assert filled.split.tolist() == ["test", "test", "train", "train", "val", "val"]
    assert (filled.kept == filled.quota).all()
    assert (filled[filled.rule == "smallest_class"].groupby("split").kept.nunique() == 1).all()


@pytest.mark.parametrize(("engine", "numbers"), [("local", "124"), ("ray", "14")])  # Ray takes seconds to start
def test_the_same_bytes_whatever_the_workers_engine_and_cache(
    project: Path, finished: Path, engine: str, numbers: str
) -> None:
    expected = contents(finished / "data/extract")
    for workers in numbers:
        for _ in ("cold", "warm"):
            shutil.rmtree(project / "data/extract")
            cache = str(project / f"cache of {workers}")
            run_stage(project, "extract", VERIFRAME_WORKERS=workers, VERIFRAME_CACHE=cache, VERIFRAME_ENGINE=engine)
            assert contents(project / "data/extract") == expected


def test_killed_at_any_moment_and_started_again(project: Path, finished: Path, tmp_path: Path) -> None:
    """Killed with its workers as soon as some answers are there, three times over; no answer is made twice."""
    shutil.rmtree(project / "data/extract")
    cache = tmp_path / "cold"
    for number in (1, 4, 8):
        with script(project, "extract", VERIFRAME_CACHE=str(cache)) as process:
            while len(list(cache.rglob("[!.]*.json"))) < number and process.poll() is None:
                time.sleep(0.005)
            os.killpg(process.pid, signal.SIGKILL)
        assert not (project / f"data/extract/{KEY}/frames.parquet").exists()
        made = {path: path.stat().st_ino for path in cache.rglob("[!.]*.json")}
        assert len(made) >= number
    run_stage(project, "extract", VERIFRAME_CACHE=str(cache))
    assert contents(project / "data/extract") == contents(finished / "data/extract")
    assert made.items() <= {path: path.stat().st_ino for path in cache.rglob("[!.]*.json")}.items()


def test_a_part_fills_the_cache_and_writes_no_output(
    project: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(project / "data/extract")
    for part in ("0/2", "1/2"):
        with inside(project, VERIFRAME_CACHE="shared"):
            monkeypatch.setattr(sys, "argv", ["extract", KEY, "--shard", part])
            extract.main()
        assert not (project / "data/extract").exists()
    made = set((project / "shared").rglob("*.json"))
    run_stage(project, "extract", VERIFRAME_CACHE="shared")
    assert contents(project / "data/extract") == contents(finished / "data/extract")
    assert set((project / "shared").rglob("*.json")) == made


@pytest.mark.parametrize("part", ["2/2", "1", "a/b", "-1/2", "0/0"])
def test_parts_that_are_none(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["extract", KEY, f"--shard={part}"])
    with inside(project), pytest.raises(SystemExit) as ended:
        extract.main()
    assert ended.value.code == 2 and f"{part!r} is not i/n with i from 0 to n - 1" in capsys.readouterr().err


def test_a_quota_beyond_the_candidates(project: Path, celeb_tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_params(project, celeb_tree, {"reduce.quota.train": 1000})
    run_stage(project, "reduce")
    shutil.rmtree(project / "data/extract")
    with pytest.raises(UserError, match="the quota of train real, train fake cannot be met, as listed above"):
        run_stage(project, "extract")
    assert "tiny: train real lacks 980 of 1000 frames; of YouTube-real 4 candidates" in capsys.readouterr().err
    assert not (project / "data/extract").exists()
    write_params(project, celeb_tree, {"reduce.quota.train": 1000, "extract.on_shortfall": "warn"})
    run_stage(project, "extract")
    said = capsys.readouterr().err
    train = read(project).query("split == 'train'")
    for (label, method), part in train.groupby(["label", "method"]):
        missing = 1000 - (train.label == label).sum()
        assert (
            f"train {tables.CLASSES[label]} lacks {missing} of 1000 frames; of {method} {len(part)} candidates, "
            f"{len(part)} tried, {len(part)} good" in said
        )
    assert set(train.status) == {"kept"}


def test_a_changed_and_a_missing_file_are_rows(project: Path, celeb_tree: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for path in celeb_tree.rglob("*.mp4"):
        (raw / path.relative_to(celeb_tree)).parent.mkdir(parents=True, exist_ok=True)
        (raw / path.relative_to(celeb_tree)).symlink_to(path)
    (raw / "Celeb-real/id0_0000.mp4").unlink()
    (raw / "Celeb-real/id0_0000.mp4").write_bytes(b"another")
    (raw / "Celeb-real/id0_0001.mp4").unlink()
    write_params(project, raw)
    run_stage(project, "extract", VERIFRAME_CACHE=str(tmp_path / "empty"))
    frames = read(project)
    name = frames.video.str.rsplit("/", n=1).str[-1]
    tried = frames.status != "unused"
    assert set(frames.reason[tried & (name == "id0_0000")]) == {"changed_since_index"}
    assert set(frames.reason[tried & (name == "id0_0001")]) == {"missing"}
    assert set(frames.reason[~name.isin(["id0_0000", "id0_0001"])]) == {""}
    filled = tables.read(project / f"data/extract/{KEY}/quotas.parquet", tables.FILLED)
    assert (filled[filled.rule == "smallest_class"].groupby("split").kept.nunique() == 1).all()


def test_the_raw_folder_is_gone(project: Path, tmp_path: Path) -> None:
    write_params(project, tmp_path / "gone")
    with pytest.raises(UserError, match=r"there is no folder .*gone; extract needs the raw videos"):
        run_stage(project, "extract")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extract.faces": "yolo"}, "extract.faces: Input should be 'mtcnn' or 'none' (got 'yolo')"),
        ({"extract.margin": -0.1}, "extract.margin: Input should be greater than or equal to 0"),
        ({"extract.min_face": 5}, "extract.min_face: Input should be greater than or equal to 20"),
        ({"extract.min_probability": 90}, "extract.min_probability: Input should be less than or equal to 1"),
        ({"extract.boxes": "mine"}, "extract.boxes: Input should be 'per_video' or 'from_original' (got 'mine')"),
        ({"extract.crop_quality": 10}, "extract.crop_quality: Input should be greater than or equal to 50"),
        ({"extract.min_sharpness": -1}, "extract.min_sharpness: Input should be greater than or equal to 0"),
        ({"extract.on_shortfall": "go"}, "extract.on_shortfall: Input should be 'warn' or 'fail' (got 'go')"),
        ({"extract.tars": 0}, "extract.tars: Input should be greater than or equal to 1"),
        ({"extract.timeout": 0}, "extract.timeout: Input should be greater than 0"),
    ],
)
def test_bad_values(project: Path, celeb_tree: Path, changes: dict[str, Any], said: str) -> None:
    write_params(project, celeb_tree, changes)
    assert said in refusal(project, "extract")
