"""The report's parts: curves and counts against other ways to get them, figures as drawn, the choice of pictures."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from fabricated_project import METHODS, write_dataset
from pipeline import tables
from pipeline.errors import UserError
from pipeline.reporting import facts, figures, pictures, plots
from pipeline.reporting.caveats import caveats
from pipeline.reporting.facts import Dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    data = tmp_path_factory.mktemp("project") / "data"
    write_dataset(data, "one")
    known = {
        "videos": ("index/one/videos", tables.VIDEOS),
        "findings": ("index/one/findings", tables.FINDINGS),
        "assignments": ("split/one/videos", tables.ASSIGNMENTS),
        "leaks": ("split/one/leaks", tables.LEAKS),
        "frames": ("extract/one/frames", tables.FRAMES),
        "filled": ("extract/one/quotas", tables.FILLED),
        "samples": ("shard/one/samples", tables.SAMPLES),
        "scores": ("evaluate/one/scores", tables.SCORES),
        "metrics": ("evaluate/one/metrics", tables.METRICS),
    }
    read = {name: tables.read(data / f"{path}.parquet", schema) for name, (path, schema) in known.items()}
    probe = {"dataset": "one", "probe": "container", "videos": 36, "groups": 12}
    shortcuts = pd.DataFrame(
        [
            probe | {"feature": "all", "auroc": 0.52, "lower": 0.4, "upper": 0.6},
            probe | {"feature": "bytes", "auroc": 0.5, "lower": 0.4, "upper": 0.6},
            probe | {"feature": "encoder.crf", "auroc": 0.55, "lower": 0.4, "upper": 0.7},
        ]
    )
    return Dataset(
        key="one",
        built_in=True,
        shards=data / "shard/one",
        verdict={"passed": True, "rules": 3},
        shortcuts=shortcuts,
        **read,
    )


def scores_of(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, size)
    return labels, (labels + rng.normal(0, 1, size)).round(1)


def test_curves_agree_with_scikit_learn_ties_included():
    from sklearn.metrics import precision_recall_curve, roc_curve

    labels, scores = scores_of(0, 150)
    rows = plots.curve(labels, scores)
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose([row["fpr"] for row in rows], false_positive, atol=1e-5)
    np.testing.assert_allclose([row["tpr"] for row in rows], true_positive, atol=1e-5)
    precision, recall, _ = precision_recall_curve(labels, scores)
    np.testing.assert_allclose([row["precision"] for row in rows[1:]], precision[-2::-1], atol=1e-5)
    np.testing.assert_allclose([row["tpr"] for row in rows[1:]], recall[-2::-1], atol=1e-5)


def test_long_curves_are_thinned_and_keep_their_ends():
    labels, _ = scores_of(1, 5_000)
    rows = plots.curve(labels, np.random.default_rng(1).random(5_000))
    thin = plots.thinned(rows)
    assert len(thin) == plots.POINTS
    assert (thin[0], thin[-1]) == (rows[0], rows[-1])


def test_a_single_class_has_no_curve():
    assert plots.curve(np.ones(5, dtype=np.int64), np.arange(5.0)) == []


def test_confusion_counts_every_video_once_and_calls_fake_only_above_the_threshold():
    cells = plots.confusion(np.array([0, 0, 1, 1]), np.array([0.5, 0.6, 0.5, 0.9]), 0.5)
    assert {(cell["actual"], cell["predicted"]): cell["videos"] for cell in cells} == {
        ("real", "real"): 1,
        ("real", "fake"): 1,
        ("fake", "real"): 1,
        ("fake", "fake"): 1,
    }


def test_plot_files_are_json_that_browsers_read(dataset: Dataset, tmp_path: Path):
    plots.write(tmp_path, plots.rows_of_plots([dataset], 0.5) | {"empty": []})
    for path in tmp_path.iterdir():
        assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
        assert all(path.stem == "empty" or row["dataset"] == "one" for row in json.loads(path.read_text()))
    with pytest.raises(ValueError, match="not JSON compliant"):
        plots.write(tmp_path, {"roc": [{"tpr": float("nan")}]})
    assert sorted(path.name for path in tmp_path.iterdir())[0] == "confusion.json"


def test_counts_agree_with_the_tables(dataset: Dataset):
    rows = {(row["split"], row["class"]): row for row in facts.counts(dataset)}
    train_fake = rows["train", "fake"]
    assert (train_fake["videos"], train_fake["groups"], train_fake["official"]) == (12, 6, 12)
    assert sum(row["kept"] for row in rows.values()) == len(dataset.samples)
    assert sum(row["failed"] for row in rows.values()) == (dataset.frames.status == "failed").sum()
    assert (
        sum(number for row in rows.values() for _, number in row["reasons"])
        == (dataset.frames.status == "failed").sum()
    )


def test_every_rejected_video_is_named_with_its_reason(dataset: Dataset):
    rows = facts.rejected(dataset)
    assert [(row["reason"], row["count"]) for row in rows] == [("stray", 1), ("too_short", 1)]
    assert rows[1]["items"] == [("one/youtube/c23/one frame", "one frame: 1 of 2 frames")]


def test_leaks_say_which_splits_they_tie(dataset: Dataset):
    (row,) = facts.leaks(dataset)
    assert (row["train_test"], row["val_test"], row["train_val"], row["with_test"]) == (1, 0, 0, 1)


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [((0.4, 0.6), "clean"), ((0.51, 0.9), "tells"), ((0.1, 0.4), "below"), ((None, None), "unknown")],
)
def test_container_in_words(dataset: Dataset, ends: tuple, verdict: str):
    rows = dataset.shortcuts.assign(lower=ends[0], upper=ends[1])
    found = facts.container(replace(dataset, shortcuts=rows))
    assert found["verdict"] == verdict
    assert ("container alone tells" in found["words"]) == (verdict == "tells")


def test_container_facts_come_with_typical_values(dataset: Dataset):
    features = facts.container(dataset)["features"]
    assert [row["feature"] for row in features] == ["encoder.crf", "bytes"]
    assert (features[0]["real"], features[0]["fake"]) == ("23.0", "23.0")
    reals = dataset.videos[dataset.videos.label == tables.REAL]
    assert features[1]["real"] == f"{float(reals.bytes.median()):,.6g}"


def test_headline_equals_the_metrics_and_is_plain_json(dataset: Dataset):
    found = facts.headline([dataset])
    row = dataset.metrics.query("level == 'video' and method == 'all' and metric == 'auroc'").iloc[0]
    assert found["one"]["video"]["auroc"] == round(row["value"], 4)
    assert found["one"]["video"]["auroc_lo"] == round(row["lower"], 4)
    json.dumps(found, allow_nan=False)
    undefined = facts.headline([replace(dataset, metrics=dataset.metrics.assign(value=np.nan))])
    assert undefined["one"]["video"]["auroc"] is None


def test_caveats_follow_the_facts(dataset: Dataset):
    said = " ".join(caveats([dataset], ["one"]))
    assert "Fewer than 30 provenance groups" in said and "one (3)" in said
    assert "people of the test videos" in said and "built-in forgeries" in said and "could not be scored" in said
    assert "container alone" not in said
    told = replace(dataset, shortcuts=dataset.shortcuts.assign(lower=0.9, upper=1.0), built_in=False)
    said = " ".join(caveats([told], ["other"]))
    assert "container alone tells" in said
    assert "people of the test videos" not in said and "built-in" not in said


def test_sheet_is_even_spread_and_always_the_same(dataset: Dataset):
    sheet = pictures.sheet([dataset], 4)
    assert {name: len(part) for name, part in sheet.items()} == {"real": 2, "fake": 2}
    assert {picture["method"] for picture in sheet["fake"]} == {name for name, label in METHODS.items() if label == 1}
    shuffled = replace(dataset, samples=dataset.samples.sample(frac=1, random_state=3))
    assert pictures.sheet([shuffled], 4) == sheet
    content = base64.b64decode(sheet["real"][0]["source"].removeprefix("data:image/jpeg;base64,"))
    assert content[:2] == b"\xff\xd8"


def test_sheet_asks_for_no_more_than_there_is(dataset: Dataset):
    sheet = pictures.sheet([dataset], 200)
    assert len(sheet["real"]) == len(sheet["fake"]) == 3


def test_sheet_says_when_shards_are_not_there_or_others(dataset: Dataset, tmp_path: Path):
    with pytest.raises(UserError, match=r"set report[.]pictures to false"):
        pictures.sheet([replace(dataset, shards=tmp_path)], 4)
    (tmp_path / "all-000000.tar").write_bytes(b"")
    with pytest.raises(UserError, match="not the shard"):
        pictures.sheet([replace(dataset, shards=tmp_path)], 4)


def test_figures_are_well_formed_and_escaped():
    title = "<b> & 'é\""
    series = {title: [(0.0, 0.0), (1.0, 1.0)], "single": [(0.5, 0.5)]}
    for drawn in (
        figures.lines("a", title, series, figures.Axis(title), figures.Axis("y"), diagonal=True),
        figures.whiskers("b", title, [(title, 0.5, 0.4, 0.6), ("none", 0.7, None, None)]),
    ):
        assert ElementTree.fromstring(drawn).find("title").text == title
        assert "<b>" not in drawn


@pytest.mark.parametrize("values", [[0.0], [3.0, 3.0], [0.1, 0.7], [-2.0, 512.0], [1e-6, 4e-6], [0.0, 29.0], []])
def test_fitted_axis_holds_its_values(values: list[float]):
    axis = figures.fitted_axis("x", values)
    assert axis.low <= min(values, default=0) and axis.high >= max(values, default=1)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 8
