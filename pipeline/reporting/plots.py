"""Small long-form tables for `dvc plots`: one file per figure, a column `dataset`, the same names for ever."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.files import whole_or_absent
from pipeline.reporting.facts import Dataset, results
from pipeline.tables import CLASSES, FAKE

POINTS = 200  # of a curve at most

Rows = list[dict[str, Any]]


def rows_of_plots(datasets: Iterable[Dataset]) -> dict[str, Rows]:
    """Return the rows of each plot by name: roc, pr, confusion and methods, all of videos."""
    plots: dict[str, Rows] = {"roc": [], "pr": [], "confusion": [], "methods": []}
    for dataset in datasets:
        videos = scored_videos(dataset)
        labels, scores = videos.label.to_numpy(np.int64), videos.score.to_numpy(np.float64)
        name = {"dataset": dataset.key}
        points = thinned(curve(labels, scores))
        plots["roc"] += [name | {"fpr": point["fpr"], "tpr": point["tpr"]} for point in points]
        plots["pr"] += [name | {"recall": p["tpr"], "precision": p["precision"]} for p in points if "precision" in p]
        plots["confusion"] += [name | cell for cell in confusion(labels, scores, dataset.threshold)]
        plots["methods"] += [name | row for row in methods(dataset)]
    return plots


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


def methods(dataset: Dataset) -> Rows:
    """Return the video AUROC of each manipulation method against all reals, with interval, best first.

    Ends that are undefined are the figure itself, so that a bar without whisker is drawn.
    """
    rows = []
    for method, metrics in results(dataset).get("video", {}).items():
        figure = metrics.get("auroc")
        if method != "all" and figure and figure["value"] is not None:
            value = figure["value"]
            ends = {end: value if figure[end] is None else figure[end] for end in ("lower", "upper")}
            rows.append({"method": method} | {name: round(x, 4) for name, x in ({"auroc": value} | ends).items()})
    return sorted(rows, key=lambda row: (-row["auroc"], row["method"]))
