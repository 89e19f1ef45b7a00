"""The pipeline as a user runs it: real DVC in a scratch repository, one repro of a small tree shared by all tests."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from built_project import DATASETS, OWN
from pipeline.synthetic import celeb_df, dfdc, ffpp
from project import ROOT, change_params, commit, copy_project, fingerprint, lock, run


@pytest.fixture(scope="module")
def raw(built: Path) -> Path:
    """The user's own FF++ tree, outside the project."""
    return built.parent / "raw" / OWN


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """A copy of the built project that is changed and put right again, after a push."""
    project = tmp_path_factory.mktemp("project") / "project"
    shutil.copytree(built, project, symlinks=True)
    run(project, "dvc", "remote", "add", "--default", "storage", str(tmp_path_factory.mktemp("remote")))
    commit(project, "Remote")
    run(project, "dvc", "push")
    return project


def test_every_stage_left_its_outputs(project: Path) -> None:
    for key in DATASETS:
        for stage in ("index", "split", "sample", "flatten", "reduce", "extract", "check", "shard", "evaluate"):
            assert any((project / "data" / stage / key).iterdir()), (stage, key)
        assert json.loads((project / "data/check" / key / "verdict.json").read_text())["passed"] is True
    assert (project / "reports/index.html").stat().st_size > 10_000


def test_second_repro_finds_nothing_to_do(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    assert "Data and pipelines are up to date" in run(project, "dvc", "repro").stdout
    assert (project / "dvc.lock").read_bytes() == before


def test_rows_are_kept_from_stage_to_stage(project: Path) -> None:
    for key in DATASETS:
        rows = {
            stage: len(pd.read_parquet(project / "data" / stage / key / f"{table}.parquet"))
            for stage, table in {
                "index": "videos",
                "split": "videos",
                "sample": "frames",
                "flatten": "frames",
                "reduce": "frames",
                "extract": "frames",
            }.items()
        }
        assert rows["index"] == rows["split"] > 0
        assert rows["sample"] == rows["flatten"] == rows["reduce"] == rows["extract"] > 0
        kept = (pd.read_parquet(project / "data/extract" / key / "frames.parquet").status == "kept").sum()
        assert len(pd.read_parquet(project / "data/shard" / key / "samples.parquet")) == kept > 0


def test_quotas_are_met_exactly(project: Path) -> None:
    for key in DATASETS:
        filled = pd.read_parquet(project / "data/extract" / key / "quotas.parquet")
        assert (filled.kept == filled.quota).all()
        balanced = filled[filled.rule == "smallest_class"].groupby("split", observed=True).kept
        assert (balanced.nunique() == 1).all() and balanced.ngroups == 2


def test_planted_faults_are_named(project: Path) -> None:
    reason = {}
    for key in DATASETS:
        videos = pd.read_parquet(project / "data/index" / key / "videos.parquet")
        reason |= dict(zip(videos.path, videos.reason, strict=True))
        assert (videos[videos.status == "rejected"].detail.str.len() > 0).all()
        findings = pd.read_parquet(project / "data/index" / key / "findings.parquet")
        assert set(videos[videos.status == "rejected"].path) <= set(findings.subject)
    assert reason[celeb_df.ONE_FRAME] == "too_short"
    assert {reason[path] for path in celeb_df.STRAY} == {"stray", "sidecar"}
    assert reason[ffpp.TRUNCATED] == "unreadable"
    frames = pd.read_parquet(project / "data/extract/synthetic_celeb_df/frames.parquet")
    faceless = frames[frames.video.str.endswith(Path(celeb_df.NO_FACE).stem)]
    assert "no_face" in set(faceless.reason) and (faceless.status != "kept").all()


def test_planted_faults_of_dfdc_are_named(tmp_path: Path) -> None:
    project = copy_project(tmp_path, {"synthesize.scale": 0.3})
    run(project, "python", "-m", "stages.synthesize", "dfdc")
    run(project, "python", "-m", "stages.index", "synthetic_dfdc")
    videos = pd.read_parquet(project / "data/index/synthetic_dfdc/videos.parquet").set_index("path")
    assert videos.reason[dfdc.MISSING_ORIGINAL] == "missing"
    assert videos.reason[dfdc.UNLISTED] == "no_label"
    assert videos.status[dfdc.ORPHAN] == "ok"  # the fake itself can be used
    findings = pd.read_parquet(project / "data/index/synthetic_dfdc/findings.parquet").set_index("subject")
    assert findings.code[dfdc.ORPHAN] == "original_missing"


@pytest.mark.parametrize("link", [True, False], ids=["link", "folder"])
def test_raw_tree_survives(project: Path, raw: Path, link: bool) -> None:
    place = project / "data/raw" / OWN
    if not link:
        place.unlink()
        shutil.copytree(raw, place)
    before, original = fingerprint(place), fingerprint(raw)
    try:
        run(project, "dvc", "repro")
        run(project, "dvc", "repro", "--force", "--single-item", f"index@{OWN}")
        run(project, "dvc", "checkout", "--force")
        run(project, "dvc", "pull", "--force")
        assert fingerprint(place) == before
        assert fingerprint(raw) == original
    finally:
        if not link:
            shutil.rmtree(place)
            place.symlink_to(raw)


def test_a_clone_pulls_and_has_nothing_to_do(project: Path, raw: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(project), str(clone))
    assert not (clone / "data/shard").exists()
    run(clone, "dvc", "pull")
    for key in DATASETS:
        shards = f"data/shard/{key}"
        assert fingerprint(clone / shards).keys() == fingerprint(project / shards).keys()
        for name, (digest, _) in fingerprint(project / shards).items():
            assert fingerprint(clone / shards)[name][0] == digest
    # Without the raw video, and then with it.
    assert "Data and pipelines are up to date" in run(clone, "dvc", "repro", "--pull", "--allow-missing").stdout
    (clone / "data/raw" / OWN).symlink_to(raw)
    assert "Data and pipelines are up to date" in run(clone, "dvc", "repro").stdout
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_committed_results_of_the_synthetic_celeb_df() -> None:
    """What `make repro` gave with the parameters of this commit: learned, and not from the container."""
    metrics = {name: json.loads((ROOT / f"reports/metrics/{name}.json").read_text()) for name in ("eval", "data")}
    assert metrics["eval"]["synthetic_celeb_df"]["auroc"] >= 0.9
    assert metrics["data"]["synthetic_celeb_df"]["container_auroc"] < 0.6
    assert all(len(list(numbers)) <= 6 for file in metrics.values() for numbers in file.values())


def test_a_branch_can_be_compared(project: Path) -> None:
    run(project, "git", "switch", "--quiet", "--create", "every20")
    try:
        # All of these frames are in the work cache.
        change_params(project, {f"sample.by_dataset.{OWN}": {"every": 20}, "train.model": "mesoinception4"})
        run(project, "dvc", "repro")
        commit(project, "MesoInception-4 on every 20th frame")
        assert (
            lock(project)["index@synthetic_celeb_df"]["outs"]
            == _lock_of(project, "main")["index@synthetic_celeb_df"]["outs"]
        )
        params = json.loads(run(project, "dvc", "params", "diff", "main", "--json").stdout)
        models = {"old": "shufflenet_v2_x0_5", "new": "mesoinception4"}
        every = {"old": None, "new": 20}
        assert params["params.yaml"] == {f"sample.by_dataset.{OWN}.every": every, "train.model": models}
        metrics = json.loads(run(project, "dvc", "metrics", "diff", "main", "--json").stdout)
        assert {"reports/metrics/eval.json", "reports/metrics/data.json"} <= set(metrics)
        table = run(project, "dvc", "metrics", "diff", "main", "--md").stdout
        assert f"{OWN}." in table and "auroc" in table
        summary = run(project, "veriframe", "summary", "main").stdout
        assert "| `train.model` | `shufflenet_v2_x0_5` | `mesoinception4` |" in summary
        assert "`synthetic_celeb_df` (trained on)" in summary and "frames |" in summary
        page = run(project, "dvc", "plots", "diff", "main").stdout.strip()
        html = (project / "dvc_plots/index.html").read_text()
        assert page.endswith("index.html") and '"rev": "main"' in html and '"rev": "workspace"' in html
    finally:
        run(project, "git", "switch", "--quiet", "main")
        run(project, "dvc", "checkout")


def test_a_subset_is_in_the_lock_and_opens_nothing_else(project: Path) -> None:
    whole = pd.read_parquet(project / "data/index" / OWN / "videos.parquet")
    run(project, "git", "switch", "--quiet", "--create", "half")
    try:
        change_params(project, {f"datasets.{OWN}.subset": 0.5})
        run(project, "dvc", "repro", f"index@{OWN}")
        assert lock(project)[f"index@{OWN}"]["params"]["params.yaml"][f"datasets.{OWN}"]["subset"] == 0.5
        half = pd.read_parquet(project / "data/index" / OWN / "videos.parquet")
        assert set(half.path) == set(whole.path)
        left_out = half[half.reason == "not_in_subset"]
        # Of two training pairs one stays; of the only pair of validation and of test nothing can be left out.
        assert len(left_out) == (whole.official_split == "train").sum() / 2 and set(left_out.official_split) == {
            "train"
        }
        assert left_out.sha256.isna().all()  # not one of them was opened
    finally:
        run(project, "git", "checkout", "--quiet", "--force", "main")
        run(project, "dvc", "checkout")


def _lock_of(project: Path, revision: str) -> dict:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(run(project, "git", "show", f"{revision}:dvc.lock").stdout)["stages"]
