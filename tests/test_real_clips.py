"""Real footage through the whole pipeline: swaps between given clips, then every stage up to the report."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from project import ROOT, copy_project, run
from small_project import STAGES, run_stage

CLIPS = Path(os.environ.get("VERIFRAME_CLIPS", ROOT.parent / "shared/clips")) / "faces"

pytestmark = pytest.mark.skipif(
    not CLIPS.is_dir(), reason=f"no real clips at {CLIPS}; VERIFRAME_CLIPS may name a folder that holds faces/"
)

SETTINGS = {
    "datasets": {"clips": {"layout": "celeb_df_v2", "root": "data/raw/clips", "methods": None, "compression": None}},
    "train.datasets": ["clips"],
    "train.epochs": 2,
    "audit.bootstrap": 200,
    "evaluate.bootstrap": 200,
    "evaluate.robustness.corruptions": ["h264"],
}


def test_real_clips_from_forging_to_report(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for clip in sorted(path for path in CLIPS.iterdir() if path.is_file())[::4]:  # all of them would take two minutes
        (tmp_path / "clips" / clip.name).symlink_to(clip)
    run(
        tmp_path,
        "veriframe",
        "synthesize",
        "--layout",
        "celeb_df_v2",
        "--from-clips",
        str(tmp_path / "clips"),
        "--out",
        str(tmp_path / "raw"),
    )
    (tmp_path / "project").mkdir()
    project = copy_project(tmp_path / "project", SETTINGS)
    (project / "data/raw/clips").symlink_to(tmp_path / "raw")
    for stage in STAGES:
        run_stage(project, stage, "clips")
    for stage, key in (("audit", None), ("train", None), ("evaluate", "clips"), ("report", None)):
        run_stage(project, stage, key)

    videos = pd.read_parquet(project / "data/index/clips/videos.parquet")
    assert len(videos) >= 10 and set(videos[videos.status == "ok"].label) == {0, 1}
    frames = pd.read_parquet(project / "data/extract/clips/frames.parquet")
    tried = frames[frames.status != "unused"]
    assert (tried.status == "kept").mean() > 0.8  # some real faces turn away or are covered by a hand
    assert (frames[frames.status == "failed"].reason != "").all()
    assert json.loads((project / "data/check/clips/verdict.json").read_text())["passed"] is True
    scores = pd.read_parquet(project / "data/evaluate/clips/scores.parquet")
    assert (scores[scores.level == "video"].status == "scored").all()
    assert scores[scores.status == "scored"].score.between(0, 1).all()
    assert "clips" in (project / "reports/index.html").read_text()
