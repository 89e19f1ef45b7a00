"""The few figures of every dataset that `dvc metrics diff` and `dvc exp show` compare."""

from collections.abc import Iterable

from pipeline.evaluation.figures import LEAK_FREE
from pipeline.reporting import results
from pipeline.reporting.facts import Dataset

Figures = dict[str, float | None]


def headline(datasets: Iterable[Dataset]) -> dict[str, Figures]:
    """Return reports/metrics/eval.json: a few figures of the test videos of each dataset, with 4 digits.

    `auroc` with its 95 % interval `auroc_lo` to `auroc_hi`, `auroc_leak_free`, `eer`, and `coverage`, the share of the
    expected videos that has a score. What is undefined is None: DVC shows a NaN as changed in every comparison.
    """
    return {dataset.key: _figures(dataset) for dataset in datasets}


def _figures(dataset: Dataset) -> Figures:
    every, leak_free = results.figures(dataset), results.figures(dataset, subset=LEAK_FREE)
    auroc = every["auroc"]
    figures = {
        "auroc": auroc["value"],
        "auroc_lo": auroc["lower"],
        "auroc_hi": auroc["upper"],
        "auroc_leak_free": leak_free["auroc"]["value"],
        "eer": every["eer"]["value"],
        "coverage": auroc["coverage"],
    }
    return {name: None if figure is None else round(figure, 4) for name, figure in figures.items()}
