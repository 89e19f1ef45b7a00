import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fabricated_shards import write_dataset
from pipeline import tables
from pipeline.evaluation.decisions import from_validation
from pipeline.files import sha256_of_file
from pipeline.metrics import binary
from small_project import contents, refusal, run_stage

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = {"train": {"real": 6, "swap": 6}, "val": {"real": 4, "swap": 4}, "test": {"real": 2, "swap": 2}}
TRAIN = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["train"] | {
    "datasets": ["one", "two"], "input_size": 48, "epochs": 3, "patience": 3, "batch_size": 8
}  # fmt: skip
WRITTEN = ["README.md", "epochs.csv", "model.json", "model.safetensors", "samples.parquet", "validation.parquet"]


def make_project(folder, **changes):
    for key in ("one", "two"):
        write_dataset(folder / "data", key, VIDEOS)
    write_params(folder, **changes)
    return folder


def write_params(folder, **changes):
    datasets = {key: {"layout": "celeb_df_v2", "root": f"data/raw/{key}"} for key in ("one", "two")}
    allow = changes.pop("allow", [])
    sections = {"datasets": datasets, "guards": {"allow": allow}, "train": TRAIN | changes}
    YAML().dump(sections, folder / "params.yaml")


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "VERIFRAME_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def train(folder):
    process = start(folder)
    _, errors = process.communicate()
    return process.returncode, errors


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A project after one whole training. It lies in a git repository without a commit, as a beginner's may."""
    folder = make_project(tmp_path_factory.mktemp("done"))
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    code, errors = train(folder)
    assert code == 0, errors
    return folder


def test_writes_the_model_and_its_card(done):
    assert sorted(path.name for path in (done / "data/train").iterdir()) == WRITTEN
    card = json.loads((done / "data/train/model.json").read_text())
    assert card["model"] == "shufflenet_v2_x0_5"
    assert card["datasets"] == ["one", "two"]
    assert card["labels"] == {"0": "real", "1": "fake"}
    assert card["transform"]["input_size"] == 48
    assert set(card["thresholds"]) == {"frame", "video"}
    assert all(0 < value < 1 for value in card["thresholds"].values())
    assert card["samples"]["two"] == {"train": {"real": 18, "fake": 18}, "val": {"real": 12, "fake": 12}}
    assert card["params"] == TRAIN
    assert str(done) not in json.dumps(card)


def test_validation_scores_are_kept_and_give_the_thresholds_again(done):
    kept = tables.read(done / "data/train/validation.parquet", tables.VALIDATION)
    learned = tables.read(done / "data/train/samples.parquet", tables.LEARNED)
    assert kept["key"].tolist() == learned[learned["part"] == "val"]["key"].tolist()
    assert kept["score"].between(0, 1).all() and kept["score"].nunique() > 1
    card = json.loads((done / "data/train/model.json").read_text())
    assert from_validation(kept, "mean").thresholds == card["thresholds"]
    assert card["threshold_rule"] == binary.THRESHOLD_RULE


def test_curves_and_figures_are_files_for_dvc(done):
    card = json.loads((done / "data/train/model.json").read_text())
    reports = done / "reports/train"
    files = sorted(path.relative_to(reports).as_posix() for path in reports.rglob("*") if path.is_file())
    curves = ["train/accuracy", "train/loss", "val/accuracy", "val/auroc", "val/loss"]
    assert files == ["metrics.json", *(f"plots/metrics/{name}.tsv" for name in curves)]
    points = [line.split("\t") for line in (reports / "plots/metrics/val/loss.tsv").read_text().splitlines()]
    assert points[0] == ["step", "loss"]
    assert [int(step) for step, _ in points[1:]] == [0, 1, 2]
    summary = json.loads((reports / "metrics.json").read_text())
    best = {part: {name: known[name] for name in summary[part]} for part, known in card["best_epoch_figures"].items()}
    assert summary == {"step": card["best_epoch"]} | best
    assert [*summary["val"]] == ["loss", "accuracy", "auroc"]
    assert summary["val"]["loss"] == min(float(loss) for _, loss in points[1:])
    assert not (done / "dvc.yaml").exists()


def test_leaves_no_checkpoint_behind(done):
    assert not list((done / "cache").rglob("*.*"))


def test_a_killed_stage_goes_on_and_gives_the_same_bytes(done, tmp_path):
    project = make_project(tmp_path)
    process = start(project)
    deadline = time.monotonic() + 300
    while process.poll() is None and not list((project / "cache").rglob("phase-0.pt")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (project / "data/train").exists()
    code, errors = train(project)
    assert code == 0, errors
    for name in (*(f"data/train/{name}" for name in WRITTEN), "reports/train/metrics.json"):
        assert (project / name).read_bytes() == (done / name).read_bytes(), name
    for curve in (done / "reports/train/plots").rglob("*.tsv"):
        assert (project / curve.relative_to(done)).read_bytes() == curve.read_bytes()
    assert not list((project / "cache").rglob("*.*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"datasets": ["one", "three"]},
            "train.datasets names 'three', which is not under `datasets`; known: one, two",
        ),
        ({"datasets": ["one", "one"]}, "train.datasets names a dataset twice"),
        ({"loss": "triplet"}, "set train.classifier to knn or svm"),
        ({"learning_rate": -1.0, "batch_size": 1}, "train.batch_size"),
    ],
)
def test_bad_parameters_end_with_one_line(tmp_path, changes, message):
    assert message in refusal(make_project(tmp_path, **changes), "train", key=None)


def test_data_that_is_not_there_is_named(tmp_path):
    project = make_project(tmp_path)
    shutil.rmtree(project / "data/shard/two")
    expected = "error: data/shard/two: not there; run `dvc repro` (or `dvc pull`) first"
    assert refusal(project, "train", key=None) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "resnt18"},
        {"phases": [{"epochs": 1}, {"trainable": 99}]},
        {"phases": [{"epochs": 1}, {"loss": "cross_entropy"}]},
    ],
)
def test_a_refusal_leaves_what_was_trained_before(done, tmp_path, changes):
    project = shutil.copytree(done, tmp_path / "project")
    write_params(project, **changes)
    before = contents(project / "data/train") | contents(project / "reports")
    refusal(project, "train", key=None)
    assert contents(project / "data/train") | contents(project / "reports") == before


def test_phases_and_weights_are_told_in_the_card(done, tmp_path):
    project = shutil.copytree(done, tmp_path / "project")
    shutil.copytree(done / "data/train", project / "before")
    weights = "before/model.safetensors"
    write_params(project, pretrained=weights, epochs=1, phases=[{"start": "previous"}, {"learning_rate": 0.001}])
    run_stage(project, "train", key=None)
    card = json.loads((project / "data/train/model.json").read_text())
    assert card["weights_read"] == {weights: sha256_of_file(done / "data/train/model.safetensors")}
    lines = (project / "data/train/epochs.csv").read_text().splitlines()
    assert lines[0].startswith("phase,epoch,train/loss,train/accuracy,val/loss,val/accuracy,val/auroc")
    assert [line.split(",")[:2] for line in lines[1:]] == [["0", "0"], ["1", "0"]]
