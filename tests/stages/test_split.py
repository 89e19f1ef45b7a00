import json
from pathlib import Path

import pandas as pd
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
    by_split = good.groupby("split").split_by.unique().map(list).to_dict()
    assert by_split == {"train": ["official"], "val": ["carved"], "test": ["official"]}
    assert set(rejected.split_by[rejected.split.notna()]) == {"official"}


def test_leaks_are_counted(finished: Path) -> None:
    leaks = tables.read(finished / f"data/split/{KEY}/leaks.parquet", tables.LEAKS)
    rows = {(row.kind, row.node): (row.train + row.val, row.test) for row in leaks.itertuples()}
    # id0_0000 and a fake of it are listed for testing, another fake of it is not.
    assert rows[("recording", "celeb_df/id0_0000")] == (1, 2)
    assert rows[("recording", "celeb_df/id1_0001")] == (1, 1)
    assert rows[("person", "celeb_df/id0")][1] == 2
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
    videos = tables.read(path, tables.VIDEOS)
    listed = (
        videos.assign(official_split=None)
        .iloc[[0]]
        .assign(video=f"{KEY}/youtube/c23/001", official_split="train", status="rejected", reason="missing")
    )
    rows = pd.concat([videos.assign(official_split=None), listed])
    tables.write(path, rows, tables.VIDEOS, order=["video"])
    assert "the published split lists name none of its 2 usable videos" in refusal(tmp_path, "split")


def ties(project: Path) -> dict[tuple[str, str, str], int]:
    rows = tables.read(project / f"data/split/{KEY}/ties.parquet", tables.TIES)
    return {(row.kind, row.split, row.tied_to): row.videos for row in rows.itertuples() if row.videos}


MATERIAL = ("recording", "source_video", "content")


def test_reported_leaks_cost_no_video(finished: Path) -> None:
    rows = tables.read(finished / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    assert "leak" not in set(rows.reason)
    # Fakes of id0_0000 and id1_0001 are left in train, the reals of two test fakes as well.
    found = {pair: videos for pair, videos in ties(finished).items() if pair[0] in MATERIAL}
    leaks = tables.read(finished / f"data/split/{KEY}/leaks.parquet", tables.LEAKS)
    of_kind = leaks[leaks.kind == "recording"]
    assert found == {
        ("recording", "train", "test"): int(of_kind.train.sum()),
        ("recording", "test", "train"): int(of_kind.test.sum()),
    }
    assert found[("recording", "train", "test")] > 0


def test_leaks_are_dropped(project: Path, celeb_tree: Path) -> None:
    before = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS).set_index("video")
    tied = ties(project)[("recording", "train", "test")]
    write_params(project, celeb_tree, {"split.on_leak": "drop"})
    run_stage(project, "split")
    after = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS).set_index("video")

    dropped = after[after.reason == "leak"]
    assert len(dropped) == tied and set(dropped.status) == {"rejected"} and dropped.group.isna().all()
    assert set(dropped.split) == {"train"} and set(dropped.split_by) == {"official"}
    assert after.drop(dropped.index).equals(before.drop(dropped.index)) and after.index.equals(before.index)
    leaks = tables.read(project / f"data/split/{KEY}/leaks.parquet", tables.LEAKS)
    assert not {kind for kind, *_ in ties(project)} & set(MATERIAL) and not set(leaks.kind) & set(MATERIAL)
    assert "person" in set(leaks.kind)  # counted, though nothing is done about them


def test_videos_beyond_the_quota_are_rejected(project: Path, celeb_tree: Path) -> None:
    before = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS).set_index("video")
    pool = before[(before.status == "ok") & before.split.isin(["train", "val"])]
    assert (pool.label == tables.FAKE).sum() > 2
    write_params(project, celeb_tree, {"split.max_videos": {"real": None, "fake": 2}})
    run_stage(project, "split")
    after = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS).set_index("video")

    beyond = after[after.reason == "video_quota"]
    assert len(beyond) == (pool.label == tables.FAKE).sum() - 2
    assert set(beyond.status) == {"rejected"} and beyond.group.isna().all() and set(beyond.label) == {tables.FAKE}
    assert set(beyond.split) == {"train"} and set(beyond.split_by) == {"official"}  # as their list says
    others = after.index[(after.status == "ok") & (after.split == "test")]
    assert after.loc[others].equals(before.loc[others]) and after.index.equals(before.index)
    assert (after.status == "ok").sum() + len(beyond) == (before.status == "ok").sum()


def test_a_quota_without_any_list(project: Path, celeb_tree: Path) -> None:
    path = project / f"data/index/{KEY}/videos.parquet"
    tables.write(path, tables.read(path, tables.VIDEOS).assign(official_split=None), tables.VIDEOS, order=["video"])
    write_params(project, celeb_tree, {"split.max_videos": {"real": 1, "fake": None}})
    run_stage(project, "split")
    rows = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    beyond = rows[rows.reason == "video_quota"]
    assert (
        len(beyond)
        and set(beyond.label) == {tables.REAL}
        and beyond.split.isna().all()
        and beyond.split_by.isna().all()
    )
    assert "in_no_list" not in set(rows.reason)
    learned = rows[(rows.status == "ok") & rows.split.isin(["train", "val"])]
    assert (learned.label == tables.REAL).sum() == 1


def test_dropping_a_whole_split_is_refused(project: Path, celeb_tree: Path) -> None:
    before = contents(project / "data")
    write_params(project, celeb_tree, {"split.on_leak": "drop", "split.leak_links": ["person", "content"]})
    path = project / f"data/index/{KEY}/videos.parquet"
    videos = tables.read(path, tables.VIDEOS)
    tables.write(path, videos.assign(person="celeb_df/id0"), tables.VIDEOS, order=["video"])
    said = refusal(project, "split")
    assert (
        "split.on_leak: drop leaves nothing of train, val; all its videos are tied to another split by person" in said
    )
    assert contents(project / "data/split") == {
        name.removeprefix("split/"): content for name, content in before.items() if name.startswith("split/")
    }


def test_leaks_stop_the_pipeline_where_asked(project: Path, celeb_tree: Path) -> None:
    before = contents(project / "data")
    leaks = tables.read(project / f"data/split/{KEY}/leaks.parquet", tables.LEAKS)
    nodes = leaks.node[leaks.kind == "recording"]
    write_params(project, celeb_tree, {"split.on_leak": "fail"})
    said = refusal(project, "split")
    assert f"tied by recording {len(nodes)} ({', '.join(sorted(nodes)[:3])}" in said and "person" not in said
    assert contents(project / "data") == before

    write_params(project, celeb_tree, {"split.on_leak": "fail", "split.leak_links": ["content", "source_video"]})
    run_stage(project, "split")  # nothing is tied by these
    assert contents(project / "data") == before


def test_two_cuts_of_one_published_video(tmp_path: Path) -> None:
    """The published validation list of FaceForensics++ holds recordings cut from videos that train has as well."""
    lists = {"train": '[["000", "001"]]', "val": '[["002", "003"]]', "test": '[["004", "005"]]'}
    for split, text in lists.items():
        (tmp_path / f"raw/splits/{split}.json").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"raw/splits/{split}.json").write_text(text)
    cuts = {f"00{number}": f"video{max(number, 2)} 0" for number in range(6)} | {"000": "video0 0"}
    (tmp_path / "raw/conversion_dict.json").write_text(json.dumps(cuts))  # 001 and 002 are both from video2
    for number in range(6):
        write_video(tmp_path / f"raw/original_sequences/youtube/c23/videos/00{number}.mp4", 4 + number)
    changes = {f"datasets.{KEY}.layout": "ffpp"}
    for on_leak in ("report", "drop"):
        write_params(tmp_path, tmp_path / "raw", changes | {"split.on_leak": on_leak})
        if on_leak == "report":
            run_stage(tmp_path, "index")
        run_stage(tmp_path, "split")
        rows = tables.read(tmp_path / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
        names = rows.video.str.split("/").str[-1]
        assert set(rows.split_by) == {"official"} and rows.split.notna().all()
        if on_leak == "report":
            assert ties(tmp_path) == {("source_video", "train", "val"): 1, ("source_video", "val", "train"): 1}
            assert set(rows.status) == {"ok"} and rows.group[names == "001"].item() == rows.group[names == "002"].item()
        else:
            assert ties(tmp_path) == {} and names[rows.reason == "leak"].tolist() == ["001"]


def test_a_dataset_without_lists_is_carved_and_says_so(
    project: Path, celeb_tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / f"data/index/{KEY}/videos.parquet"
    tables.write(path, tables.read(path, tables.VIDEOS).assign(official_split=None), tables.VIDEOS, order=["video"])
    run_stage(project, "split")
    assert capsys.readouterr().err == (
        f"split {KEY}: no published split; 8 groups tied by recording, source_video, content are divided; "
        "persons in any role tie them into fewer than 10: ties.parquet counts those\n"
    )
    rows = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    good = rows[rows.status == "ok"]
    assert set(good.split) == {"train", "val", "test"} and set(good.split_by) == {"carved"}
    assert (good.groupby("group").split.nunique() == 1).all()
    assert rows.split[rows.status != "ok"].isna().all()
    assert {kind for kind, *_ in ties(project)} == {"person", "target_person", "donor_person"}

    write_params(project, celeb_tree, {"split.test": 0, "split.validation": 0})
    run_stage(project, "split")
    rows = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS)
    assert set(rows.split.dropna()) == {"train"}


def test_videos_that_were_not_asked_for_belong_to_no_split(project: Path) -> None:
    path = project / f"data/index/{KEY}/videos.parquet"
    videos = tables.read(path, tables.VIDEOS)
    here = videos.index[videos.reason == "truncated"][0]
    for reason, expected in (("not_selected", True), ("not_in_subset", True), ("too_short", False)):
        videos.loc[here, "reason"] = reason
        tables.write(path, videos, tables.VIDEOS, order=["video"])
        run_stage(project, "split")
        rows = tables.read(project / f"data/split/{KEY}/videos.parquet", tables.ASSIGNMENTS).set_index("video")
        assert pd.isna(rows.split[videos.video[here]]) == pd.isna(rows.split_by[videos.video[here]]) == expected


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
        ({"split.test": 0.6}, "split.test: Input should be less than or equal to 0.5"),
        ({"split.on_leak": "repair"}, "split.on_leak: Input should be 'report', 'drop' or 'fail' (got 'repair')"),
        ({"split.leak_links": ["persons"]}, "split.leak_links.0: Input should be 'recording', 'source_video'"),
        ({"split.leak_links": []}, "split.leak_links: List should have at least 1 item"),
        (
            {"split.max_videos": {"real": 0, "fake": None}},
            "split.max_videos.real: Input should be greater than or equal",
        ),
        ({"split.max_videos": {"reals": 3}}, "split.max_videos.reals: Extra inputs are not permitted"),
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
