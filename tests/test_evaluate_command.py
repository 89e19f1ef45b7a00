"""`veriframe evaluate`: scores that others made, judged as the stage evaluate judges its own."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from command import Outcome, veriframe
from fabricated_project import write_params, write_project
from pipeline import tables
from pipeline.evaluation.evaluate import evaluate, write

KEY = "one"
KNOBS = "evaluate: {videos: median, bootstrap: 200, seed: 3}\n"
FRAME_COLUMNS = ["video", "frame", "key", "score"]


@pytest.fixture(scope="module")
def tables_of_a_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which the tables of index, split and evaluate are there, and nothing else."""
    whole, folder = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("project")
    write_project(whole, [KEY], groups=16)
    for stage in ("index", "split", "evaluate"):
        shutil.copytree(whole / "data" / stage, folder / "data" / stage)
    return folder


@pytest.fixture
def project(tables_of_a_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(tables_of_a_project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judge(capsys: pytest.CaptureFixture[str], scores: pd.DataFrame | str, *more: str | Path) -> Outcome:
    """Run `veriframe evaluate` on `scores` as a CSV; return exit code, stdout and stderr."""
    Path("scores.csv").write_text(scores if isinstance(scores, str) else scores.to_csv(index=False))
    return veriframe(capsys, "evaluate", KEY, "--scores", "scores.csv", *more)


def judged(capsys: pytest.CaptureFixture[str], scores: pd.DataFrame, *more: str | Path) -> dict[str, Any]:
    code, out, complaint = judge(capsys, scores, "--json", *more)
    assert (code, complaint) == (0, "")
    return json.loads(out)


def figure(found: dict[str, Any], metric: str, **where: str) -> dict[str, Any]:
    """Return the one row of a metric: by default of all videos, by their own rule."""
    cell = {"level": "video", "rule": found["videos"], "subset": "all", "method": "all", "compression": "all"} | where
    (row,) = [row for row in found["metrics"] if row["metric"] == metric and cell.items() <= row.items()]
    return row


def split(name: str) -> pd.DataFrame:
    """Return the videos of a split, as tables.ASSIGNMENTS."""
    videos = tables.read(Path("data/split", KEY, "videos.parquet"), tables.ASSIGNMENTS)
    return videos[videos.split == name].reset_index(drop=True)


def scored(videos: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return a score for each of `videos`, fakes a little higher."""
    noise = np.random.default_rng(seed).uniform(0, 0.6, len(videos))
    return pd.DataFrame({"video": videos.video, "score": noise + 0.3 * videos.label.astype(float)})


@pytest.mark.parametrize("seed", [0, 2])
def test_imported_frames_get_the_figures_of_the_stage(
    project: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    write_params(project, [KEY])
    with (project / "params.yaml").open("a") as params:
        params.write(KNOBS)
    random = np.random.default_rng(seed)
    frames = tables.read(Path("data/evaluate", KEY, "scores.parquet"), tables.SCORES)
    frames = frames[frames.level == "frame"].reset_index(drop=True)
    frames["score"] = random.uniform(0, 1, len(frames)).round(2)
    frames.loc[frames.index[:seed], ["score", "frames_scored", "status", "reason"]] = [None, 0, "unscored", "no_score"]
    val = split("val")
    validation = pd.DataFrame(
        {"video": val.video.repeat(2), "label": val.label.repeat(2), "frame": [0, 10] * len(val)}
    ).assign(
        score=lambda rows: random.uniform(0, 1, len(rows)), key=lambda rows: rows.video + "/" + rows.frame.astype(str)
    )

    own = evaluate(
        KEY,
        tables.read(Path("data/split", KEY, "videos.parquet"), tables.ASSIGNMENTS),
        frames,
        validation,
        [],
        "median",
        None,
        200,
        3,
    )
    write(Path("own"), KEY, own, {})
    code, _, complaint = judge(capsys, pd.concat([frames, validation])[FRAME_COLUMNS], "--out", "out")
    assert (code, complaint) == (0, "")
    for name, schema in (("metrics.parquet", tables.METRICS), ("scores.parquet", tables.SCORES)):
        pd.testing.assert_frame_equal(tables.read(Path("out", name), schema), tables.read(Path("own", name), schema))
    assert Path("out/rule.json").read_bytes() == Path("own/rule.json").read_bytes()


def test_scores_of_videos_have_figures_of_videos_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = split("test")
    scores = scored(test)
    found = judged(capsys, scores)
    assert found["level"] == "video" and {row["level"] for row in found["metrics"]} == {"video"}
    assert {row["rule"] for row in found["metrics"]} == {found["videos"]} == {"given"}
    assert figure(found, "auroc")["value"] == pytest.approx(roc_auc_score(test.label, scores.score), abs=1e-12)
    called = (scores.score > 0.5) == (test.label == tables.FAKE)  # no validation scores: 0.5
    assert found["thresholds"]["video"] == 0.5 and found["validation_videos"] == 0
    assert figure(found, "accuracy")["value"] == pytest.approx(called.mean(), abs=1e-12)
    assert figure(found, "auroc")["expected"] == len(test) and found["unscored"] == []
    one = test.method.isin(["youtube", "Deepfakes"])
    of_method = figure(found, "auroc", method="Deepfakes")
    assert of_method["value"] == pytest.approx(roc_auc_score(test.label[one], scores.score[one]), abs=1e-12)


def test_what_was_not_scored_lowers_the_coverage_and_is_listed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = split("test")
    scores = scored(test)
    scores.loc[0, "score"] = None
    found = judged(capsys, scores.drop(index=1))
    reasons = {row["video"]: row["reason"] for row in found["unscored"]}
    assert reasons == {test.video[0]: "no_score", test.video[1]: "not_in_file"}
    row = figure(found, "auroc")
    assert (row["real"] + row["fake"], row["expected"]) == (len(test) - 2, len(test))
    code, out, _ = judge(capsys, scores.drop(index=1))
    assert code == 0 and f"{len(test) - 2} of {len(test)} test videos scored" in out
    assert "unscored videos, which no figure but the coverage sees: 2" in out and "not_in_file" in out


def test_validation_scores_choose_the_threshold_unless_one_is_given(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test, val, train = scored(split("test")), split("val"), scored(split("train"))
    apart = pd.DataFrame({"video": val.video, "score": np.where(val.label == tables.FAKE, 0.2, 0.1)})
    found = judged(capsys, pd.concat([test, apart, train]))
    assert found["thresholds"]["video"] == pytest.approx(0.15) and found["validation_videos"] == len(val)
    assert found["ignored_videos"] == {"train": len(train)}
    assert figure(found, "recall")["value"] == pytest.approx((test.score[split("test").label == 1] > 0.15).mean())
    given_one = judged(capsys, pd.concat([test, apart]), "--threshold", "0.7")
    assert (given_one["thresholds"]["video"], given_one["chosen"]) == (0.7, "given")
    assert figure(given_one, "auroc") == figure(found, "auroc")


def test_logits_are_judged_as_their_probabilities(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = scored(split("test")).assign(score=lambda rows: rows.score.clip(0.01, 0.99))
    logits = scores.assign(score=np.log(scores.score / (1 - scores.score)))
    by_logits, by_scores = judged(capsys, logits, "--logits"), judged(capsys, scores)
    assert figure(by_logits, "auroc") == figure(by_scores, "auroc")
    assert figure(by_logits, "brier")["value"] == pytest.approx(figure(by_scores, "brier")["value"], abs=1e-12)
    code, _, complaint = judge(capsys, logits)
    assert code == 1 and "if these are logits, say --logits" in complaint


def test_the_leak_free_subset_depends_on_what_was_learned_from(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_params(project, [KEY, "two"], of="root: elsewhere")  # a real dataset: its names mean something to others
    index = tables.read(Path("data/index", KEY, "videos.parquet"), tables.VIDEOS)
    tied = index[index.recording == f"{KEY}/7"].video  # of test
    other = index.assign(video=index.video.str.replace(KEY, "two", n=1), sha256=index.sha256 + "two", dataset="two")
    other["recording"] = other.recording.where(other.recording != f"{KEY}/0", f"{KEY}/7").where(
        other.recording.isin([f"{KEY}/0"]), "two/other"
    )
    tables.write(Path("data/index/two/videos.parquet"), other, tables.VIDEOS, ["video"])
    videos = tables.read(Path("data/split", KEY, "videos.parquet"), tables.ASSIGNMENTS)
    videos["video"] = videos.video.str.replace(KEY, "two", n=1)
    tables.write(Path("data/split/two/videos.parquet"), videos, tables.ASSIGNMENTS, ["video"])

    scores, test = scored(split("test")), split("test")
    assumed = judged(capsys, scores)
    assert (assumed["trained_on"], assumed["trained_on_assumed"]) == ([KEY], True)
    assert assumed["leak_free_videos"] == len(test)
    told = judged(capsys, scores, "--trained-on", f"two,{KEY}")
    assert (told["trained_on"], told["trained_on_assumed"]) == (["two", KEY], False)
    assert len(tied) == 3 and told["leak_free_videos"] == len(test) - len(tied)
    assert figure(told, "auroc", subset="leak_free")["expected"] == len(test) - len(tied)
    code, out, _ = judge(capsys, scores)
    assert code == 0 and "learned from: train and val of one (assumed; say --trained-on" in out


def test_refusals_leave_nothing_behind(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = scored(split("test"))
    good = scores.to_csv(index=False)
    (project / "full").mkdir()
    (project / "full/file").touch()
    usage = {
        ("--threshold", "1.5"): "--threshold must be a number from 0 to 1, not '1.5'",
        ("--threshold", "high"): "--threshold must be a number from 0 to 1, not 'high'",
        ("--trained-on", "one,three"): "--trained-on: there is no data/index/three/videos.parquet",
        ("--out", "full"): "full exists and is not an empty folder",
    }
    for arguments, said in usage.items():
        code, out, complaint = judge(capsys, good, *arguments)
        assert (code, out) == (2, "") and said in complaint and complaint.count("\n") == 1
    for place, said in (("absent.csv", "there is no file absent.csv"), ("data", "there is no file data")):
        assert veriframe(capsys, "evaluate", KEY, "--scores", place) == (2, "", f"error: --scores: {said}\n")
    code, _, complaint = veriframe(capsys, "evaluate", "three", "--scores", "scores.csv")
    assert code == 2 and "KEY: there is no data/index/three" in complaint
    before = sorted(project.rglob("*"))
    code, out, complaint = judge(capsys, good.replace("/youtube/c23/007", "/youtube/c23/nobody"), "--out", "new")
    assert (code, out) == (1, "") and "mean no video" in complaint and sorted(project.rglob("*")) == before
