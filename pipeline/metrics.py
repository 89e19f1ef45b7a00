"""Figures of merit for a detector: labels 0 = real, 1 = fake; a higher score means more likely fake.

What a figure needs and the data lack (a second class, a predicted fake) makes it NaN: never a crash, never a value.
"""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]
Scores = npt.NDArray[np.floating]

CONFIDENCE = 0.95
FEWEST_GROUPS = 3
_CHUNK = 4_000_000  # weights held at once by the bootstrap; bounds its memory at some 100 MB
THRESHOLD_RULE = "midpoint between neighbouring validation scores with the highest balanced accuracy, nearest to 0.5"


def binary_metrics(labels: Labels, scores: Scores, threshold: float) -> dict[str, float]:
    """Return every figure for scores that are probabilities; a score above `threshold` is called fake.

    Arguments: `labels` (n,) integers 0 or 1, `scores` (n,) in 0..1, `threshold` in 0..1. Positive class: fake.
    Returns accuracy, precision, recall, f1, auroc, ap (average precision), eer, log_loss (natural logarithm).
    """
    from sklearn import metrics

    names = ("accuracy", "precision", "recall", "f1", "auroc", "ap", "eer", "log_loss")
    if len(labels) == 0:
        return dict.fromkeys(names, np.nan)
    called = (scores > threshold).astype(int)
    undefined = {"zero_division": np.nan}
    both = _both_classes(labels)
    values = (
        metrics.accuracy_score(labels, called),
        metrics.precision_score(labels, called, **undefined),
        metrics.recall_score(labels, called, **undefined),
        metrics.f1_score(labels, called, **undefined),
        metrics.roc_auc_score(labels, scores) if both else np.nan,
        metrics.average_precision_score(labels, scores) if both else np.nan,
        equal_error_rate(labels, scores),
        metrics.log_loss(labels, scores, labels=[0, 1]),
    )
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def equal_error_rate(labels: Labels, scores: Scores) -> float:
    """Return the error rate at which false positive and false negative rate are equal, 0..1; NaN for one class.

    The ROC's points are joined by straight lines (the rates reached by choosing at random between two neighbouring
    thresholds), and the EER is where that line crosses FPR = 1 - TPR. No convex hull is taken.
    """
    if not _both_classes(labels):
        return float("nan")
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    # Every point of a ROC has a higher FPR or a lower FNR than the one before: the difference ascends strictly.
    return float(np.interp(0.0, false_positive - (1 - true_positive), false_positive))


def best_threshold(labels: Labels, scores: Scores) -> float:
    """Return the threshold by THRESHOLD_RULE; NaN for one class.

    Balanced accuracy = mean of the true positive and true negative rate, so that an uneven number of reals and fakes
    does not move the threshold. Where all scores are equal nothing separates the classes, and that score is returned.
    """
    if not _both_classes(labels):
        return float("nan")
    distinct = np.unique(scores).astype(float)
    between = (distinct[:-1] + distinct[1:]) / 2
    if len(between) == 0:
        return float(distinct[0])
    reals, fakes = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    true_negative = np.searchsorted(reals, between, side="right") / len(reals)
    true_positive = 1 - np.searchsorted(fakes, between, side="right") / len(fakes)
    balanced = true_negative + true_positive
    best = between[np.isclose(balanced, balanced.max(), rtol=0, atol=1e-12)]
    return float(best[np.argmin(np.abs(best - 0.5))])


def auroc_interval(
    labels: Labels, scores: Scores, groups: npt.NDArray[np.generic], draws: int, seed: int
) -> tuple[float, float, float]:
    """Return the AUROC and its 95 % interval `(auroc, lower, upper)` over independent groups; NaN where undefined.

    Arguments: `labels` (n,) integers 0 or 1; `scores` (n,), higher = more likely fake; `groups` (n,) text or integers:
    items of one group (frames of a video, videos of one provenance) are not independent and are drawn together.
    `draws` bootstrap draws, `seed` any non-negative integer.

    Percentile bootstrap over groups (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13); draws
    without one of the classes are left out. With perfectly separated classes every draw is alike and the bootstrap
    would claim certainty; the open end is then the exact bound for m successes in m trials, (2.5 %)^(1/m) (Clopper
    and Pearson 1934), with m = the smaller of the numbers of groups that hold a real and that hold a fake.
    Fewer than `FEWEST_GROUPS` groups give no interval: they can be drawn in so few ways that it would look narrow.
    """
    nan = float("nan")
    if not _both_classes(labels):
        return nan, nan, nan
    names, member = np.unique(groups, return_inverse=True)
    order = np.argsort(scores, kind="stable")
    fake, member, ascending = labels[order] == 1, member[order], scores[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
    auroc = float(_weighted_auroc(np.ones((1, len(labels))), fake, starts)[0])
    if len(names) < FEWEST_GROUPS:
        return auroc, nan, nan
    tail = (1 - CONFIDENCE) / 2
    if auroc in (0.0, 1.0):
        trials = min(len(np.unique(member[fake])), len(np.unique(member[~fake])))
        bound = float(tail ** (1 / trials))
        return (auroc, bound, 1.0) if auroc == 1.0 else (auroc, 0.0, 1 - bound)
    times_drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    chunks = np.array_split(times_drawn, max(1, draws * len(labels) // _CHUNK))
    drawn = np.concatenate([_weighted_auroc(chunk[:, member].astype(float), fake, starts) for chunk in chunks])
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) == 0:
        return auroc, nan, nan
    lower, upper = np.quantile(drawn, [tail, 1 - tail])
    return auroc, float(lower), float(upper)


def _weighted_auroc(
    weights: npt.NDArray[np.float64], fake: npt.NDArray[np.bool_], starts: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return the AUROC per row of `weights` (rows, n), items by ascending score; equal scores begin at `starts`.

    AUROC = share of (real, fake) pairs in which the fake scores higher, ties counting half (Mann and Whitney 1947).
    """
    fakes = np.add.reduceat(weights * fake, starts, axis=1)
    reals = np.add.reduceat(weights * ~fake, starts, axis=1)
    reals_below = np.cumsum(reals, axis=1) - reals / 2
    pairs = fakes.sum(axis=1) * reals.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((fakes * reals_below).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))


def _both_classes(labels: Labels) -> bool:
    return bool((labels == 0).any() and (labels == 1).any())
