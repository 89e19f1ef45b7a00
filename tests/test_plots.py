"""The figures that DVC compares, and its plots as pictures: with real DVC on a project of two branches."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

from command import veriframe
from fabricated_project import write_dataset
from pipeline import tables
from pipeline.metrics import calibration
from pipeline.reporting import plots
from pipeline.reporting.headline import headline
from pipeline.tables import CLASSES
from project import ROOT, commit, run

IDS = [
    "Loss",
    "Validation AUROC",
    "ROC",
    "Precision and recall",
    "Confusion",
    "Reliability",
    "Scores",
    "Methods",
    "Robustness",
]
DEFINED = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")


@dataclass
class Evaluated:
    """What plots and headline look at of a facts.Dataset."""

    key: str
    scores: pd.DataFrame
    metrics: pd.DataFrame
    robustness: pd.DataFrame
    rule: dict[str, Any]
    threshold: float = 0.5


def evaluated(data: Path, key: str, skill: float) -> Evaluated:
    write_dataset(data, key, skill=skill)
    folder = data / "evaluate" / key
    return Evaluated(
        key,
        tables.read(folder / "scores.parquet", tables.SCORES),
        tables.read(folder / "metrics.parquet", tables.METRICS),
        tables.read(folder / "robustness.parquet", tables.ROBUSTNESS),
        json.loads((folder / "rule.json").read_text()),
    )


@pytest.fixture(scope="module")
def good_and_poor(tmp_path_factory: pytest.TempPathFactory) -> list[Evaluated]:
    data = tmp_path_factory.mktemp("evaluated")
    return [evaluated(data, "good", 2.5), evaluated(data, "poor", 0.4)]


@pytest.fixture(scope="module")
def two_branches(tmp_path_factory: pytest.TempPathFactory, good_and_poor: list[Evaluated]) -> Path:
    """A project of plots and their files alone, on `other`; on `main` the two datasets have each other's figures."""
    project = tmp_path_factory.mktemp("plots")
    run(project, "git", "init", "--quiet", "--initial-branch", "main")
    run(project, "git", "config", "user.name", "Tester")
    run(project, "git", "config", "user.email", "tester@example.com")
    shutil.copytree(ROOT / ".dvc/plots", project / ".dvc/plots")
    shutil.copy(ROOT / ".dvc/config", project / ".dvc/config")
    (project / ".gitignore").write_text("/.dvc/tmp\n/.cache\n/dvc_plots\n")
    YAML().dump({"plots": DEFINED["plots"]}, project / "dvc.yaml")
    good, poor = good_and_poor
    swapped = [Evaluated(**{**vars(good), "key": "poor"}), Evaluated(**{**vars(poor), "key": "good"})]
    write_reports(project, swapped, losses=[0.7, 0.6, 0.5])
    commit(project, "First")
    run(project, "git", "switch", "--quiet", "--create", "other")
    write_reports(project, good_and_poor, losses=[0.7, 0.4, 0.2])
    commit(project, "Second")
    return project


def write_reports(project: Path, datasets: list[Evaluated], losses: list[float]) -> None:
    plots.write(project / "reports/plots", plots.rows_of_plots(datasets))
    for name in ("train/loss", "val/loss", "val/auroc"):
        path = project / f"reports/train/plots/metrics/{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"step": range(3), path.stem: losses}).to_csv(path, sep="\t", index=False)


@pytest.fixture
def project(two_branches: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(two_branches)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(two_branches / ".cache/dvc-site"))
    yield two_branches
    run(two_branches, "git", "checkout", "--quiet", "--force", "other")


def picture_of(name: str) -> Path:
    return Path("dvc_plots", name.lower().replace(" ", "_") + ".png")


def test_every_plot_of_two_branches_becomes_a_picture(project: Path, capsys: pytest.CaptureFixture[str]):
    code, said, complaint = veriframe(capsys, "plots", "main", "other")
    assert (code, complaint) == (0, "")
    assert said.splitlines() == [f"{picture_of(name)}: {name} of main, other" for name in IDS]
    assert {path.name for path in Path("dvc_plots").iterdir()} == {picture_of(name).name for name in IDS}
    for name in IDS:
        with Image.open(picture_of(name)) as picture:
            colours = np.asarray(picture.convert("RGB"))
        coloured = colours.max(axis=2).astype(int) - colours.min(axis=2) > 40  # not text, not grid
        assert min(coloured.shape) > 300 and coloured.sum() > 500, name


def test_what_is_empty_missing_or_damaged_leaves_the_others(project: Path, capsys: pytest.CaptureFixture[str]):
    (project / "reports/plots/robustness.json").write_text("[]\n")
    (project / "reports/plots/methods.json").unlink()
    (project / "reports/plots/pr.json").write_text("[{")
    Path("dvc_plots").mkdir(exist_ok=True)
    picture_of("Robustness").write_text("of an earlier run")
    code, said, complaint = veriframe(capsys, "plots")
    assert code == 0
    gone = {"Precision and recall", "Methods", "Robustness"}
    assert said.splitlines() == [
        f"{name}: no data" if name in gone else f"{picture_of(name)}: {name} of workspace" for name in IDS
    ]
    assert not picture_of("Robustness").exists() and picture_of("ROC").exists()
    damaged, missing = sorted(complaint.splitlines(), reverse=True)
    assert damaged.startswith("note: reports/plots/pr.json of workspace: unable to read")
    assert missing == "note: reports/plots/methods.json of workspace: is not there"


def test_an_unknown_revision_is_named_and_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]):
    code, said, complaint = veriframe(capsys, "plots", "nowhere", "--out", "new")
    assert (code, said) == (1, "") and complaint == "error: DVC cannot draw: unknown Git revision 'nowhere'\n"
    assert not Path("new").exists()


def test_a_file_is_no_folder_for_pictures(project: Path, capsys: pytest.CaptureFixture[str]):
    code, said, complaint = veriframe(capsys, "plots", "--out", "dvc.yaml")
    assert (code, said, complaint) == (2, "", "error: dvc.yaml is a file; name a folder\n")


def test_a_folder_without_a_project_has_nothing_to_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    code, said, complaint = veriframe(capsys, "plots")
    assert (code, said) == (1, "") and complaint.startswith("error: ") and complaint.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_ids_files_and_columns_fit_together(good_and_poor: list[Evaluated]):
    definitions = {name: figure for entry in DEFINED["plots"] for name, figure in entry.items()}
    assert list(definitions) == IDS
    written = plots.rows_of_plots(good_and_poor)
    declared = {next(iter(entry)) for entry in DEFINED["stages"]["report"]["plots"]}
    assert declared == {f"reports/plots/{name}.json" for name in written}
    for figure in definitions.values():
        (path, y), *_ = figure["y"].items()
        if path in declared:
            columns = {column for row in written[Path(path).stem] for column in row}
            template = json.loads((ROOT / f".dvc/plots/{figure['template']}.json").read_text())
            x = figure["x"] if isinstance(figure["x"], str) else figure["x"][path]
            assert {x, y, "dataset"} <= columns
            known = columns | {"rev", "<DVC_METRIC_X>", "<DVC_METRIC_Y>", "score", "fake", "of_class", "share"}
            assert set(fields(template)) <= known
        declared.discard(path)
    assert not declared


def fields(template: Any) -> Iterator[str]:
    """Yield the columns that a Vega-Lite template names."""
    if isinstance(template, dict):
        yield from [value for name, value in template.items() if name == "field"]
        template = list(template.values())
    if isinstance(template, list):
        for part in template:
            yield from fields(part)


def test_files_are_plain_json_with_a_dataset_in_every_row(good_and_poor: list[Evaluated], tmp_path: Path):
    plots.write(tmp_path, plots.rows_of_plots(good_and_poor))
    for path in tmp_path.iterdir():
        assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
        assert {row["dataset"] for row in json.loads(path.read_text())} == {"good", "poor"}


def test_headline_says_what_the_metrics_say(good_and_poor: list[Evaluated]):
    good = good_and_poor[0]
    found = headline(good_and_poor)
    assert list(found) == ["good", "poor"]
    chosen = good.metrics.query("level == 'video' and method == 'all' and compression == 'all'")
    row = chosen.query("subset == 'all'").set_index("metric").loc["auroc"]
    videos = good.scores[good.scores.level == "video"]
    assert found["good"] == {
        "auroc": round(row["value"], 4),
        "auroc_lo": round(row["lower"], 4),
        "auroc_hi": round(row["upper"], 4),
        "auroc_leak_free": round(chosen.query("subset == 'leak_free' and metric == 'auroc'")["value"].item(), 4),
        "eer": round(chosen.query("subset == 'all' and metric == 'eer'")["value"].item(), 4),
        "coverage": round((videos.status == "scored").mean(), 4),
    }
    assert found["good"]["coverage"] < 1


def test_of_several_rules_the_headline_takes_that_of_the_dataset(good_and_poor: list[Evaluated]):
    good, poor = good_and_poor
    other = poor.metrics[poor.metrics.level == "video"].assign(rule="median")
    both = Evaluated(**{**vars(good), "metrics": pd.concat([other, good.metrics], ignore_index=True)})
    assert headline([both]) == headline([good]) and plots.methods(both) == plots.methods(good)


def test_what_is_undefined_is_null(good_and_poor: list[Evaluated]):
    good = good_and_poor[0]
    undefined = good.metrics.assign(value=np.nan, lower=np.nan, upper=np.nan)
    found = headline([Evaluated(**{**vars(good), "metrics": undefined})])
    assert found["good"]["auroc"] is None and found["good"]["auroc_lo"] is None and found["good"]["eer"] is None
    json.dumps(found, allow_nan=False)
    assert plots.methods(Evaluated(**{**vars(good), "metrics": undefined})) == []


def test_methods_without_interval_are_points(good_and_poor: list[Evaluated]):
    good = good_and_poor[0]
    rows = plots.methods(Evaluated(**{**vars(good), "metrics": good.metrics.assign(lower=np.nan)}))
    assert len(rows) == 2 and all(row["lower"] == row["auroc"] <= row["upper"] for row in rows)


def test_robustness_has_the_unchanged_pictures_beside_every_strength(good_and_poor: list[Evaluated]):
    assert plots.robustness(good_and_poor[0]) == [
        {"corruption": "blur (pixels)", "strength": strength, "auroc": auroc, "lower": 0.5, "upper": 1.0}
        | {"unchanged": 0.9}
        for strength, auroc in ((1.0, 0.8), (2.0, 0.7))
    ]


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_histogram_holds_every_video_of_a_class_once(items: list[tuple[int, float]]):
    labels, scores = np.array([label for label, _ in items]), np.array([score for _, score in items])
    rows = plots.histogram(labels, scores)
    for label, name in CLASSES.items():
        of_class = [row for row in rows if row["class"] == name]
        assert sum(row["videos"] for row in of_class) == (labels == label).sum()
        assert sum(row["share"] for row in of_class) == pytest.approx(1 if of_class else 0, abs=1e-3)
    assert all(round(20 * row["low"]) + 1 == round(20 * row["high"]) for row in rows)


def test_reliability_is_drawn_before_and_after_calibration():
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.05, 0.4, 0.41, 0.9, 0.99])
    rows = plots.reliability(labels, scores, 2.0)
    scored = [row for row in rows if row["scores"] == "as scored"]
    assert [row["mean_score"] for row in scored] == [0.05, 0.405, 0.9, 0.99]
    assert [(row["videos"], row["share_fake"]) for row in scored] == [(1, 0), (2, 0.5), (1, 1), (1, 1)]
    after = [row for row in rows if row["scores"] == "calibrated"]
    assert sum(row["videos"] for row in after) == 5
    assert after[-1]["mean_score"] == round(calibration.calibrated(scores, 2.0).max(), 4) < 0.99
    assert plots.reliability(labels, scores, None) == scored
