"""The report's parts: curves and counts against other ways to get them, figures as drawn, the choice of pictures."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from fabricated_project import METHODS, write_dataset
from pipeline import guards, tables
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
        "ties": ("split/one/ties", tables.TIES),
        "frames": ("extract/one/frames", tables.FRAMES),
        "filled": ("extract/one/quotas", tables.FILLED),
        "samples": ("shard/one/samples", tables.SAMPLES),
        "scores": ("evaluate/one/scores", tables.SCORES),
        "metrics": ("evaluate/one/metrics", tables.METRICS),
    }
    read = {name: tables.read(data / f"{path}.parquet", schema) for name, (path, schema) in known.items()}
    probed = {
        "container": [("all", 0.52, 0.4, 0.6), ("bytes", 0.5, 0.4, 0.6), ("encoder.crf", 0.55, 0.4, 0.7)],
        "picture": [("all", 0.62, 0.55, 0.7), ("sharpness", 0.61, 0.52, 0.7), ("jpeg_bytes", 0.45, 0.3, 0.6)],
    }
    figures = ["feature", "auroc", "lower", "upper"]
    parts = [pd.DataFrame(rows, columns=figures).assign(probe=probe) for probe, rows in probed.items()]
    shortcuts = pd.concat(parts, ignore_index=True).assign(dataset="one", videos=36, groups=12)
    return Dataset(
        key="one",
        built_in=True,
        subset=None,
        across=pd.DataFrame(columns=tables.ACROSS.names),
        shards=data / "shard/one",
        verdict={"passed": True, "rules": 3},
        rule={"videos": "mean", "thresholds": {"frame": 0.5, "video": 0.5}, "guards_lifted": {}},
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
    plots.write(tmp_path, plots.rows_of_plots([dataset]) | {"empty": []})
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


def test_ties_say_how_many_videos_of_which_splits_and_by_what(dataset: Dataset):
    rows = {row["kind"]: row for row in facts.ties(dataset)}
    assert list(rows) == ["target_person", "person"]
    assert [rows["person"][name] for name in ("test_to_train", "test_to_val", "val_to_train")] == [3, 0, 0]
    assert rows["person"]["items"] == [("corpus/id<1>", "3 of train, 3 of test")]


ACROSS = {"kind": "recording", "node": "corpus/7", "learned": "other", "tested": "one"}
ACROSS |= {"learned_videos": 4, "tested_videos": 2}


def test_ties_across_name_the_other_dataset(dataset: Dataset):
    rows = pd.DataFrame([ACROSS, ACROSS | {"node": "corpus/8"}, ACROSS | {"learned": "another", "kind": "content"}])
    found = facts.ties_across(replace(dataset, across=rows))
    assert [(row["learned"], row["kind"], len(row["items"])) for row in found] == [
        ("another", "content", 1),
        ("other", "recording", 2),
    ]
    assert found[1]["items"][0] == ("corpus/7", "4 of other, 2 of test here")


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [((0.4, 0.6), "clean"), ((0.51, 0.9), "tells"), ((0.1, 0.4), "below"), ((None, None), "unknown")],
)
def test_probes_in_words_and_more_than_chance_is_a_fault_of_the_container_alone(
    dataset: Dataset, ends: tuple, verdict: str
):
    told = replace(dataset, shortcuts=dataset.shortcuts.assign(lower=ends[0], upper=ends[1]))
    container, picture = facts.container(told), facts.picture(told)
    assert container["verdict"] == picture["verdict"] == verdict
    assert ("a fault" in container["words"]) == (verdict == "tells")
    assert "fault" not in picture["words"]


def test_probes_show_their_own_figures_and_features(dataset: Dataset):
    container, picture = facts.container(dataset), facts.picture(dataset)
    assert (container["value"], picture["value"]) == (0.52, 0.62)
    assert [row["feature"] for row in container["features"]] == ["encoder.crf", "bytes"]
    assert [(row["feature"], row["tells"]) for row in picture["features"]] == [
        ("sharpness", True),
        ("jpeg_bytes", False),
    ]


def test_features_come_with_typical_values(dataset: Dataset):
    crf, size = facts.container(dataset)["features"]
    assert (crf["real"], crf["fake"]) == ("23.0", "23.0")
    reals = dataset.videos[dataset.videos.label == tables.REAL]
    assert size["real"] == f"{float(reals.bytes.median()):,.0f}"
    kept = dataset.frames[(dataset.frames.status == "kept") & (dataset.frames.label == tables.FAKE)]
    sharpness, _ = facts.picture(dataset)["features"]
    assert sharpness["fake"] == f"{kept.groupby('video').sharpness.median().median():,.6g}"


def test_a_fact_that_most_videos_do_not_state_is_typically_none(dataset: Dataset):
    fakes = dataset.videos.label == tables.FAKE
    told = dataset.videos.assign(color_space=dataset.videos.color_space.where(~fakes, "bt709"), gop=None)
    alone = dataset.shortcuts.iloc[[1, 1]].assign(feature=["color_space", "gop"])
    rows = pd.concat([dataset.shortcuts.iloc[[0]], alone])
    space, gop = facts.container(replace(dataset, videos=told, shortcuts=rows))["features"]
    assert (space["real"], space["fake"], gop["real"]) == ("none", "bt709", "none")


@pytest.mark.parametrize(("value", "floor"), [(0.62, 0.62), (0.3, 0.5), (np.nan, None)])
def test_the_floor_is_the_picture_figure_and_never_below_chance(dataset: Dataset, value: float, floor: float | None):
    assert facts.picture(replace(dataset, shortcuts=dataset.shortcuts.assign(auroc=value)))["floor"] == floor


def test_headline_equals_the_metrics_and_is_plain_json(dataset: Dataset):
    found = facts.headline([dataset])
    row = dataset.metrics.query("level == 'video' and method == 'all' and metric == 'auroc'").iloc[0]
    assert found["one"]["video"]["auroc"] == round(row["value"], 4)
    assert found["one"]["video"]["auroc_lo"] == round(row["lower"], 4)
    json.dumps(found, allow_nan=False)
    undefined = facts.headline([replace(dataset, metrics=dataset.metrics.assign(value=np.nan))])
    assert undefined["one"]["video"]["auroc"] is None


def test_caveats_follow_the_facts(dataset: Dataset):
    said = " ".join(caveats([dataset], ["one"], []))
    assert "Fewer than 30 provenance groups" in said and "one (3)" in said
    assert "people of the test videos" in said and "built-in forgeries" in said and "could not be scored" in said
    assert "one (3 test videos tied to train, 0 to validation)" in said
    assert "container alone" not in said and "groups were taken" not in said and "tied to:" not in said
    told = replace(dataset, shortcuts=dataset.shortcuts.assign(lower=0.9, upper=1.0), built_in=False, subset=0.02)
    said = " ".join(caveats([told], ["other"], []))
    assert "container alone tells" in said and "one (2 % of the provenance groups)" in said
    assert "people of the test videos" not in said and "built-in" not in said


def test_lifted_guards_are_told_once_with_all_their_places(dataset: Dataset):
    fault = {"reversed_vote": "more fake frames make it less fake"}
    told = replace(dataset, rule=dataset.rule | {"guards_lifted": fault})
    card = {"guards_lifted": {"frame_split": "groups are torn"}}
    assert facts.lifted(card, [told, replace(told, key="two"), replace(dataset, key="three")]) == [
        {"name": "frame_split", "said": "groups are torn", "places": ["train"]},
        {"name": "reversed_vote", "said": fault["reversed_vote"], "places": ["evaluate one", "evaluate two"]},
    ]
    assert facts.lifted({"guards_lifted": {}}, [dataset]) == []


@pytest.mark.parametrize("name", get_args(guards.Name))
def test_every_guard_that_was_lifted_limits_what_may_be_concluded(dataset: Dataset, name: guards.Name):
    sentences = caveats([dataset], ["one"], [name, name])
    assert sentences == [sentences[0], *caveats([dataset], ["one"], [])]
    assert sentences[0].endswith(f"(guard {name} was lifted).")


def test_confusion_is_by_the_threshold_of_each_dataset(dataset: Dataset):
    low, high = (
        replace(dataset, key=str(at), rule=dataset.rule | {"thresholds": {"frame": 0.5, "video": at}})
        for at in (-1.0, 2.0)
    )
    called = {
        (cell["dataset"], cell["predicted"]): cell["videos"]
        for cell in plots.rows_of_plots([low, high])["confusion"]
        if cell["actual"] == "fake"
    }
    assert called["-1.0", "real"] == called["2.0", "fake"] == 0
    assert called["-1.0", "fake"] == called["2.0", "real"] > 0


def test_caveat_about_other_datasets_only_where_they_were_learned_from(dataset: Dataset):
    tied = replace(dataset, across=pd.DataFrame([ACROSS]))
    assert "that its test videos are tied to: one (recording, with other)." in " ".join(caveats([tied], ["other"], []))
    assert "tied to: " not in " ".join(caveats([tied], ["third"], []))


@pytest.mark.parametrize(
    ("lower", "floor", "said"), [(0.7, 0.62, False), (0.62, 0.62, True), (0.6, 0.62, True), (0.6, 0.4, False)]
)
def test_caveat_when_the_model_is_not_above_the_picture_floor(dataset: Dataset, lower: float, floor: float, said: bool):
    metrics = dataset.metrics.copy()
    metrics.loc[metrics.metric == "auroc", ["value", "lower", "upper"]] = [0.9, lower, 0.95]
    probed = dataset.shortcuts.assign(auroc=floor)
    sentences = caveats([replace(dataset, metrics=metrics, shortcuts=probed)], ["one"], [])
    assert any("does not lie above the picture floor" in sentence for sentence in sentences) == said
    if said:
        assert any(f"one ({lower:.3f} to 0.950, floor {floor:.3f})" in sentence for sentence in sentences)


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
    for shard in dataset.samples.shard.unique():
        (tmp_path / shard).parent.mkdir(exist_ok=True)
        (tmp_path / shard).write_bytes(b"")
    with pytest.raises(UserError, match="not the shard"):
        pictures.sheet([replace(dataset, shards=tmp_path)], 4)


def test_figures_are_well_formed_and_escaped():
    title = "<b> & 'é\""
    series = {title: [(0.0, 0.0), (1.0, 1.0)], "single": [(0.5, 0.5)]}
    for drawn in (
        figures.lines("a", title, series, figures.Axis(title), figures.Axis("y"), diagonal=True),
        figures.whiskers("b", title, [(title, 0.5, 0.4, 0.6), ("none", 0.7, None, None)]),
        figures.whiskers("c", title, [(title, 0.5, 0.4, 0.6), ("none", 0.7, None, None)], [0.6, None]),
    ):
        assert drawn.count('class="floor"') == ('title id="c"' in drawn)
        assert ElementTree.fromstring(drawn).find("title").text == title
        assert "<b>" not in drawn


@pytest.mark.parametrize("values", [[0.0], [3.0, 3.0], [0.1, 0.7], [-2.0, 512.0], [1e-6, 4e-6], [0.0, 29.0], []])
def test_fitted_axis_holds_its_values(values: list[float]):
    axis = figures.fitted_axis("x", values)
    assert axis.low <= min(values, default=0) and axis.high >= max(values, default=1)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 8
