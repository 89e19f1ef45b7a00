"""95 % intervals: the bootstrap over provenance groups."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.metrics import weighted
from pipeline.metrics.binary import METRICS, Labels, Scores, both_classes

CONFIDENCE = 0.95
FEWEST_GROUPS = 3  # with fewer there is no interval
FEW_GROUPS = 30  # with fewer an interval is a rough guess
_TAIL = (1 - CONFIDENCE) / 2
_CHUNK = 250_000  # weights held at once: some ten arrays of 2 MB, which the processor's cache nearly holds
_DIGITS = 12  # behind the point; the ones after depend on the order in which a processor adds up
_LOSSES = ("log_loss", "brier", "ece")  # no shares of items: the exact bound of a share does not hold for them


class Interval(NamedTuple):
    """A figure and its 95 % interval; NaN where undefined."""

    value: float
    lower: float
    upper: float


def intervals(
    labels: Labels,
    scores: Scores,
    groups: npt.NDArray[np.generic],
    threshold: float,
    draws: int,
    seed: int,
    only: Sequence[str] = METRICS,
) -> dict[str, Interval]:
    """Return the figures `only` of binary.METRICS, each with its 95 % interval over independent groups.

    Arguments: `labels` (n,) integers 0 or 1; `scores` (n,) in 0..1, higher = more likely fake; `groups` (n,) text or
    integers: items of one group (frames of a video, videos of one provenance) are not independent and are drawn
    together; a score above `threshold` is called fake; `draws` bootstrap draws, `seed` any non-negative integer.

    Percentile bootstrap over groups (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13), for
    auroc on the logit scale (see `_on_logit_scale`); draws in which a figure is undefined are left out of its interval.
    At 0 or 1 the draws are alike and the bootstrap would claim certainty; there the open end (not that of log_loss,
    brier, ece) is at least as far away as the exact bound for m successes in m trials, (2.5 %)^(1/m) (Clopper and
    Pearson, Biometrika 26, 1934), with m = the smaller of the effective numbers of groups (see `_effective_groups`) of
    the reals and of the fakes; for precision, that of the items that are called fake.
    Fewer than `FEWEST_GROUPS` groups give no interval: they can be drawn in so few ways that it would look narrow.

    Simulated with 20, 50 and 200 groups (benchmarks/intervals.py has the simulation), the interval of auroc held the
    truth in 95.0 to 96.3 % of 1,000 data sets, that of eer in 95 to 98 % and those at a threshold in 92 to 95 %. At low
    FPR few items count: with 20 groups tpr_at_5_fpr was held in 83 % and partial_auroc in 77 %, with 50 in 94 and 87 %.
    """
    if len(labels) == 0:
        return dict.fromkeys(only, Interval(np.nan, np.nan, np.nan))
    member, names = _members(groups)
    figures = weighted.prepare(labels, scores, member, threshold, only)
    values, drawn = _values_and_draws(figures, len(names), len(labels), draws, seed)
    of_classes = min(_effective_groups(member[labels == label]) for label in np.unique(labels))
    # Precision is a share of the few or many that are called fake.
    of_called = _effective_groups(member[scores.astype(np.float64) > threshold])
    trials = dict.fromkeys(only, of_classes) | {"precision": of_called}
    return {name: _interval(value, _bounds(name, value, drawn[name], trials[name])) for name, value in values.items()}


def paired_intervals(
    labels: Labels,
    first: Scores,
    second: Scores,
    groups: npt.NDArray[np.generic],
    thresholds: tuple[float, float],
    draws: int,
    seed: int,
) -> dict[str, Interval]:
    """Return by how much `second` differs from `first` in every figure of binary.METRICS, second - first.

    Arguments as of `intervals`: two detectors' scores (n,) of the same items, each with its own threshold. Both are
    judged on the same drawn groups; the interval is the percentile one of the difference. Below 0 or above 0 on both
    ends: the two differ by more than the choice of the groups explains. Where all draws are alike, as of two different
    detectors that both make no error, the bootstrap would claim certainty, and there is no interval.
    """
    if len(labels) == 0:
        return dict.fromkeys(METRICS, Interval(np.nan, np.nan, np.nan))
    member, names = _members(groups)
    of_both = [
        weighted.prepare(labels, scores, member, threshold)
        for scores, threshold in zip((first, second), thresholds, strict=True)
    ]

    def differences(times: weighted.Array) -> dict[str, weighted.Array]:
        before, after = (figures(times) for figures in of_both)
        return {name: after[name] - before[name] for name in METRICS}

    values, drawn = _values_and_draws(differences, len(names), len(labels), draws, seed)
    the_same = thresholds[0] == thresholds[1] and np.array_equal(first, second)
    alike = {name for name in METRICS if not the_same and len(np.unique(drawn[name][np.isfinite(drawn[name])])) == 1}
    return {
        name: _interval(value, (np.nan, np.nan) if name in alike else _percentiles(drawn[name]))
        for name, value in values.items()
    }


def auroc_interval(
    labels: Labels, scores: Scores, groups: npt.NDArray[np.generic], draws: int, seed: int
) -> tuple[float, float, float]:
    """Return `(auroc, lower, upper)`, as `intervals` does; scores need not be probabilities. NaN where undefined."""
    if not both_classes(labels):
        return np.nan, np.nan, np.nan
    return intervals(labels, scores, groups, 0.5, draws, seed, only=("auroc",))["auroc"]


def _members(groups: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.generic]]:
    """Return the index of each item's group, and the groups; of text far sooner than np.unique does."""
    member, names = pd.factorize(groups, sort=True, use_na_sentinel=False)
    return member, names


def _interval(value: float, bounds: tuple[float, float]) -> Interval:
    return Interval(*(round(figure, _DIGITS) for figure in (value, *bounds)))


def _values_and_draws(
    figures: Callable[[weighted.Array], dict[str, weighted.Array]], groups: int, items: int, draws: int, seed: int
) -> tuple[dict[str, float], dict[str, weighted.Array]]:
    """Return each figure's value, and its values in the draws, of which there are none for too few groups."""
    values = {name: float(value[0]) for name, value in figures(np.ones((1, groups))).items()}
    enough = draws if groups >= FEWEST_GROUPS else 0
    chunks = [figures(times) for times in _times_drawn(groups, items, enough, seed)]
    return values, {name: np.concatenate([[], *(chunk[name] for chunk in chunks)]) for name in values}


def _times_drawn(groups: int, items: int, draws: int, seed: int) -> Iterator[weighted.Array]:
    """Yield how often each group is drawn, (rows, groups), `draws` rows in all, few enough at once for memory."""
    random = np.random.default_rng(seed)
    rows = max(1, _CHUNK // items)
    for start in range(0, draws, rows):
        here = min(rows, draws - start)
        drawn = random.integers(groups, size=(here, groups)) + groups * np.arange(here)[:, None]
        yield np.bincount(drawn.ravel(), minlength=here * groups).reshape(here, groups).astype(np.float64)


def _effective_groups(member: npt.NDArray[np.integer]) -> float:
    """Return how many groups of equal size would say as much as those of the items `member`; 0 of no items.

    Kish, Survey Sampling, 1965: the squared sum of the sizes by the sum of their squares. A group that holds most items
    decides nearly alone, whatever number of small ones stand beside it.
    """
    sizes = np.bincount(member).astype(np.float64)
    return float(sizes.sum() ** 2 / max(1.0, (sizes**2).sum()))


def _bounds(name: str, value: float, drawn: weighted.Array, trials: float) -> tuple[float, float]:
    if name == "auroc" and value not in (0.0, 1.0):
        return _on_logit_scale(value, drawn, trials)
    lower, upper = _percentiles(drawn)
    if name in _LOSSES or value not in (0.0, 1.0) or np.isnan(lower):
        return lower, upper
    exact = float(_TAIL ** (1 / trials))
    return (min(lower, exact), 1.0) if value == 1.0 else (0.0, max(upper, 1 - exact))


def _percentiles(drawn: weighted.Array) -> tuple[float, float]:
    defined = drawn[np.isfinite(drawn)]
    if len(defined) == 0:
        return np.nan, np.nan
    lower, upper = np.quantile(defined, [_TAIL, 1 - _TAIL])
    return float(lower), float(upper)


def _on_logit_scale(auroc: float, drawn: weighted.Array, trials: float) -> tuple[float, float]:
    """Return the interval of an AUROC between 0 and 1 from those drawn: symmetric on the logit scale.

    The standard error is that of the drawn AUROCs, carried to the logit by the delta method, divided by
    auroc (1 - auroc): the logits of drawn AUROCs of 0 or 1 would be infinite. The quantile is Student's with
    `trials` - 1 degrees of freedom, `trials` being the effective groups of the class that has fewer; of less than two
    there is none.
    """
    from scipy.special import expit, logit
    from scipy.stats import t

    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(auroc) or len(defined) < 2 or trials < 2:
        return np.nan, np.nan
    error = np.std(defined, ddof=1) / (auroc * (1 - auroc))
    lower, upper = expit(logit(auroc) + t.ppf([_TAIL, 1 - _TAIL], trials - 1) * error)
    return float(lower), float(upper)
