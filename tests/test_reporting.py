"""The report's parts: curves and counts against other ways to get them, figures as drawn, the choice of pictures."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from fabricated_project import METHODS, write_project
from pipeline import guards, tables
from pipeline.errors import UserError
from pipeline.reporting import charts, facts, figures, page, pictures, plots, report, results
from pipeline.reporting.caveats import caveats
from pipeline.reporting.facts import Dataset
from pipeline.reporting.knobs import Knobs, knobs_of
from pipeline.reporting.run import Run, read_run
from pipeline.reporting.source import Workspace

PROBED = {
    "container": [("all", 0.52, 0.4, 0.6), ("bytes", 0.5, 0.4, 0.6), ("encoder.crf", 0.55, 0.4, 0.7)],
    "picture": [("all", 0.62, 0.55, 0.7), ("sharpness", 0.61, 0.52, 0.7), ("jpeg_bytes", 0.45, 0.3, 0.6)],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on one dataset of 12 recordings, 3 of them in test, audited as PROBED says."""
    root = tmp_path_factory.mktemp("project")
    write_project(root, ["one"])
    figures = {"dataset": "one", "videos": 36, "groups": 12}
    rows = [
        figures | {"probe": probe, "feature": feature, "auroc": auroc, "lower": lower, "upper": upper}
        for probe, features in PROBED.items()
        for feature, auroc, lower, upper in features
    ]
    tables.write(root / "data/audit/shortcuts.parquet", rows, tables.SHORTCUTS, ["probe"])
    tables.write(root / "data/audit/leaks.parquet", [], tables.ACROSS, ["kind"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run = read_run(Workspace())
    return replace(run, source=Elsewhere(root))


class Elsewhere(Workspace):
    """A workspace in another folder than the current one; only pictures are read of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read_range(self, path: str, offset: int, size: int) -> bytes:
        return super().read_range(str(self.root / path), offset, size)


@pytest.fixture(scope="module")
def dataset(run: Run) -> Dataset:
    return run.datasets[0]


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


def test_sheet_is_even_spread_and_always_the_same(run: Run, dataset: Dataset):
    sheet = pictures.sheet(run, 4)
    assert {name: len(part) for name, part in sheet.items()} == {"real": 2, "fake": 2}
    assert {picture["method"] for picture in sheet["fake"]} == {name for name, label in METHODS.items() if label == 1}
    shuffled = replace(dataset, samples=dataset.samples.sample(frac=1, random_state=3))
    assert pictures.sheet(replace(run, datasets=[shuffled]), 4) == sheet
    content = base64.b64decode(sheet["real"][0]["source"].removeprefix("data:image/jpeg;base64,"))
    assert content[:2] == b"\xff\xd8"


def test_sheet_asks_for_no_more_than_there_is(run: Run):
    sheet = pictures.sheet(run, 200)
    assert len(sheet["real"]) == len(sheet["fake"]) == 3


def test_sheet_says_when_shards_are_not_there_or_others(run: Run, dataset: Dataset, tmp_path: Path):
    elsewhere = replace(run, source=Elsewhere(tmp_path))
    with pytest.raises(UserError, match=r"set report[.]pictures to false"):
        pictures.sheet(elsewhere, 4)
    for shard in dataset.samples.shard.unique():
        path = tmp_path / "data/shard/one" / shard
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    with pytest.raises(UserError, match="not the shard"):
        pictures.sheet(elsewhere, 4)


def test_figures_are_well_formed_and_escaped():
    title = "<b> & 'é\""
    series = {title: [(0.0, 0.0), (1.0, 1.0)], "single": [(0.5, 0.5)]}
    axis = figures.Axis("x")
    for drawn in (
        figures.lines("a", title, series, figures.Axis(title), figures.Axis("y"), diagonal=True),
        figures.whiskers("b", title, [(title, 0.5, 0.4, 0.6), ("none", 0.7, None, None)]),
        figures.whiskers("c", title, [(title, 0.5, 0.4, 0.6), ("none", 0.7, None, None)], [0.6, None]),
        figures.lines("d", title, series, axis, axis, points=True, bars=[(0.5, 0.2, 0.7)], level=0.5),
        figures.steps("e", title, {title: [0.2, 0.8], "b": [1.0, 0.0]}, axis, axis, 0.5),
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


def test_figures_are_of_the_part_that_is_asked_for(dataset: Dataset):
    every, free = results.figures(dataset), results.figures(dataset, subset="leak_free")
    assert set(results.TITLES) <= set(every)
    assert (every["auroc"]["real"] + every["auroc"]["fake"], every["auroc"]["expected"]) == (8, 9)
    assert every["auroc"]["coverage"] == pytest.approx(8 / 9)
    assert free["auroc"]["expected"] < every["auroc"]["expected"]
    assert results.figures(dataset, "frame")["auroc"]["expected"] == 18
    assert results.figures(dataset, method="unheard of") == {}
    assert {row["method"] for row in results.by_method(dataset)} == {name for name, label in METHODS.items() if label}
    assert results.by_compression(dataset) == []  # there is only c23
    assert [row["rule"] for row in results.by_rule(dataset) if row["main"]] == ["mean"]


def test_hardest_method_comes_first(dataset: Dataset):
    metrics = dataset.metrics.copy()
    metrics.loc[(metrics.method == "Deepfakes") & (metrics.metric == "auroc"), "value"] = 0.3
    assert next(row["method"] for row in results.by_method(replace(dataset, metrics=metrics))) == "Deepfakes"


def test_robustness_keeps_the_pictures_as_they_are_apart(dataset: Dataset):
    (blur,) = results.robustness(dataset)
    assert (blur["name"], blur["unit"], blur["untouched"]["value"]) == ("blur", "pixels", 0.9)
    assert [(row["strength"], row["value"]) for row in blur["rows"]] == [(1.0, 0.8), (2.0, pytest.approx(0.7))]
    assert results.robustness(replace(dataset, robustness=dataset.robustness.iloc[:0])) == []


@pytest.mark.parametrize(
    ("chosen", "said"), [("given", "is a parameter"), ("majority", "is a majority"), ("midpoint", "on validation")]
)
def test_the_threshold_is_told_with_where_it_comes_from(dataset: Dataset, chosen: str, said: str):
    words = results.decision_in_words(replace(dataset, rule=dataset.rule | {"chosen": chosen, "videos": "max"}))
    assert "the highest of its frames'" in words and "The threshold, 0.500," in words and said in words


def with_figure(dataset: Dataset, metric: str, subset: str = "all", **values: float | None) -> Dataset:
    metrics = dataset.metrics.copy()
    metrics.loc[(metrics.metric == metric) & (metrics.subset == subset), list(values)] = list(values.values())
    return replace(dataset, metrics=metrics)


def test_caveat_where_the_auroc_has_no_interval_or_no_value(dataset: Dataset):
    def said(value: float) -> str:
        metrics = dataset.metrics.copy()
        metrics.loc[metrics.metric == "auroc", ["value", "lower", "upper"]] = [value, np.nan, np.nan]
        probed = dataset.shortcuts.assign(auroc=0.879)
        return " ".join(caveats([replace(dataset, metrics=metrics, shortcuts=probed)], ["one"], []))

    assert "cannot be ruled out: one (0.863, floor 0.879)" in said(0.863) and "no video AUROC" not in said(0.863)
    assert "There is no video AUROC" in said(np.nan) and "cannot be ruled out" not in said(np.nan)


@pytest.mark.parametrize(
    ("free", "said"),
    [(0.9, ""), (0.6, "clearly other video AUROC"), (None, "No leak-free test videos"), (0.99, "clearly other")],
)
def test_caveat_about_the_leak_free_videos(dataset: Dataset, free: float | None, said: str):
    told = with_figure(dataset, "auroc", value=0.9, lower=0.8, upper=0.95)
    sentences = " ".join(caveats([with_figure(told, "auroc", "leak_free", value=free)], ["one"], []))
    assert said in sentences
    assert ("eak-free" in sentences) == bool(said)
    if free == 0.6:
        assert "one (0.600 against 0.900)." in sentences


@pytest.mark.parametrize(("error", "said"), [(0.02, False), (0.3, True)])
def test_caveat_about_calibration_is_about_the_score_with_its_temperature(dataset: Dataset, error: float, said: bool):
    told = with_figure(with_figure(dataset, "ece", value=0.5), "ece_calibrated", value=error)
    assert ("may not be read as a probability" in " ".join(caveats([told], ["one"], []))) == said


def test_caveats_about_robustness(dataset: Dataset):
    def said(robustness: pd.DataFrame) -> str:
        return " ".join(caveats([replace(dataset, robustness=robustness)], ["one"], []))

    assert "blur or noise was not measured" in said(dataset.robustness.iloc[:0])
    assert "intra only" not in said(dataset.robustness) and "not measured" not in said(dataset.robustness)
    assert "intra only" in said(dataset.robustness.assign(corruption="h264"))


def changed(run: Run, name: str) -> Run:
    """The run under another name, with another learning rate and worse scores."""
    dataset = run.datasets[0]
    scores = dataset.scores.assign(score=(dataset.scores.score * 7) % 1)
    figures = with_figure(replace(dataset, scores=scores), "auroc", value=0.6, lower=0.4, upper=0.7)
    return replace(run, name=name, commit="0123456789abcdef", params=run.params | {"lr": 0.5}, datasets=[figures])


def test_two_runs_are_compared_and_what_is_equal_is_shown_once(run: Run):
    html = report.render([run, changed(run, "<topic>")], "html", Knobs(errors=1, timelines=1))
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids)) and "comparison" in ids
    assert "<topic>" not in html and "&lt;topic&gt; against the workspace" in html
    assert html.count("the same in every run") >= 1 and html.count('id="d0"') == 1 and 'id="d1"' not in html
    assert re.search(r"<code>lr</code></th><td[^>]*>[^<]*</td><td[^>]*>0.5</td>", html)
    assert {"r0d0", "r1d0", "roc-all-0"} <= set(ids)
    assert "0123456789" in html and "0123456789abcdef" not in html


def test_other_data_of_two_runs_are_shown_for_each(run: Run):
    other = replace(run.datasets[0], assignments=run.datasets[0].assignments.iloc[1:])
    assert not facts.same_data(run.datasets[0], other) and facts.same_data(other, replace(other, scores=None))
    html = report.render([run, replace(run, name="topic", datasets=[other])], "html", Knobs(pictures=False))
    assert 'id="d1"' in html and "the same in every run" not in html and ">of topic</span>" in html


def test_the_page_of_one_run_compares_nothing_and_holds_what_the_knobs_say(run: Run):
    html = report.render([run], "html", Knobs(pictures=False, timelines=0))
    assert 'id="comparison"' not in html and "<img" not in html and "data:image" not in html
    assert page.summary(run) in html and "of the workspace" not in html
    assert "<img" in report.render([run], "html", Knobs(sheet=4))


def test_learning_curves_of_several_runs_are_one_chart_per_figure(run: Run):
    alone, together = charts.curves([run]), charts.curves([run, replace(run, name="topic")])
    assert [(chart["title"], chart["lines"]) for chart in alone] == [("Loss", ["train", "val"]), ("AUROC", ["val"])]
    assert [chart["title"] for chart in together] == ["Loss, train", "AUROC, val", "Loss, val"]
    assert all(chart["lines"] == ["the workspace", "topic"] for chart in together)


def test_the_headline_says_how_sure_a_difference_is():
    row = {"metric": "auroc", "dataset": "one", "first": 0.8, "second": 0.9, "difference": 0.1, "p": None, "groups": 30}
    clear = row | {"lower": 0.05, "upper": 0.15}
    unclear = row | {"dataset": "two", "second": 0.7, "difference": -0.1, "lower": -0.3, "upper": 0.1}
    words = page._headline("topic", [unclear, clear])
    assert words.startswith(
        "topic: the AUROC on one rose from 0.800 to 0.900 (+0.100, 95 % interval +0.050 to +0.150 over 30 groups);"
    )
    assert words.endswith(
        "; no clear difference in AUROC on two, from 0.800 to 0.700 (−0.100, 95 % interval −0.300 to +0.100 over 30 "
        "groups)."
    )
    assert "too few groups to be sure" in page._headline("topic", [clear | {"groups": 29}])
    assert "p < 0.001" in page._headline("topic", [clear | {"p": 0.0001}])
    assert "no interval" in page._headline("topic", [row | {"lower": None, "upper": None}])
    assert "not known" in page._headline("topic", [clear | {"difference": None}])
    assert "no dataset" in page._headline("topic", [])


def test_knobs_of_an_older_revision_are_the_defaults():
    assert knobs_of({"report": {"pictures": False, "sheet": 8, "gone": 1}}) == Knobs(pictures=False, sheet=8)
    assert knobs_of({}) == knobs_of({"report": None}) == Knobs()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "names no datasets"),
        ("datasets: [one]", "names no datasets"),
        ("datasets: {one: {layout: ffpp}}", r"params.yaml of the workspace: datasets.one.root: Field required"),
    ],
)
def test_a_run_without_readable_datasets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
):
    (tmp_path / "params.yaml").write_text(content)
    (tmp_path / "data/audit").mkdir(parents=True)
    tables.write(tmp_path / "data/audit/shortcuts.parquet", [], tables.SHORTCUTS, ["probe"])
    tables.write(tmp_path / "data/audit/leaks.parquet", [], tables.ACROSS, ["kind"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        read_run(Workspace())
