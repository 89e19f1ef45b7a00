"""Several runs in numbers: the first is the baseline, and differences are the later ones minus it."""

import json
from typing import Any

import numpy as np
import pandas as pd

from pipeline.files import sha256_of_text
from pipeline.metrics import binary, bootstrap, delong
from pipeline.reporting import results
from pipeline.reporting.facts import Dataset, interval
from pipeline.reporting.run import Run

METRICS = ("auroc", "ap", "eer", "accuracy")  # that two runs are compared by
ABSENT = "not there"
DIGITS = 12  # as of the figures in tables.METRICS, so that 0.4625 is shown alike on both sides of a half

Row = dict[str, Any]


def differences(runs: list[Run], draws: int = 1000, seed: int = 0) -> list[Row]:
    """Return what the later runs reach beyond the first on each dataset that both evaluate, one row per metric.

    Only test videos that both runs scored count, so `first` and `second` may differ from the figures of either run.
    A row holds `dataset`, `run` (name of the later run), `metric` (one of METRICS), `first`, `second`, `difference` =
    second - first, `lower` and `upper` of its 95 % interval by a paired bootstrap of `draws` draws over the first run's
    provenance groups, `p` (of the AUROC alone: DeLong's test), `items` (videos), `groups`, and `note`: which videos
    were left out and why, and what the test takes for granted. What is undefined is None.
    """
    first, *later = runs
    rows: list[Row] = []
    for dataset in first.datasets:
        for run in later:
            other = next((one for one in run.datasets if one.key == dataset.key), None)
            if other is not None:
                rows += [{"dataset": dataset.key, "run": run.name} | row for row in _pair(dataset, other, draws, seed)]
    return rows


def clear(row: Row) -> bool:
    """Return whether the interval of a difference leaves 0 out, and enough groups are behind it to trust that."""
    outside = row["lower"] is not None and (row["lower"] > 0 or row["upper"] < 0)
    return bool(outside and row["groups"] >= bootstrap.FEW_GROUPS)


def in_words(row: Row) -> str:
    """Return how the AUROC of a row of `differences` changed, as a sentence without its full stop."""
    place = f"on {row['dataset']}"
    if row["difference"] is None:
        return f"the AUROC {place} is not known on both sides"
    went = f"from {row['first']:.3f} to {row['second']:.3f}"
    if row["lower"] is None and row["difference"] == 0:
        return f"the same AUROC {place}, {row['first']:.3f} (no interval)"
    if row["lower"] is None:
        return f"the AUROC {place} went {went} ({signed(row['difference'])}, no interval)"
    if row["lower"] == row["upper"] == 0:
        return f"the same AUROC {place}, {row['first']:.3f}"
    p = "" if row["p"] is None else ", p < 0.001" if row["p"] < 0.001 else f", p = {row['p']:.2g}"
    measure = f"{signed(row['difference'])}, 95 % interval {signed(row['lower'])} to {signed(row['upper'])}"
    measure += f" over {row['groups']:,} groups{p}"
    if clear(row):
        return f"the AUROC {place} {'rose' if row['difference'] > 0 else 'fell'} {went} ({measure})"
    if row["lower"] > 0 or row["upper"] < 0:
        return f"the AUROC {place} went {went}, of too few groups to be sure ({measure})"
    return f"no clear difference in AUROC {place}, {went} ({measure})"


def signed(difference: float | None) -> str:
    """Return a difference to three digits with its sign, a real minus; nothing known is a dash."""
    if difference is None:
        return "–"
    return f"{difference:+.3f}".replace("-", "−") if round(difference, 3) else "0.000"


def matrix(runs: list[Run]) -> list[Row]:
    """Return the cross-dataset matrix: a row per run with `run`, `trained_on` and `cells` by dataset tested on.

    A cell has the video AUROC as value, lower, upper (None where undefined), and whether the run `trained` on that
    dataset. The datasets are those of all runs; one that a run did not evaluate has a cell without a figure.
    """
    keys = list(dict.fromkeys(dataset.key for run in runs for dataset in run.datasets))
    rows = []
    for run in runs:
        known = {dataset.key: results.auroc(dataset) for dataset in run.datasets}
        cells = {
            key: {name: (known.get(key) or {}).get(name) for name in ("value", "lower", "upper")}
            | {"trained": key in run.trained_on}
            for key in keys
        }
        rows.append({"run": run.name, "trained_on": run.trained_on, "cells": cells})
    return rows


def changed_params(runs: list[Run]) -> list[Row]:
    """Return the parameters that are not the same in all runs: dotted `name`, and `values` as text, one per run."""
    return changed_values([run.params for run in runs])


def changed_values(documents: list[dict[str, Any]]) -> list[Row]:
    """Return what `changed_params` does, of documents as params.yaml holds them."""
    flat = [_dotted(document) for document in documents]
    names = dict.fromkeys(name for values in reversed(flat) for name in values)
    rows = [{"name": name, "values": [values.get(name, ABSENT) for values in flat]} for name in names]
    return [row for row in rows if len(set(row["values"])) > 1]


def _pair(before: Dataset, after: Dataset, draws: int, seed: int) -> list[Row]:
    """Return the rows of one dataset, without its key and the run's name."""
    both, left_out = _scored_by_both(before, after)
    labels, groups = both["label"].to_numpy(np.int64), both["group"].to_numpy()
    was, now = (both[f"score_{side}"].to_numpy(np.float64) for side in ("before", "after"))
    figures = [binary.binary_metrics(labels, *side) for side in ((was, before.threshold), (now, after.threshold))]
    own_seed = int(sha256_of_text(seed, before.key)[:15], 16)
    thresholds = before.threshold, after.threshold
    found = bootstrap.paired_intervals(labels, was, now, groups, thresholds, draws, own_seed)
    p = interval(delong.compare(labels, was, now).p, None, None)["value"]
    several = len(both) > both["group"].nunique()
    rows = []
    for metric in METRICS:
        first, second = (interval(round(side[metric], DIGITS), None, None)["value"] for side in figures)
        difference = interval(*found[metric])
        notes = [*left_out]
        if metric == "auroc" and p is not None and several:
            notes.append("p takes videos of one provenance group as independent, which the interval does not")
        rows.append(
            {"metric": metric, "first": first, "second": second, "difference": difference["value"]}
            | {"lower": difference["lower"], "upper": difference["upper"], "p": p if metric == "auroc" else None}
            | {"items": len(both), "groups": both["group"].nunique(), "note": "; ".join(notes)}
        )
    return rows


def _scored_by_both(before: Dataset, after: Dataset) -> tuple[pd.DataFrame, list[str]]:
    """Return the videos that both scored under one label, and in words how many others there are, and why."""
    were, are = (side.scores[side.scores["level"] == "video"].set_index("key") for side in (before, after))
    shared = were.index.intersection(are.index)
    scored = shared[(were.loc[shared, "status"] == "scored") & (are.loc[shared, "status"] == "scored")]
    kept = scored[were.loc[scored, "label"] == are.loc[scored, "label"]]
    notes = []
    if len(were) > len(shared) or len(are) > len(shared):
        gone, new = len(were) - len(shared), len(are) - len(shared)
        notes.append(f"the test sets differ, videos only in the first: {gone:,}, only in the later: {new:,}")
    if len(scored) < len(shared):
        notes.append(f"videos left out that only one or none could score: {len(shared) - len(scored):,}")
    if len(kept) < len(scored):
        notes.append(f"videos left out whose label changed: {len(scored) - len(kept):,}")
    both = were.loc[kept, ["label", "group"]]
    return both.assign(score_before=were.loc[kept, "score"], score_after=are.loc[kept, "score"]), notes


def _dotted(values: dict[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _dotted(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat
