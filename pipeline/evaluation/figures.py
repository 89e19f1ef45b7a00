"""Figures of every part of the scores: by level, rule, leak-free subset, method and compression."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline import tables
from pipeline.evaluation.decisions import Decisions
from pipeline.files import sha256_of_text
from pipeline.metrics import binary, bootstrap, calibration
from pipeline.metrics.bootstrap import Interval

ALL = "all"
LEAK_FREE = "leak_free"
OVERALL = {"subset": ALL, "method": ALL, "compression": ALL}
CALIBRATED = ("log_loss", "brier", "ece")  # once more as <name>_calibrated; a temperature changes no order

Row = dict[str, Any]


def metric_rows(scores: pd.DataFrame, dataset: str, decisions: Decisions, draws: int, seed: int) -> list[Row]:
    """Return rows of tables.METRICS for `scores`, the rows of tables.SCORES of one dataset.

    The parts are all items, each fake method against all reals, and each compression; each of them once of all and once
    of the leak-free items. The metrics are binary.METRICS and, where the level has a temperature, log_loss_calibrated,
    brier_calibrated, ece_calibrated.

    Videos have an interval for every figure. Frames have one for the AUROC over all methods and compressions alone:
    they may be millions, and a draw goes over each of them.
    """
    rows: list[Row] = []
    for level, items in scores.groupby("level"):
        for part, chosen in _parts(items):
            of_all = _cell(chosen, dataset, str(level), part, decisions, draws, seed)
            part = part | {"subset": LEAK_FREE}
            if chosen["leak_free"].all():  # the same items: the same figures, to the last digit of their intervals
                of_leak_free = [row | part for row in of_all]
            else:
                leak_free = chosen[chosen["leak_free"]]
                of_leak_free = _cell(leak_free, dataset, str(level), part, decisions, draws, seed)
            rows += of_all + of_leak_free
    return rows


def overall_rows(scores: pd.DataFrame, dataset: str, decisions: Decisions, draws: int, seed: int) -> list[Row]:
    """Return rows of tables.METRICS for the video rows of `scores` as a whole, to set one rule beside another."""
    videos = scores[scores["level"] == "video"]
    return _cell(videos, dataset, "video", OVERALL, decisions, draws, seed)


def _parts(items: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Yield the columns subset, method and compression of all, of each method and each compression, and its items."""
    yield OVERALL, items
    for method in sorted(set(items.loc[items.label == tables.FAKE, "method"])):
        yield OVERALL | {"method": method}, items[(items.label == tables.REAL) | (items.method == method)]
    for compression in sorted(set(items.compression)):
        yield OVERALL | {"compression": compression}, items[items.compression == compression]


def _cell(
    items: pd.DataFrame, dataset: str, level: str, part: dict[str, str], decisions: Decisions, draws: int, seed: int
) -> list[Row]:
    """Return the rows of one part: each metric's value and interval, and the counts behind them."""
    cell = {"dataset": dataset, "level": level, "rule": decisions.rule if level == "video" else "", **part}
    # A seed of its own per cell: the intervals of two cells must not hang together by their draws.
    cell_seed = int(sha256_of_text(seed, *cell.values())[:15], 16)
    scored = items[items.status == "scored"]
    labels = scored.label.to_numpy(np.int64)
    counts = {"real": int((labels == tables.REAL).sum()), "fake": int((labels == tables.FAKE).sum())}
    counts |= {"groups": int(scored.group.nunique()), "expected": len(items)}
    bounded: Sequence[str] = binary.METRICS
    if level == "frame":
        bounded = ("auroc",) if part["method"] == part["compression"] == ALL else ()
    found = _figures(scored, decisions, level, bounded, draws, cell_seed)
    return [cell | {"metric": name} | figure._asdict() | counts for name, figure in found.items()]


def _figures(
    scored: pd.DataFrame, decisions: Decisions, level: str, bounded: Sequence[str], draws: int, seed: int
) -> dict[str, Interval]:
    """Return each metric; those that `bounded` names with their intervals."""
    labels, groups = scored.label.to_numpy(np.int64), scored.group.to_numpy()
    threshold, temperature = decisions.thresholds[level], decisions.temperatures[level]

    def figures(values: np.ndarray, names: Sequence[str]) -> dict[str, Interval]:
        drawn = [name for name in names if name in bounded]
        found = bootstrap.intervals(labels, values, groups, threshold, draws, seed, drawn) if drawn else {}
        if alone := [name for name in names if name not in bounded]:
            found |= bootstrap.intervals(labels, values, groups, threshold, 0, seed, alone)
        return found

    values = scored.score.to_numpy(np.float64)
    found = figures(values, binary.METRICS)
    if temperature is not None:
        calibrated = figures(calibration.calibrated(values, temperature), CALIBRATED)
        found |= {f"{name}_calibrated": figure for name, figure in calibrated.items()}
    return found
