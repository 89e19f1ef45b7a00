"""Figures of every part of the scores: by level, rule, leak-free subset, method and compression."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline import tables
from pipeline.evaluation.decisions import Decisions
from pipeline.files import sha256_of_text
from pipeline.metrics import binary, bootstrap

ALL = "all"
LEAK_FREE = "leak_free"


def metric_rows(
    scores: pd.DataFrame, dataset: str, decisions: Decisions, draws: int, seed: int
) -> list[dict[str, object]]:
    """Return rows of tables.METRICS for `scores`, the rows of tables.SCORES of one dataset.

    The parts are all items, the leak-free ones, each fake method against all reals, and each compression.
    """
    rows: list[dict[str, object]] = []
    for level, items in scores.groupby("level"):
        rule = decisions.rule if level == "video" else ""
        threshold = decisions.thresholds[str(level)]
        for part, chosen in _parts(items):
            cell = {"dataset": dataset, "level": level, "rule": rule, **part}
            # A seed of its own per cell: the intervals of two cells must not hang together by their draws.
            cell_seed = int(sha256_of_text(seed, *cell.values())[:15], 16)
            rows += [cell | row for row in _of_part(chosen, threshold, draws, cell_seed)]
    return rows


def _parts(items: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Yield the columns subset, method and compression of each part, and its items."""
    yield {"subset": ALL, "method": ALL, "compression": ALL}, items
    yield {"subset": LEAK_FREE, "method": ALL, "compression": ALL}, items[items.leak_free]
    for method in sorted(set(items.loc[items.label == tables.FAKE, "method"])):
        chosen = items[(items.label == tables.REAL) | (items.method == method)]
        yield {"subset": ALL, "method": method, "compression": ALL}, chosen
    for compression in sorted(set(items.compression)):
        yield {"subset": ALL, "method": ALL, "compression": compression}, items[items.compression == compression]


def _of_part(items: pd.DataFrame, threshold: float, draws: int, seed: int) -> Iterator[dict[str, object]]:
    """Yield metric, value, interval and counts."""
    scored = items[items.status == "scored"]
    labels, values = scored.label.to_numpy(np.int64), scored.score.to_numpy(np.float64)
    counts = {"real": int((labels == tables.REAL).sum()), "fake": int((labels == tables.FAKE).sum())}
    counts |= {"groups": int(scored.group.nunique()), "expected": len(items)}
    found = binary.binary_metrics(labels, values, threshold)
    _, lower, upper = bootstrap.auroc_interval(labels, values, scored.group.to_numpy(), draws, seed)
    for name, value in found.items():
        bounds = (lower, upper) if name == "auroc" else (np.nan, np.nan)
        yield {"metric": name, "value": value, "lower": bounds[0], "upper": bounds[1]} | counts
