from pathlib import Path

import pytest

from fabricated_videos import KEY, write_video
from pipeline import tables
from small_project import contents, refusal, run_stage, write_params


def test_every_video_has_a_row_and_every_good_one_a_split(finished: Path) -> None:
    videos = tables.read(finished / f"data/index/{KEY}/videos.parquet", tables.VIDEOS)
    assignments = tables.read(finished / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    assert set(assignments.video) == set(videos.video) and len(assignments) == len(videos)
    good = assignments[assignments.status == "ok"]
    assert len(good) == 17 and good.split.isin(tables.SPLITS).all() and good.group.notna().all()
    rejected = assignments[assignments.status == "rejected"]
    assert rejected.group.isna().all() and (rejected.reason != "").all()
    official = videos.set_index("video").official_split
    # A damaged video keeps the split its list gives it: evaluation says what could not be scored.
    assert rejected.set_index("video").split.equals(official[rejected.video].rename("split"))
    assert ((official[good.video] == "test").to_numpy() == (good.split == "test").to_numpy()).all()
    pool = good[good.split != "test"]
    assert (pool.groupby("group").split.nunique() == 1).all()
    assert set(good.split) == {"train", "val", "test"}


def test_leaks_are_counted(finished: Path) -> None:
    leaks = tables.read(finished / f"data/split/{KEY}/leaks.parquet", tables.LEAKS)
    rows = {(row.kind, row.node): (row.train + row.val, row.test) for row in leaks.itertuples()}
    # id0_0000 and a fake of it are listed for testing, another fake of it is not.
    assert rows[("recording", "id0_0000")] == (1, 2)
    assert rows[("recording", "id1_0001")] == (1, 1)
    assert rows[("person", "id0")][1] == 2
    assert not [kind for kind, _ in rows if kind == "content"]


def test_videos_in_no_list_are_rejected(tmp_path: Path) -> None:
    lists = {"train": '[["000", "001"]]', "val": "[]", "test": "[]"}
    for split, text in lists.items():
        (tmp_path / f"raw/splits/{split}.json").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"raw/splits/{split}.json").write_text(text)
    for name in ("000", "500"):
        write_video(tmp_path / f"raw/original_sequences/youtube/c23/videos/{name}.mp4", 4)
    write_params(tmp_path, tmp_path / "raw", {f"datasets.{KEY}.layout": "ffpp"})
    run_stage(tmp_path, "index")
    run_stage(tmp_path, "split")
    rows = tables.read(tmp_path / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS).set_index("video")
    assert rows.loc[f"{KEY}/youtube/c23/000", "split"] == "train"
    assert rows.loc[f"{KEY}/youtube/c23/500", ["status", "reason"]].tolist() == ["rejected", "in_no_list"]

    path = tmp_path / f"data/index/{KEY}/videos.parquet"
    tables.write(path, tables.read(path, tables.VIDEOS).assign(official_split=None), tables.VIDEOS, order=["video"])
    assert "the published split lists name none of its 2 usable videos" in refusal(tmp_path, "split")


def test_no_usable_video(tmp_path: Path) -> None:
    (tmp_path / "raw/Celeb-real").mkdir(parents=True)
    (tmp_path / "raw/Celeb-real/id0_0000.mp4").touch()
    (tmp_path / "raw/List_of_testing_videos.txt").write_text("")
    write_params(tmp_path, tmp_path / "raw")
    run_stage(tmp_path, "index")
    assert f"no usable video; data/index/{KEY}/findings.parquet says why" in refusal(tmp_path, "split")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split.validation": -0.1}, "split.validation: Input should be greater than or equal to 0 (got -0.1)"),
        ({"split.validation": 0.6}, "split.validation: Input should be less than or equal to 0.5"),
        ({"split.validation": float("nan")}, "split.validation"),
        ({"split.seed": 1.5}, "split.seed: Input should be a valid integer"),
        ({"split.on_leek": "drop"}, "split.on_leek: Extra inputs are not permitted"),
        ({"split.by_dataset": {"other": {}}}, "split.by_dataset may only name keys of `datasets`, not ['other']"),
        ({"split.by_dataset": {KEY: 3}}, f"`split.by_dataset.{KEY}` must be a mapping"),
        ({"split.by_dataset": [KEY]}, "`split.by_dataset` must be a mapping"),
    ],
)
def test_bad_values(project: Path, celeb_tree: Path, changes: dict, said: str) -> None:
    before = contents(project / "data")
    write_params(project, celeb_tree, changes)
    assert said in refusal(project, "split")
    assert contents(project / "data") == before


def test_an_override_for_this_dataset(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"split.by_dataset": {KEY: {"validation": 0}}})
    run_stage(project, "split")
    rows = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    assert set(rows.split.dropna()) == {"train", "test"}


def test_index_did_not_run(tmp_path: Path, celeb_tree: Path) -> None:
    write_params(tmp_path, celeb_tree)
    assert "videos.parquet is missing; run `dvc repro`" in refusal(tmp_path, "split")
