"""The few figures of every dataset that `dvc metrics diff` and `dvc exp show` compare."""

from collections.abc import Iterable

import pandas as pd

from pipeline.evaluation.figures import ALL, LEAK_FREE
from pipeline.reporting.facts import Dataset

Figures = dict[str, float | None]


def headline(datasets: Iterable[Dataset]) -> dict[str, Figures]:
    """Return reports/metrics/eval.json: a few figures of the test videos of each dataset, with 4 digits.

    `auroc` with its 95 % interval `auroc_lo` to `auroc_hi`, `auroc_leak_free`, `eer`, and `coverage`, the share of the
    expected videos that has a score. What is undefined is None: DVC shows a NaN as changed in every comparison.
    """
    return {dataset.key: _figures(main_figures(dataset)) for dataset in datasets}


def main_figures(dataset: Dataset) -> pd.DataFrame:
    """Return the rows of tables.METRICS of all compressions' videos, scored by the rule the dataset is judged by."""
    rows = dataset.metrics
    judged = (rows["level"] == "video") & (rows["rule"] == dataset.rule["videos"])
    return rows[judged & (rows["compression"] == ALL)]


def _figures(rows: pd.DataFrame) -> Figures:
    every = rows[rows["method"] == ALL].to_dict("records")
    found = {(row["subset"], row["metric"]): row for row in every}
    auroc = found[ALL, "auroc"]
    figures = {
        "auroc": auroc["value"],
        "auroc_lo": auroc["lower"],
        "auroc_hi": auroc["upper"],
        "auroc_leak_free": found[LEAK_FREE, "auroc"]["value"],
        "eer": found[ALL, "eer"]["value"],
        "coverage": (auroc["real"] + auroc["fake"]) / auroc["expected"],
    }
    return {name: None if pd.isna(figure) else round(float(figure), 4) for name, figure in figures.items()}
