from pathlib import Path

import pytest

from fabricated_videos import KEY
from pipeline import tables
from small_project import refusal, run_stage, write_params


def read(project: Path) -> tuple:
    folder = project / f"data/sample/{KEY}"
    return tables.read(folder / "videos.parquet", tables.SAMPLED_VIDEOS), tables.read(
        folder / "frames.parquet", tables.CANDIDATES
    )


def test_every_video_is_counted(finished: Path) -> None:
    videos, frames = read(finished)
    assignments = tables.read(finished / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    assert set(videos.video) == set(assignments.video) and len(videos) == len(assignments)
    assert (videos.candidates[videos.status == "rejected"] == 0).all()
    good = videos[videos.status == "ok"]
    assert (good.candidates == (good.frames + 4) // 5).all()
    assert good.candidates.sum() == len(frames)
    assert (frames.frame % 5 == 0).all() and not frames.duplicated(["video", "frame"]).any()


def test_frames_carry_the_stamps_of_the_index(finished: Path) -> None:
    _, frames = read(finished)
    index = tables.read(finished / f"data/index/{KEY}/videos.parquet", tables.VIDEOS).set_index("video")
    for row in frames.itertuples():
        assert row.pts == index.pts[row.video][row.frame]
        assert row.time_s == pytest.approx(row.frame / 25, abs=1e-6)


def test_images_have_no_time(project: Path) -> None:
    path = project / f"data/index/{KEY}/videos.parquet"
    index = tables.read(path, tables.VIDEOS)
    image = index.video[index.status == "ok"].iloc[0]
    index.loc[index.video == image, "time_base"] = None
    tables.write(path, index, tables.VIDEOS, order=["video"])
    run_stage(project, "sample")
    _, frames = read(project)
    assert frames.video[frames.time_s.isna()].unique().tolist() == [image]
    run_stage(project, "flatten")
    run_stage(project, "reduce")
    ranked = tables.read(project / f"data/reduce/{KEY}/frames.parquet", tables.RANKED)
    assert ranked.video[ranked.time_s.isna()].unique().tolist() == [image]


def test_a_count_evenly_spaced(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"sample.every": None, "sample.count": 3})
    run_stage(project, "sample")
    videos, frames = read(project)
    assert set(videos.candidates[videos.status == "ok"]) == {3}
    last = frames.groupby("video").frame.max() + 1
    assert (last == videos.set_index("video").frames[last.index]).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sample.every": -10}, "sample.every: Input should be greater than or equal to 1 (got -10)"),
        ({"sample.every": 0}, "sample.every: Input should be greater than or equal to 1 (got 0)"),
        ({"sample.every": 2.5}, "sample.every: Input should be a valid integer"),
        ({"sample.every": True}, "sample.every: Input should be a valid integer"),
        ({"sample.count": 32}, "set exactly one of `every` and `count`"),
        ({"sample.every": None}, "set exactly one of `every` and `count`"),
        ({"sample.every": ...}, "sample.every: Field required"),
        ({"sample.evry": 10}, "sample.evry: Extra inputs are not permitted"),
        ({"sample": None}, "sample.every: Field required"),
    ],
)
def test_bad_values(project: Path, celeb_tree: Path, changes: dict, said: str) -> None:
    write_params(project, celeb_tree, changes)
    assert said in refusal(project, "sample")
