"""Small long-form tables for `dvc plots`: one file per figure, a column `dataset`, the same names for ever."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.files import whole_or_absent
from pipeline.metrics import calibration
from pipeline.reporting import results
from pipeline.reporting.facts import Dataset
from pipeline.tables import CLASSES, FAKE

POINTS = 200  # of a curve at most
BINS = 20  # of the scores from 0 to 1

Rows = list[dict[str, Any]]


def rows_of_plots(datasets: Iterable[Dataset]) -> dict[str, Rows]:
    """Return the rows of each plot by name, all of videos, each row with `dataset`.

    The names are roc, pr, confusion, reliability, histogram, methods and robustness; a plot without rows is empty.
    """
    names = ("roc", "pr", "confusion", "reliability", "histogram", "methods", "robustness")
    plots: dict[str, Rows] = {name: [] for name in names}
    for dataset in datasets:
        for name, rows in _of_dataset(dataset).items():
            plots[name] += [{"dataset": dataset.key} | row for row in rows]
    return plots


def _of_dataset(dataset: Dataset) -> dict[str, Rows]:
    videos = scored_videos(dataset)
    labels, scores = videos.label.to_numpy(np.int64), videos.score.to_numpy(np.float64)
    points = thinned(curve(labels, scores))
    return {
        "roc": [{"fpr": point["fpr"], "tpr": point["tpr"]} for point in points],
        "pr": [{"recall": point["tpr"], "precision": point["precision"]} for point in points if "precision" in point],
        "confusion": confusion(labels, scores, dataset.threshold),
        "reliability": reliability(labels, scores, dataset.rule["temperatures"]["video"]),
        "histogram": histogram(labels, scores),
        "methods": methods(dataset),
        "robustness": robustness(dataset),
    }


def write(folder: Path, plots: dict[str, Rows]) -> None:
    """Write each plot's rows to `<folder>/<name>.json`, one row a line; NaN would be no JSON and raises ValueError."""
    for name, rows in plots.items():
        lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
        with whole_or_absent(folder / f"{name}.json") as part:
            part.write_text(f"[\n{lines}\n]\n" if rows else "[]\n", encoding="utf-8")


def scored_videos(dataset: Dataset) -> pd.DataFrame:
    """Return the video rows of the scores that hold a score."""
    return dataset.scores[(dataset.scores.level == "video") & (dataset.scores.status == "scored")]


def curve(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> Rows:
    """Return fpr, tpr and precision at every threshold from the highest score down; nothing for a single class.

    The first point calls nothing fake: no precision there. `labels` (n,) 0 or 1; `scores` (n,), higher = more fake.
    """
    from sklearn.metrics import roc_curve

    fakes, reals = int((labels == FAKE).sum()), int((labels != FAKE).sum())
    if not fakes or not reals:
        return []
    fpr, tpr, _ = roc_curve(labels, scores, pos_label=FAKE, drop_intermediate=False)
    hits, alarms = tpr[1:] * fakes, fpr[1:] * reals
    points = zip(fpr[1:], tpr[1:], hits / (hits + alarms), strict=True)
    named = [dict(zip(("fpr", "tpr", "precision"), point, strict=True)) for point in points]
    return [{"fpr": 0.0, "tpr": 0.0}] + [{name: round(float(rate), 5) for name, rate in row.items()} for row in named]


def thinned(rows: Rows) -> Rows:
    """Return at most POINTS of `rows`, evenly spread, with both ends."""
    if len(rows) <= POINTS:
        return rows
    return [rows[index] for index in np.linspace(0, len(rows) - 1, POINTS).round().astype(int)]


def confusion(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], threshold: float) -> Rows:
    """Return the four cells `actual`, `predicted`, `videos`; a score above `threshold` is called fake."""
    called = (scores > threshold).astype(int)
    return [
        {"actual": actual, "predicted": predicted, "videos": int(((labels == label) & (called == call)).sum())}
        for label, actual in CLASSES.items()
        for call, predicted in CLASSES.items()
    ]


def reliability(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], temperature: float | None) -> Rows:
    """Return `mean_score` and `share_fake` of the `videos` of each bin of scores, as scored and calibrated.

    `temperature` is what calibrates them; None leaves the calibrated ones out.
    """
    stages = {"as scored": scores}
    if temperature is not None:
        stages["calibrated"] = calibration.calibrated(scores, temperature)
    return [
        {"scores": stage, "videos": point["count"]}
        | {name: round(point[name], 4) for name in ("mean_score", "share_fake")}
        for stage, read in stages.items()
        for point in calibration.reliability(labels, read)
    ]


def histogram(labels: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> Rows:
    """Return, for every class and bin from `low` to `high` that holds any, its `videos` and their share of the class.

    The BINS bins are equally wide; each holds its lower end, the last one both.
    """
    rows = []
    for label, name in CLASSES.items():
        of_class = scores[labels == label]
        counts, edges = np.histogram(of_class, bins=BINS, range=(0, 1))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            if count:
                place = {"class": name, "low": round(float(low), 4), "high": round(float(high), 4)}
                rows.append(place | {"videos": int(count), "share": round(float(count / len(of_class)), 4)})
    return rows


def methods(dataset: Dataset) -> Rows:
    """Return the video AUROC of each manipulation method against all reals, with interval, best first."""
    known = [(row["method"], row["figures"]["auroc"]) for row in results.by_method(dataset)]
    found = [{"method": method} | _auroc(figure) for method, figure in known if figure["value"] is not None]
    return sorted(found, key=lambda row: (-row["auroc"], row["method"]))


def robustness(dataset: Dataset) -> Rows:
    """Return the video AUROC under each corruption at each strength, with interval, and `unchanged`, that without it.

    `corruption` names its unit as well; one whose AUROC is undefined is left out.
    """
    return [
        {"corruption": f"{entry['name']} ({entry['unit']})", "strength": row["strength"]}
        | _auroc(row)
        | {"unchanged": round(entry["untouched"]["value"], 4)}
        for entry in results.robustness(dataset)
        for row in entry["rows"]
        if row["value"] is not None
    ]


def _auroc(figure: dict[str, Any]) -> dict[str, float]:
    """Return the figure and its interval; an undefined end is the figure itself: a point without whisker is drawn."""
    value = figure["value"]
    ends = {name: value if figure[name] is None else figure[name] for name in ("lower", "upper")}
    return {name: round(end, 4) for name, end in ({"auroc": value} | ends).items()}
