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
from small_project import contents, refusal, run_stage, write_params


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


@pytest.mark.parametrize(("workers", "cache"), [("2", "cold"), ("2", "warm")])
def test_the_same_bytes_whatever_the_workers_and_the_cache(
    project: Path, finished: Path, workers: str, cache: str
) -> None:
    environment = {"VERIFRAME_WORKERS": workers}
    if cache == "cold":
        environment["VERIFRAME_CACHE"] = str(project / "another cache")
    run_stage(project, "extract", **environment)
    assert contents(project / "data/extract") == contents(finished / "data/extract")


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
        ({"extract.tars": 0}, "extract.tars: Input should be greater than or equal to 1"),
        ({"extract.timeout": 0}, "extract.timeout: Input should be greater than 0"),
    ],
)
def test_bad_values(project: Path, celeb_tree: Path, changes: dict[str, Any], said: str) -> None:
    write_params(project, celeb_tree, changes)
    assert said in refusal(project, "extract")
