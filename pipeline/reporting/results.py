"""How good the detector is: the figures of tables.METRICS as plain values for the page."""

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from pipeline.evaluation.decisions import BY_MAJORITY, GIVEN, NO_VALIDATION
from pipeline.metrics.bootstrap import FEW_GROUPS
from pipeline.reporting.facts import Dataset, groups_tested, interval

Figures = dict[str, dict[str, Any]]

TITLES = {
    "auroc": "AUROC",
    "partial_auroc": "Partial AUROC",
    "ap": "AP",
    "eer": "EER",
    "tpr_at_1_fpr": "TPR at 1 % FPR",
    "tpr_at_5_fpr": "TPR at 5 % FPR",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "f1": "F1",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
}
RANKING = ("auroc", "partial_auroc", "ap", "eer", "tpr_at_1_fpr", "tpr_at_5_fpr")  # of no threshold
CALLING = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1")  # of the threshold
CALIBRATION = ("log_loss", "brier", "ece")
RULES = {
    "mean": "the mean of its frames'",
    "median": "the median of its frames'",
    "max": "the highest of its frames'",
    "top_k": "the mean of its five highest frames'",
    "confident_mean": "the mean of its frames' that are sure, where there are many of them, else of all",
    "vote": "the share of its frames that are called fake",
    "reversed_vote": "a vote of its frames in which a small lead decides against itself",
}
_CHOSEN = {GIVEN: "is a parameter", BY_MAJORITY: "is a majority", NO_VALIDATION: f"is {NO_VALIDATION}"}


def figures(
    dataset: Dataset,
    level: str = "video",
    *,
    rule: str | None = None,
    subset: str = "all",
    method: str = "all",
    compression: str = "all",
) -> Figures:
    """Return the figures of one part of the test set by metric; nothing where that part was not evaluated.

    Each has value, lower, upper (None where undefined), real, fake, groups, expected and `coverage`, the share of the
    expected items that was scored (None of none). `rule` is that of videos; None = the one of evaluate.videos.
    """
    rows = dataset.metrics
    rule = "" if level == "frame" else rule or dataset.rule["videos"]
    part = {"level": level, "rule": rule, "subset": subset, "method": method, "compression": compression}
    wanted = np.logical_and.reduce([rows[column] == value for column, value in part.items()])
    return {row["metric"]: _figure(row) for row in rows[wanted].to_dict("records")}


def _figure(row: dict[Hashable, Any]) -> dict[str, Any]:
    items = {name: int(row[name]) for name in ("real", "fake", "groups", "expected")}
    coverage = (items["real"] + items["fake"]) / items["expected"] if items["expected"] else None
    return interval(row["value"], row["lower"], row["upper"]) | items | {"coverage": coverage}


def auroc(dataset: Dataset) -> dict[str, Any] | None:
    """Return the video AUROC over all test items; None where it was not worked out."""
    return figures(dataset).get("auroc")


def tested(dataset: Dataset) -> dict[str, Any]:
    """Return what is behind the video figures: real, fake, groups, expected, coverage, and `few`: too few groups."""
    some = next(iter(figures(dataset).values()), {"real": 0, "fake": 0, "expected": 0, "coverage": None})
    groups = groups_tested(dataset)
    names = ("real", "fake", "expected", "coverage")
    return {name: some[name] for name in names} | {"groups": groups, "few": groups < FEW_GROUPS}


def by_rule(dataset: Dataset) -> list[dict[str, Any]]:
    """Return one row per way from frames to a video's score: its name, words, figures, and whether it is `the` one."""
    known = set(dataset.metrics[dataset.metrics.level == "video"].rule)
    return [
        {"rule": rule, "words": words, "main": rule == dataset.rule["videos"], "figures": figures(dataset, rule=rule)}
        for rule, words in RULES.items()
        if rule in known
    ]


def by_method(dataset: Dataset) -> list[dict[str, Any]]:
    """Return one row per forgery method against all reals, hardest first: video figures, and AUROC of its leak-free
    videos and of its frames."""
    rows = [
        {"method": method, "figures": found}
        | {"leak_free": figures(dataset, subset="leak_free", method=method).get("auroc")}
        | {"frame": figures(dataset, "frame", method=method).get("auroc")}
        for method, found in _parts(dataset, "method")
    ]
    return sorted(rows, key=lambda row: (row["figures"]["auroc"]["value"] or 0.0, row["method"]))


def by_compression(dataset: Dataset) -> list[dict[str, Any]]:
    """Return one row per level of compression with its video figures; nothing where there is only one."""
    rows = [
        {"compression": name, "figures": found}
        | {"leak_free": figures(dataset, subset="leak_free", compression=name).get("auroc")}
        for name, found in _parts(dataset, "compression")
    ]
    return rows if len(rows) > 1 else []


def _parts(dataset: Dataset, column: str) -> Iterator[tuple[str, Figures]]:
    for value in sorted(set(dataset.metrics[column]) - {"all"}):
        found = figures(dataset, **{column: value})
        if found.get("auroc"):
            yield value, found


def calibration(dataset: Dataset) -> dict[str, Any]:
    """Return the temperature, and how well probabilities hold before and after it (None where none was fitted)."""
    found = figures(dataset)
    rows = [
        {"title": TITLES[name], "before": found[name], "after": found.get(f"{name}_calibrated")}
        for name in CALIBRATION
        if name in found
    ]
    return {"temperature": dataset.rule["temperatures"]["video"], "rows": rows}


def robustness(dataset: Dataset) -> list[dict[str, Any]]:
    """Return one entry per corruption: unit, the figure of the pictures as they are, and a row per strength, by it."""
    entries = []
    for name, part in dataset.robustness.groupby("corruption", sort=True):
        rows = [
            {"strength": None if row["strength"] != row["strength"] else float(row["strength"])}
            | interval(row["auroc"], row["lower"], row["upper"])
            | {"videos": int(row["videos"])}
            for row in part.sort_values("strength").to_dict("records")
        ]
        untouched = next((row for row in rows if row["strength"] is None), None)
        changed = [row for row in rows if row["strength"] is not None]
        entries.append({"name": name, "unit": part.unit.iloc[0], "untouched": untouched, "rows": changed})
    return entries


def decision_in_words(dataset: Dataset) -> str:
    """Return what a video's score is, above which threshold it is called fake, and where that comes from."""
    rule = dataset.rule
    chosen = _CHOSEN.get(rule["chosen"], f"is chosen on validation: {rule['chosen']}")
    return f"A video's score is {RULES[rule['videos']]}. The threshold, {dataset.threshold:.3f}, {chosen}."
