"""`veriframe trace` on a small project after its stages, and on one made up of tables."""

import shutil
import sys
from pathlib import Path
from unittest import mock

import cv2
import pandas as pd
import pytest

from fabricated_project import write_project
from fabricated_videos import KEY, picture
from pipeline import cli, tables, tracing
from pipeline.errors import UsageError, UserError
from small_project import inside, run_stage, write_params

STAGES = ["index", "split", "sample", "flatten", "reduce", "extract", "check", "shard", "evaluate"]
Said = dict[str, dict[str, str]]


def trace(project: Path, name: str) -> Said:
    """Return stage -> what -> value, as said in the project's root folder."""
    with inside(project):
        first, *blocks = tracing.trace(name).split("\n\n")
    said: Said = {"": {"name": first}}
    for block in blocks:
        stage, *lines = block.splitlines()
        assert all(line.startswith("  ") for line in lines)
        said[stage] = dict([*line.strip().split("  ", 1), ""][:2] for line in lines)
    assert list(said) == ["", *STAGES]
    return {stage: {what: value.strip() for what, value in facts.items()} for stage, facts in said.items()}


def rows(project: Path, stage: str, table: str = "frames") -> pd.DataFrame:
    return pd.read_parquet(project / "data" / stage / KEY / f"{table}.parquet")


# --- videos ----------------------------------------------------------------------------------------------------------


def test_a_video_through_every_stage(finished: Path) -> None:
    name = f"{KEY}/Celeb-real/native/id0_0000"
    said = trace(finished, name)
    assert said[""]["name"] == said["index"]["video"] == name
    assert said["index"]["path"] == "Celeb-real/id0_0000.mp4" and said["index"]["label"] == "real"
    assert said["index"]["frames"] == "16" and said["index"]["status"] == "ok"
    assert (said["split"]["split"], said["split"]["split_by"]) == ("test", "official")
    assert said["sample"]["candidates"] == said["flatten"]["keys"] == said["extract"]["kept"] == "4"
    reduced = rows(finished, "reduce")
    assert said["reduce"]["best rank"] == str(reduced[reduced.video == name]["rank"].min())
    samples = rows(finished, "shard", "samples")
    shards = samples[samples.video == name].shard.astype(str).value_counts()
    assert said["shard"] == {shard: f"{number} sample{'s' * (number > 1)}" for shard, number in shards.items()}
    assert list(said["evaluate"]) == ["not run yet"]


def test_a_rejected_video_says_why(finished: Path) -> None:
    said = trace(finished, "Celeb-real/id8_0000.mp4")
    assert said[""]["name"] == f"{KEY}/Celeb-real/native/id8_0000"
    assert said["index"]["reason"] == said["split"]["reason"] == said["sample"]["reason"] == "truncated"
    assert said["index"]["warning"].startswith("truncated: ")
    assert said["sample"]["candidates"] == "0"
    assert all("no row" in said[stage] for stage in ("flatten", "reduce", "extract", "shard"))


def test_a_file_is_found_by_its_place(finished: Path, celeb_tree: Path) -> None:
    file = celeb_tree / "YouTube-real/00001.mp4"
    assert trace(finished, str(file)) == trace(finished, "YouTube-real/00001.mp4")


def test_an_image_is_found_by_its_place(tmp_path: Path) -> None:
    for kind in ("real", "fake"):
        (tmp_path / f"faces/train/{kind}/clip").mkdir(parents=True)
        for frame in range(3):
            cv2.imwrite(str(tmp_path / f"faces/train/{kind}/clip/{frame}.png"), picture(frame, 32, 32))
    layout = {f"datasets.{KEY}.layout": "image_folder", f"datasets.{KEY}.root": str(tmp_path / "faces")}
    write_params(tmp_path, tmp_path / "faces", layout)
    run_stage(tmp_path, "index")
    said = trace(tmp_path, "train/fake/clip/2.png")
    assert said["index"]["path"] == "train/fake/clip/0.png" and said["index"]["frames"] == "3"
    assert said["index"]["label"] == "fake"
    assert all(list(said[stage]) == ["not run yet"] for stage in STAGES[1:])


def test_frames_by_status_and_reason(tmp_path: Path) -> None:
    write_project(tmp_path, ["one"])
    frames = pd.read_parquet(tmp_path / "data/extract/one/frames.parquet")
    failed = frames[frames.status == "failed"].iloc[0]
    said = trace(tmp_path, failed.video)
    assert said["extract"]["kept"] == "2" and said["extract"]["failed"] == "1 (no_face 1)"
    assert said["check"] == {"findings": "none about it"}
    of_frame = trace(tmp_path, failed.key)
    assert (of_frame["extract"]["status"], of_frame["extract"]["reason"]) == ("failed", "no_face")
    assert of_frame["check"]["note"].startswith("no_face: ")
    assert "no row" in of_frame["shard"] and "not run yet" in of_frame["sample"]


def test_scores(tmp_path: Path) -> None:
    write_project(tmp_path, ["one"])
    scores = pd.read_parquet(tmp_path / "data/evaluate/one/scores.parquet")
    for row in scores[scores.status == "scored"].drop_duplicates("level").itertuples():
        assert trace(tmp_path, row.key)["evaluate"]["score"] == f"{row.score:.6g}"
    unscored = scores[scores.status == "unscored"].iloc[0]
    assert trace(tmp_path, unscored.key)["evaluate"]["reason"] == "no_face"


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".jpg", ".png"])
def test_a_frame_through_every_stage(finished: Path, ending: str) -> None:
    row = rows(finished, "extract").query("status == 'kept'").iloc[5]
    sample = rows(finished, "shard", "samples").set_index("key").loc[row.key]
    quota = rows(finished, "reduce", "quotas").query("split == @row.split and label == @row.label").iloc[0]
    said = trace(finished, row.key + ending)
    assert said[""]["name"] == said["flatten"]["key"] == row.key
    assert said["index"]["video"] == row.video and said["split"]["split"] == row.split
    assert said["flatten"]["frame"] == str(row.frame)
    assert (said["reduce"]["rank"], said["reduce"]["turn"]) == (str(row["rank"]), str(row.turn))
    assert said["reduce"]["quota"].startswith(f"{quota.quota} frames of {row.split}, ")
    assert said["extract"]["status"] == "kept" and said["extract"]["tar"] == row.tar
    assert said["extract"]["crop"] == "64 x 48 at 0, 0"
    assert (said["shard"]["shard"], said["shard"]["offset"]) == (sample.shard, f"{sample.offset:,}")


def test_a_frame_of_shards_that_were_pulled_alone(project: Path) -> None:
    sample = rows(project, "shard", "samples").iloc[0]
    for folder in (project / "data").iterdir():
        if folder.name != "shard":
            shutil.rmtree(folder)
    said = trace(project, sample.key)
    assert said["shard"]["shard"] == sample.shard and "not run yet" in said["index"]


def test_stages_that_have_not_run_say_so(project: Path) -> None:
    key = rows(project, "flatten").key[0]
    for stage in ("extract", "shard"):
        shutil.rmtree(project / "data" / stage)
    said = trace(project, key)
    assert all(list(said[stage]) == ["not run yet"] for stage in ("extract", "check", "shard", "evaluate"))
    assert said["reduce"]["rank"].isdecimal()


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        (f"{KEY}/Celeb-real/native/id0_000O", f"{KEY}/Celeb-real/native/id0_0000"),
        ("id0_0001.mp4", "Celeb-real/id0_0001.mp4"),
        (f"{KEY}__YouTube-real__native__00001__f000001.jpg", f"{KEY}__YouTube-real__native__00001__f000000"),
        (f"{KEY}__YouTube-rael__native__00001__f000000", f"{KEY}/YouTube-real/native/00001"),
    ],
)
def test_unknown_names_get_the_nearest(finished: Path, name: str, nearest: str) -> None:
    with inside(finished), pytest.raises(UsageError) as refused:
        tracing.trace(name)
    said = str(refused.value)
    assert said.startswith(f"there is no video or frame {name!r}; nearest: ") and nearest in said.split(": ")[1]


def test_frames_before_flatten_has_run(project: Path) -> None:
    for stage in ("flatten", "extract", "shard"):
        shutil.rmtree(project / "data" / stage)
    with inside(project), pytest.raises(UsageError, match=f"frames of {KEY} have no keys yet"):
        tracing.trace(f"{KEY}__YouTube-real__native__00001__f000000")


def test_nothing_indexed_and_no_project(tmp_path: Path, celeb_tree: Path) -> None:
    with inside(tmp_path), pytest.raises(UserError, match=r"params\.yaml is not in"):
        tracing.trace("x")
    write_params(tmp_path, celeb_tree)
    with inside(tmp_path), pytest.raises(UserError, match="no dataset has been indexed; run `dvc repro` first"):
        tracing.trace("x")


def test_a_table_of_another_version(project: Path) -> None:
    path = project / "data/split" / KEY / "videos.parquet"
    pd.read_parquet(path).drop(columns="group").to_parquet(path)
    with (
        inside(project),
        pytest.raises(UserError, match=r"split/tiny/videos\.parquet was written by another version"),
    ):
        tracing.trace("YouTube-real/00001.mp4")


def test_the_command(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{KEY}/YouTube-real/native/00001"
    with inside(finished), mock.patch.object(sys, "argv", ["veriframe", "trace", name]):
        cli.main()
        assert capsys.readouterr().out == tracing.trace(name) + "\n"
    with inside(finished), mock.patch.object(sys, "argv", ["veriframe", "trace", "nothing"]):
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == 2 and capsys.readouterr().err.startswith("error: there is no video or frame 'nothing'")


def test_names_with_control_characters_stay_on_one_line(finished: Path, tmp_path: Path) -> None:
    project = shutil.copytree(finished, tmp_path / "odd")
    path = project / "data/index" / KEY / "videos.parquet"
    index = tables.read(path, tables.VIDEOS)
    index.loc[index.path == "notes.txt", "path"] = "odd\nname\033[31m.txt"
    tables.write(path, index, tables.VIDEOS, ["video"])
    said = trace(project, "odd\nname\033[31m.txt")
    assert said["index"]["path"] == r"odd\nname\x1b[31m.txt" and said["index"]["reason"] == "stray"
