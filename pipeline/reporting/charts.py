"""The figures of the page: facts and results drawn, each with a text that says what is to be seen."""

from typing import Any

import numpy as np
from markupsafe import Markup

from pipeline.reporting import figures, plots, results
from pipeline.reporting.facts import Dataset
from pipeline.reporting.run import Curves, Run
from pipeline.tables import CLASSES

_CORRUPTIONS = {"jpeg": "JPEG", "h264": "H.264 of one frame"}


def roc(name: str, of_runs: dict[str, Dataset]) -> Markup | None:
    """Return the ROC curves of one dataset's test videos, one line per run (its name -> the run's dataset)."""
    series = {run: _roc_points(dataset) for run, dataset in of_runs.items()}
    series = {run: points for run, points in series.items() if points}
    if not series:
        return None
    aurocs = [f"{run} {number((results.auroc(of_runs[run]) or {}).get('value'))}" for run in series]
    text = f"ROC curve of the test videos; AUROC: {', '.join(aurocs)}. The dashed diagonal is chance."
    x, y = figures.Axis("False positive rate"), figures.Axis("True positive rate")
    return figures.lines(name, text, series, x, y, diagonal=True)


def _roc_points(dataset: Dataset) -> list[figures.Point]:
    labels, scores = labels_and_scores(dataset)
    return [(point["fpr"], point["tpr"]) for point in plots.thinned(plots.curve(labels, scores))]


def histogram(name: str, dataset: Dataset) -> Markup | None:
    """Return how the videos' scores spread by class, as shares of each class, with the threshold."""
    labels, scores = labels_and_scores(dataset)
    edges = np.linspace(0, 1, plots.BINS + 1)
    shares = {}
    for label, word in CLASSES.items():
        counted, _ = np.histogram(scores[labels == label], edges)
        if counted.sum():
            shares[word] = (counted / counted.sum()).tolist()
    if not shares:
        return None
    above = [f"{(scores[labels == label] > dataset.threshold).mean():.0%} of {word}" for label, word in _known(labels)]
    text = f"Scores of the test videos by class. Above the threshold {dataset.threshold:.3f}: {', '.join(above)}."
    top = figures.fitted_axis("Share of its class", [max(map(max, shares.values()))], from_zero=True)
    return figures.steps(name, text, shares, figures.Axis("Score"), top, mark=dataset.threshold)


def _known(labels: Any) -> list[tuple[int, str]]:
    return [(label, word) for label, word in CLASSES.items() if (labels == label).any()]


def reliability(name: str, dataset: Dataset) -> Markup | None:
    """Return the share of fakes against the score, before and after the temperature; a calibrated one is diagonal."""
    from pipeline.metrics import calibration

    labels, scores = labels_and_scores(dataset)
    if not len(labels):
        return None
    series = {"as scored": _reliability_points(labels, scores)}
    if (temperature := dataset.rule["temperatures"]["video"]) is not None:
        series["with temperature"] = _reliability_points(labels, calibration.calibrated(scores, temperature))
    text = "Share of fakes among the videos of about the same score; the dashed diagonal is perfect calibration."
    x, y = figures.Axis("Mean score of the bin"), figures.Axis("Share of fakes")
    return figures.lines(name, text, series, x, y, diagonal=True, points=True)


def _reliability_points(labels: Any, scores: Any) -> list[figures.Point]:
    from pipeline.metrics import calibration

    return [(row["mean_score"], row["share_fake"]) for row in calibration.reliability(labels, scores)]


def methods(name: str, rows: list[dict[str, Any]]) -> Markup | None:
    """Return the video AUROC of each forgery method with its interval; `rows` are results.by_method."""
    drawn = [_row(row["method"], row["figures"]["auroc"]) for row in rows]
    return aurocs(name, "Video AUROC of each forgery method", drawn)


def aurocs(
    name: str, what: str, rows: list[tuple[str, Any, Any, Any]], floors: list[float | None] | None = None
) -> Markup | None:
    """Return figures with intervals, one row each: (title, value, lower, upper); None where none has a value."""
    kept = [index for index, row in enumerate(rows) if row[1] is not None]
    if not kept:
        return None
    shown = [rows[index] for index in kept]
    marks = [floors[index] for index in kept] if floors else None
    text = f"{what} with 95 % interval: {spoken(shown)}."
    if marks and (known := [f"{row[0]} {floor:.3f}" for row, floor in zip(shown, marks, strict=True) if floor]):
        text += f" Picture floors: {'; '.join(known)}."
    return figures.whiskers(name, text, shown, marks)


def robustness(name: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one chart per corruption of results.robustness: AUROC against strength, dashed where nothing is done."""
    charts = []
    for number_, entry in enumerate(entries):
        points = [(row["strength"], row["value"]) for row in entry["rows"] if row["value"] is not None]
        if not points:
            continue
        before = (entry["untouched"] or {}).get("value")
        title = _CORRUPTIONS.get(entry["name"], entry["name"].capitalize())
        x = figures.fitted_axis(f"{title} ({entry['unit']})", [strength for strength, _ in points])
        y = figures.Axis("Video AUROC")
        said = "; ".join(f"{strength:g}: {value:.3f}" for strength, value in points)
        text = f"Video AUROC under {title}, {entry['unit']}: {said}; pictures as they are: {number(before)}."
        bars = [(row["strength"], row["lower"], row["upper"]) for row in entry["rows"] if row["lower"] is not None]
        chart = figures.lines(
            f"{name}-{number_}", text, {"changed": points}, x, y, points=True, bars=bars, level=before
        )
        charts.append({"title": title, "unit": entry["unit"], "chart": chart, **entry})
    return charts


def curves(runs: list[Run]) -> list[dict[str, Any]]:
    """Return charts of training figures: of one run `train/loss` and `val/loss` share one, of several each has its own.

    A chart of several runs has one line per run.
    """
    charts: dict[str, Curves] = {}
    for run in runs:
        for name, points in sorted(run.curves.items()):
            part, _, title = name.rpartition("/")
            chart, line = (title, part or title) if len(runs) == 1 else (name, run.name)
            charts.setdefault(chart, {})[line] = points
    drawn = []
    for chart, series in charts.items():
        part, _, title = chart.rpartition("/")
        points = [point for line in series.values() for point in line]
        x = figures.fitted_axis("Epoch", [epoch for epoch, _ in points], whole=True)
        words = results.TITLES.get(title, title.replace("_", " ").capitalize()) + (f", {part}" if part else "")
        y = figures.fitted_axis(words, [value for _, value in points], from_zero=title == "loss")
        ends = ", ".join(f"{line} ends at {values[-1][1]:.3f}" for line, values in series.items() if values)
        drawing = figures.lines(f"curve-{chart.replace('/', '-')}", f"{words} by epoch: {ends}.", series, x, y)
        drawn.append({"title": words, "lines": list(series), "chart": drawing})
    return drawn


def labels_and_scores(dataset: Dataset) -> tuple[Any, Any]:
    """Return labels (n,) int64 and scores (n,) float64 of the test videos that have a score."""
    videos = plots.scored_videos(dataset)
    return videos.label.to_numpy("int64"), videos.score.to_numpy("float64")


def spoken(rows: list[tuple[str, Any, Any, Any]]) -> str:
    """Return rows of (title, value, lower, upper) in words."""
    return "; ".join(
        f"{title} {value:.3f}" + ("" if lower is None else f" ({lower:.3f} to {upper:.3f})")
        for title, value, lower, upper in rows
    )


def number(value: float | None) -> str:
    """Return a figure with three digits; a dash where it is undefined."""
    return "–" if value is None else f"{value:.3f}"


def _row(title: str, figure: dict[str, Any]) -> tuple[str, Any, Any, Any]:
    return title, figure["value"], figure["lower"], figure["upper"]
