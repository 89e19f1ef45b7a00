import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from sklearn.metrics import roc_auc_score

from fabricated_shards import write_dataset, write_frames
from pipeline import tables
from pipeline.models import stored, zoo
from pipeline.models.transforms import Transform

ROOT = Path(__file__).resolve().parents[2]


def evaluate(folder, *keys):
    return subprocess.run(
        [sys.executable, "-m", "stages.evaluate", *keys],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with one dataset and an untrained network, evaluated."""
    folder = tmp_path_factory.mktemp("project")
    videos = {"train": {"real": 1, "swap": 1}, "test": {"real": 4, "swap": 3, "mask": 3}}
    samples = write_dataset(folder / "data", "one", videos)
    failed = {"video": "one/swap/native/test0", "split": "test", "label": 1, "method": "swap", "group": "one:test:0"}
    write_frames(folder / "data", "one", samples, [failed | {"key": "f9", "frame": 9, "reason": "no_face"}])
    YAML().dump(
        {
            "datasets": {"one": {"layout": "celeb_df_v2", "root": "data/raw/one"}},
            "evaluate": {"batch_size": 8, "bootstrap": 200, "seed": 0},
        },
        folder / "params.yaml",
    )
    torch.manual_seed(0)
    network, facts = zoo.build("shufflenet_v2_x0_5", "none", 1)
    transform, thresholds = Transform(48, *facts), {"frame": 0.5, "video": 0.5}
    stored.save(folder / "data/train", network.state_dict(), "shufflenet_v2_x0_5", transform, thresholds, {})
    done = evaluate(folder, "one")
    assert done.returncode == 0, done.stderr
    return folder


def test_scores_every_test_frame_and_video(project):
    scores = tables.read(project / "data/evaluate/one/scores.parquet", tables.SCORES)
    frames, videos = (scores[scores["level"] == level] for level in ("frame", "video"))
    assert len(frames) == 10 * 3 + 1
    assert len(videos) == 10
    assert frames.loc[frames["status"] == "unscored", ["key", "reason"]].to_numpy().tolist() == [["f9", "no_face"]]
    means = frames.groupby("video")["score"].mean()
    assert videos["score"].to_numpy() == pytest.approx(means[videos["video"]].to_numpy())
    assert set(scores["split"]) == {"test"}


def test_figures_come_from_the_scores(project):
    scores = tables.read(project / "data/evaluate/one/scores.parquet", tables.SCORES)
    figures = tables.read(project / "data/evaluate/one/metrics.parquet", tables.METRICS)
    figures = figures.set_index(["level", "method", "metric"])
    assert set(figures.index.get_level_values("method")) == {"all", "swap", "mask"}
    for level in ("frame", "video"):
        scored = scores[(scores["level"] == level) & (scores["status"] == "scored")]
        auroc = figures.loc[(level, "all", "auroc")]
        assert auroc["value"] == pytest.approx(roc_auc_score(scored["label"].to_numpy(np.int64), scored["score"]))
        assert auroc["lower"] <= auroc["value"] <= auroc["upper"]
    assert figures.loc[("frame", "all", "coverage"), "value"] == pytest.approx(30 / 31)


def test_repeats_byte_for_byte(project):
    before = {path.name: path.read_bytes() for path in (project / "data/evaluate/one").iterdir()}
    assert evaluate(project, "one").returncode == 0
    assert {path.name: path.read_bytes() for path in (project / "data/evaluate/one").iterdir()} == before


def test_an_unknown_dataset_ends_with_one_line(project):
    done = evaluate(project, "other")
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml: there is no dataset 'other' under `datasets`; known: one\n"


def test_without_a_model_ends_with_one_line(project):
    card = project / "data/train/model.json"
    content = card.read_bytes()
    card.unlink()
    try:
        done = evaluate(project, "one")
    finally:
        card.write_bytes(content)
    assert done.returncode == 1
    assert done.stderr.startswith("error: data/train/model.json is missing")
