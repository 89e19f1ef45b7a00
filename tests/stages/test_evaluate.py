import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

import stages.evaluate
from fabricated_shards import write_dataset, write_frames
from pipeline import aggregation, dealing, tables
from pipeline.errors import exit_on_user_error
from pipeline.evaluation.decisions import from_validation
from pipeline.models import stored, zoo
from pipeline.models.network import Head, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform
from small_project import inside

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = {"train": {"real": 2, "swap": 2}, "val": {"real": 1, "swap": 1}, "test": {"real": 4, "swap": 3, "mask": 3}}
EVALUATE = {
    "batch_size": 8, "videos": "mean", "bootstrap": 200, "seed": 0, "explained": 0,
    "robustness": {"corruptions": [], "frames": 1},
}  # fmt: skip


def evaluate(folder, *keys):
    """Run the stage in this process; return its exit code and what it said on stderr."""
    said = io.StringIO()
    with inside(folder), mock.patch.object(sys, "argv", ["evaluate", *keys]), redirect_stderr(said):
        try:
            exit_on_user_error(stages.evaluate.main)
        except SystemExit as ended:
            return ended.code, said.getvalue()
    return 0, said.getvalue()


def write_params(folder, allow=(), **changes):
    document = {
        "datasets": {"one": {"layout": "celeb_df_v2", "root": "data/raw/one"}},
        "guards": {"allow": list(allow)},
        "evaluate": EVALUATE | changes,
    }
    YAML().dump(document, folder / "params.yaml")


def write_learned(folder, samples, deal=None):
    learned = dealing.parts(samples, deal, "val")[tables.LEARNED.names]
    tables.write(folder / "data/train/samples.parquet", learned, tables.LEARNED, order=["dataset", "key", "copy"])


def write_validation(folder, threshold):
    """Write scores of a real and a fake validation picture between which `threshold` lies midway."""
    rows = [
        {"dataset": "one", "video": name, "key": name, "group": name, "label": label, "score": threshold + away}
        for name, label, away in (("real", 0, -0.001), ("fake", 1, 0.001))
    ]
    tables.write(folder / "data/train/validation.parquet", rows, tables.VALIDATION, order=["key"])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one dataset and an untrained network, evaluated."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("project")
    samples = write_dataset(folder / "data", "one", VIDEOS)
    failed = {"video": "one/swap/native/test0", "split": "test", "label": 1, "method": "swap", "group": "one:test:0"}
    write_frames(folder / "data", "one", samples, [failed | {"key": "f9", "frame": 9, "reason": "no_face"}])
    write_params(folder)
    write_learned(folder, samples)
    torch.manual_seed(0)
    head = Head(hidden=[], dropout=[], embedding=128, sigmoid=False)
    network, facts = zoo.build(Spec(model="shufflenet_v2_x0_5", outputs=1, head=head, labels=["real", "fake"]))
    transform = Transform(48, facts.mean, facts.std, facts.interpolation)
    stored.save(folder / "data/train", Stored(network, transform, {"frame": 0.5, "video": 0.5}, None), {})
    write_validation(folder, 0.5)
    code, said = evaluate(folder, "one")
    assert code == 0, said
    # Between the frames' scores, so that votes differ.
    write_validation(folder, float(read_scores(folder, "frame")["score"].median()))
    assert evaluate(folder, "one") == (0, "")
    return folder


def read_scores(folder, level):
    scores = tables.read(folder / "data/evaluate/one/scores.parquet", tables.SCORES)
    return scores[scores["level"] == level]


def test_scores_every_test_frame_and_video(project):
    frames, videos = read_scores(project, "frame"), read_scores(project, "video")
    assert len(frames) == 10 * 3 + 1
    assert len(videos) == 10
    assert frames.loc[frames["status"] == "unscored", ["key", "reason"]].to_numpy().tolist() == [["f9", "no_face"]]
    means = frames.groupby("video")["score"].mean()
    assert videos["score"].to_numpy() == pytest.approx(means[videos["video"]].to_numpy())
    assert set(frames["split"]) | set(videos["split"]) == {"test"}


def test_figures_come_from_the_scores(project):
    figures = tables.read(project / "data/evaluate/one/metrics.parquet", tables.METRICS)
    assert set(figures["method"]) == {"all", "swap", "mask"}
    overall = figures[(figures[["subset", "method", "compression"]] == "all").all(axis=1)]
    overall = overall.set_index(["level", "rule", "metric"])
    for level, rule in (("frame", ""), ("video", "mean")):
        scored = read_scores(project, level).query("status == 'scored'")
        auroc = overall.loc[(level, rule, "auroc")]
        assert auroc["value"] == pytest.approx(roc_auc_score(scored["label"].to_numpy(np.int64), scored["score"]))
        assert auroc["lower"] <= auroc["value"] <= auroc["upper"]
    assert set(overall.loc["video"].index.get_level_values("rule")) == set(aggregation.AVERAGES)
    frames = overall.loc[("frame", "", "auroc")]
    assert (frames["real"] + frames["fake"], frames["expected"]) == (30, 31)


def test_says_by_which_rule_and_thresholds(project):
    rule = json.loads((project / "data/evaluate/one/rule.json").read_text())
    validation = tables.read(project / "data/train/validation.parquet", tables.VALIDATION)
    decided = dataclasses.asdict(from_validation(validation, "mean"))
    assert rule == {"dataset": "one", "videos": decided.pop("rule"), **decided, "guards_lifted": {}}
    assert rule["thresholds"]["frame"] == pytest.approx(validation["score"].mean())


def test_what_is_switched_off_leaves_empty_tables(project):
    for name, schema in (("robustness", tables.ROBUSTNESS), ("heatmaps", tables.HEATMAPS)):
        assert tables.read(project / f"data/evaluate/one/{name}.parquet", schema).empty


def test_repeats_byte_for_byte_in_a_process_of_its_own(project):
    before = {path.name: path.read_bytes() for path in (project / "data/evaluate/one").iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "stages.evaluate", "one"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in (project / "data/evaluate/one").iterdir()} == before


@pytest.fixture
def copy(project, tmp_path):
    return shutil.copytree(project, tmp_path / "copy")


def test_videos_by_vote(copy):
    write_params(copy, videos="vote")
    assert evaluate(copy, "one") == (0, "")
    rule = json.loads((copy / "data/evaluate/one/rule.json").read_text())
    frames, videos = read_scores(copy, "frame"), read_scores(copy, "video")
    called = (frames["score"] > rule["thresholds"]["frame"]).where(frames["status"] == "scored").astype(float)
    shares = called.groupby(frames["video"]).mean()
    assert videos["score"].to_numpy() == pytest.approx(shares[videos["video"]].to_numpy())
    assert videos["score"].nunique() > 1
    # The threshold of means says nothing of shares: the majority decides.
    assert (rule["videos"], rule["thresholds"]["video"]) == ("vote", 0.5)
    figures = tables.read(copy / "data/evaluate/one/metrics.parquet", tables.METRICS)
    accuracy = figures.query(
        "level == 'video' and rule == 'vote' and subset == method == compression == 'all' and metric == 'accuracy'"
    )["value"].item()
    assert accuracy == pytest.approx(((videos["score"] > 0.5) == (videos["label"] == 1)).mean())


def test_a_threshold_that_was_given_holds_on_test(copy):
    path = copy / "data/train/model.json"
    card = json.loads(path.read_text()) | {"threshold_rule": "given", "thresholds": {"frame": 0.3, "video": 0.3}}
    path.write_text(json.dumps(card))
    assert evaluate(copy, "one") == (0, "")
    rule = json.loads((copy / "data/evaluate/one/rule.json").read_text())
    assert (rule["thresholds"], rule["chosen"]) == ({"frame": 0.3, "video": 0.3}, "given")


def test_test_videos_that_show_a_learned_recording_are_not_leak_free(copy):
    assert read_scores(copy, "video")["leak_free"].all()
    path = copy / "data/index/one/videos.parquet"
    videos = tables.read(path, tables.VIDEOS).set_index("video")
    videos.loc["one/mask/native/test1", "donor_recording"] = videos.loc["one/real/native/train0", "recording"]
    tables.write(path, videos.reset_index(), tables.VIDEOS, order=["video"])
    assert evaluate(copy, "one") == (0, "")
    for level in ("frame", "video"):
        rows = read_scores(copy, level)
        assert set(rows[~rows["leak_free"]]["video"]) == {"one/mask/native/test1"}
    figures = tables.read(copy / "data/evaluate/one/metrics.parquet", tables.METRICS)
    found = figures.query(
        "level == 'video' and metric == 'auroc' and rule == 'mean' and method == compression == 'all'"
    )
    assert dict(zip(found["subset"], found["expected"], strict=True)) == {"all": 10, "leak_free": 9}


def test_changed_pictures_and_explanations_fill_their_tables(copy):
    robustness = {"corruptions": ["jpeg"], "frames": 1}
    write_params(copy, explained=2, robustness=robustness)
    code, said = evaluate(copy, "one")
    assert code == 0, said
    found = tables.read(copy / "data/evaluate/one/robustness.parquet", tables.ROBUSTNESS)
    assert set(found["corruption"]) == {"jpeg"} and set(found["videos"]) == {10}
    assert not tables.read(copy / "data/evaluate/one/heatmaps.parquet", tables.HEATMAPS).empty


def test_the_published_vote_is_stopped_by_its_guard_alone(copy):
    before = (copy / "data/evaluate/one/scores.parquet").read_bytes()
    write_params(copy, allow=["label_polarity"], videos="reversed_vote")
    code, said = evaluate(copy, "one")
    assert code == 1 and len(said.splitlines()) == 1 and said.startswith("error: evaluate.videos: reversed_vote")
    assert "add reversed_vote to guards.allow" in said
    assert (copy / "data/evaluate/one/scores.parquet").read_bytes() == before


def test_the_published_vote_lifted(copy):
    write_params(copy, videos="vote")
    assert evaluate(copy, "one") == (0, "")
    shares = read_scores(copy, "video").set_index("video")["score"]
    write_params(copy, allow=["reversed_vote"], videos="reversed_vote")
    assert evaluate(copy, "one") == (0, "")
    found = read_scores(copy, "video").set_index("video")["score"]
    assert found.to_dict() == (shares < 0.5).astype(float).to_dict()  # three frames: every lead is a small one
    rule = json.loads((copy / "data/evaluate/one/rule.json").read_text())
    assert list(rule["guards_lifted"]) == ["reversed_vote"]


def test_test_pictures_that_training_dealt_out(copy):
    samples = tables.read(copy / "data/shard/one/samples.parquet", tables.SAMPLES)
    write_learned(copy, samples, dealing.Deal(val=0.2, test=0.3, copies=2, seed=0))
    assert evaluate(copy, "one") == (0, "")
    learned = tables.read(copy / "data/train/samples.parquet", tables.LEARNED)
    dealt = set(learned[learned["part"] == "test"]["key"])
    frames, videos = read_scores(copy, "frame"), read_scores(copy, "video")
    assert sorted(frames["key"]) == sorted(dealt) and set(frames["status"]) == {"scored"}
    assert set(samples[samples["key"].isin(dealt)]["split"]) == {"train", "val", "test"}
    assert sorted(videos["video"]) == sorted(samples[samples["key"].isin(dealt)]["video"].unique())
    # Other pictures of nearly every video were learned from, and of every recording.
    used = set(learned[learned["part"] != "test"]["key"])
    seen = set(samples[samples["key"].isin(used)]["video"])
    assert seen and not videos[videos["video"].isin(seen)]["leak_free"].any()
    # The same pictures get the scores that they get as a split.
    before = dict(zip(frames["key"], frames["score"], strict=True))
    write_learned(copy, samples)
    assert evaluate(copy, "one") == (0, "")
    again = read_scores(copy, "frame").set_index("key")["score"].dropna()
    shared = [key for key in again.index if key in before]
    assert shared and [before[key] for key in shared] == pytest.approx([again[key] for key in shared], abs=1e-6)


def test_an_unknown_dataset_ends_with_one_line(project):
    said = "error: params.yaml: there is no dataset 'other' under `datasets`; known: one\n"
    assert evaluate(project, "other") == (1, said)


def test_without_a_model_ends_with_one_line(copy):
    (copy / "data/train/model.json").unlink()
    code, said = evaluate(copy, "one")
    assert code == 1 and said.startswith("error: data/train/model.json is missing")
    assert len(said.splitlines()) == 1
