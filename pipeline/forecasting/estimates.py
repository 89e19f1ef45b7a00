"""From a sample to the whole: which items to try, what work costs, what quotas will come to, and how sure that is."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy.optimize import nnls

Item = TypeVar("Item")


def spread(items: Sequence[Item], number: int) -> list[Item]:
    """Return `number` of the sorted `items`, or all, evenly spread.

    They come in bit-reversed order from the middle on (van der Corput), so that any first part is spread as well.
    """
    number = min(number, len(items))
    order = sorted(range(number), key=lambda place: f"{(place - number // 2) % number:032b}"[::-1])
    return [items[(2 * place + 1) * len(items) // (2 * number)] for place in order]


def prices(work: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Return the seconds that a unit of each kind of work takes, by least squares without negative prices.

    `work` (jobs, kinds) holds the amounts, `seconds` (jobs,) what they took; without jobs all prices are 0.
    """
    found: np.ndarray = nnls(work, seconds)[0] if len(work) else np.zeros(work.shape[1])
    return found


def outcome(cells: pd.DataFrame, share: float) -> tuple[float, float]:
    """Return how many frames will be tried, and kept, for each of the first round, if `share` of them is usable.

    A quota that is a number is filled from reserves as far as there are candidates; the others shrink.
    """
    number = pd.to_numeric(cells.rule, errors="coerce").notna()
    tries = np.where(number, np.minimum(cells.candidates, cells.quota / max(share, 1e-6)), cells.quota)
    kept = np.where(number, np.minimum(cells.quota, cells.candidates * share), cells.quota * share)
    first = max(1, cells.quota.sum())
    return float(tries.sum() / first), float(kept.sum() / first)


def errors(sample: pd.DataFrame, figures: Callable[[pd.DataFrame], np.ndarray]) -> list[float | None]:
    """Return two standard errors of each of the `figures` by the jackknife (Efron and Stein, 1981) over the rows.

    None for each where there are fewer than three rows.
    """
    count = len(sample)
    if count < 3:
        return [None] * len(figures(sample))
    without = np.array([figures(sample.drop(index=left_out)) for left_out in sample.index])
    return [float(error) for error in 2 * np.sqrt((count - 1) * without.var(axis=0))]
