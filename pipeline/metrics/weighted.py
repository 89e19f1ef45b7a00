"""The figures of many weightings of the same items at once: what a bootstrap needs, sorted once.

One row of `times` (rows, groups) says how often each group counts; an item counts as often as its group. Each figure
is scikit-learn's with that `sample_weight`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.metrics import binary

Array = npt.NDArray[np.float64]
_SMALLEST = np.finfo(np.float64).eps  # scores are clipped by as much for the log loss, as in scikit-learn


def prepare(
    labels: binary.Labels,
    scores: binary.Scores,
    member: npt.NDArray[np.integer],
    threshold: float,
    only: Sequence[str] = binary.METRICS,
) -> Callable[[Array], dict[str, Array]]:
    """Return the function that makes the figures `only` of `times` (rows, groups), each (rows,), NaN where undefined.

    Arguments: `labels` (n,) integers 0 or 1, `scores` (n,), `member` (n,) the index of each item's group; a score
    above `threshold` is called fake; `only`: names of binary.METRICS.
    """
    probabilities = scores.astype(np.float64)
    ranked = [name for name in only if name in _OF_THE_ROC]
    if ranked:
        descending = np.argsort(-probabilities, kind="stable")
        member_in_order, fake_in_order = member[descending], labels[descending] == 1
        last_of_equals = np.flatnonzero(np.diff(probabilities[descending], append=np.inf))
    sums = _sums_by_group(labels, probabilities, member, threshold) if len(ranked) < len(only) else None

    def figures(times: Array) -> dict[str, Array]:
        found = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            if ranked:
                counts = _counts(times, member_in_order, fake_in_order, last_of_equals)
                both_classes = np.logical_and(*(number[:, -1] > 0 for number in counts))
                found = {name: np.where(both_classes, _OF_THE_ROC[name](*counts), np.nan) for name in ranked}
            if sums is not None:
                found |= _of_sums(times @ sums)
        return {name: found[name] for name in only}

    return figures


def _counts(
    times: Array,
    member: npt.NDArray[np.integer],
    fake: npt.NDArray[np.bool_],
    last_of_equals: npt.NDArray[np.integer],
) -> tuple[Array, Array]:
    """Return false and true positives (rows, points): the ROC from calling nothing fake to calling everything so.

    Counts, not rates: whole numbers, whose sums are exact, so that perfectly separated classes get exactly 1.
    """
    weights = times.take(member, axis=1)
    true_positives = _from_zero(weights * fake, last_of_equals)
    return _from_zero(weights, last_of_equals) - true_positives, true_positives


def _from_zero(weights: Array, last_of_equals: npt.NDArray[np.integer]) -> Array:
    """Return the running sum at each distinct score, with a zero before the first."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    if len(last_of_equals) == weights.shape[1]:
        return sums
    return sums.take(np.r_[0, last_of_equals + 1], axis=1)


def _auroc(false_positives: Array, true_positives: Array) -> Array:
    # The trapezoids below the ROC by the shoelace formula: two products, and no array in between.
    left, right = slice(None, -1), slice(1, None)
    products = [
        np.einsum("ij,ij->i", false_positives[:, one], true_positives[:, other])
        for one, other in ((right, left), (left, right))
    ]
    pairs = false_positives[:, -1] * true_positives[:, -1]
    return np.asarray((pairs + products[0] - products[1]) / (2 * pairs))


def _partial_auroc(false_positives: Array, true_positives: Array) -> Array:
    """Return the area up to PARTIAL_FPR, the ROC's points joined by straight lines, standardised by McClish 1989."""
    reals, fakes = false_positives[:, -1], true_positives[:, -1]
    limit = binary.PARTIAL_FPR * reals
    inside = np.count_nonzero(false_positives <= limit[:, None], axis=1) - 1  # the last point up to the limit
    width, rise = (_at(counts, inside + 1) - _at(counts, inside) for counts in (false_positives, true_positives))
    beyond = limit - _at(false_positives, inside)
    # As if the piece that crosses the limit reached its upper end there, less the triangle that this is too much.
    area = np.trapezoid(true_positives, np.minimum(false_positives, limit[:, None]), axis=1)
    area -= rise * (1 - beyond / width) * beyond / 2
    by_chance = binary.PARTIAL_FPR / 2  # of the highest possible area, which is 1 here
    return np.asarray(0.5 * (1 + (area / (limit * fakes) - by_chance) / (1 - by_chance)))


def _ap(false_positives: Array, true_positives: Array) -> Array:
    precision = true_positives / np.maximum(true_positives + false_positives, 1)  # 0 before anything is called
    gained = np.diff(true_positives, axis=1)
    return np.asarray(np.einsum("ij,ij->i", gained, precision[:, 1:]) / true_positives[:, -1])


def _eer(false_positives: Array, true_positives: Array) -> Array:
    reals, fakes = false_positives[:, -1:], true_positives[:, -1:]
    difference = false_positives * fakes  # to be (FPR - FNR) reals fakes, which never falls
    difference += true_positives * reals
    difference -= reals * fakes
    before = np.count_nonzero(difference < 0, axis=1) - 1
    low, high = _at(difference, before), _at(difference, before + 1)
    first, second = _at(false_positives, before), _at(false_positives, before + 1)
    return (first + (second - first) * -low / (high - low)) / reals[:, 0]


def _tpr_at(allowed: float) -> Callable[[Array, Array], Array]:
    def highest(false_positives: Array, true_positives: Array) -> Array:
        reals, fakes = false_positives[:, -1:], true_positives[:, -1]
        return _at(true_positives, np.count_nonzero(false_positives / reals <= allowed, axis=1) - 1) / fakes

    return highest


def _at(values: Array, columns: npt.NDArray[np.integer]) -> Array:
    """Return one value of each row."""
    columns = columns.clip(0, values.shape[1] - 1)  # a row without one of the classes has no such point
    return np.take_along_axis(values, columns[:, None], axis=1)[:, 0]


_OF_THE_ROC: dict[str, Callable[[Array, Array], Array]] = {
    "auroc": _auroc,
    "partial_auroc": _partial_auroc,
    "ap": _ap,
    "eer": _eer,
    **{name: _tpr_at(allowed) for name, allowed in binary.ALLOWED_FPR.items()},
}


def _sums_by_group(labels: binary.Labels, scores: Array, member: npt.NDArray[np.integer], threshold: float) -> Array:
    """Return what `_of_sums` adds up, (groups, columns): one column each, and those of the calibration bins."""
    fake, called = labels == 1, scores > threshold
    likelihood = np.where(fake, scores, 1 - scores).clip(_SMALLEST, 1 - _SMALLEST)
    bins = binary.bin_of(scores, binary.CALIBRATION_BINS)
    columns = (fake, ~fake, fake & called, ~fake & called, -np.log(likelihood), (scores - labels) ** 2)
    sums = np.stack([np.bincount(member, weights=column) for column in columns], axis=1)
    cell = member * binary.CALIBRATION_BINS + bins
    in_bins = np.bincount(cell, weights=scores - labels, minlength=len(sums) * binary.CALIBRATION_BINS)
    return np.hstack([sums, in_bins.reshape(len(sums), -1)])


def _of_sums(sums: Array) -> dict[str, Array]:
    """Return the figures of the calls and of the probabilities from the summed columns (rows, columns)."""
    fakes, reals, true_positives, false_positives, log_loss, squared, *excess = sums.T
    items = fakes + reals
    true_negatives, false_negatives = reals - false_positives, fakes - true_positives
    recall, specificity = true_positives / fakes, true_negatives / reals
    return {
        "accuracy": (true_positives + true_negatives) / items,
        "balanced_accuracy": (recall + specificity) / 2,
        "precision": true_positives / (true_positives + false_positives),
        "recall": recall,
        "specificity": specificity,
        "f1": 2 * true_positives / (2 * true_positives + false_positives + false_negatives),
        "log_loss": log_loss / items,
        "brier": squared / items,
        "ece": np.abs(excess).sum(axis=0) / items,
    }
