"""The figures of one detector on one set of items, and the threshold that is chosen on validation."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]
Scores = npt.NDArray[np.floating]

METRICS = (
    "auroc",
    "partial_auroc",
    "ap",
    "eer",
    "tpr_at_1_fpr",
    "tpr_at_5_fpr",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "log_loss",
    "brier",
    "ece",
)
PARTIAL_FPR = 0.1  # partial AUROC: the part of the ROC up to this false positive rate
ALLOWED_FPR = {"tpr_at_1_fpr": 0.01, "tpr_at_5_fpr": 0.05}
CALIBRATION_BINS = 15  # as Guo et al. 2017
THRESHOLD_RULE = "midpoint between neighbouring validation scores with the highest balanced accuracy, nearest to 0.5"


def binary_metrics(labels: Labels, scores: Scores, threshold: float) -> dict[str, float]:
    """Return every figure of METRICS for scores that are probabilities; a score above `threshold` is called fake.

    Arguments: `labels` (n,) integers 0 or 1, `scores` (n,) in 0..1, `threshold` in 0..1. Positive class: fake.

    Of the order of scores: auroc; partial_auroc, over FPR 0..PARTIAL_FPR, standardised by McClish (Medical Decision
    Making 9, 1989) so that chance is 0.5 and perfection 1; ap (average precision); eer (see `equal_error_rate`);
    tpr_at_1_fpr and tpr_at_5_fpr (see `true_positive_rate_at`). Of the calls at the threshold: accuracy,
    balanced_accuracy (mean of recall and specificity), precision, recall, specificity, f1. Of the scores as
    probabilities: log_loss (natural logarithm), brier (mean squared difference of score and label; Brier, Monthly
    Weather Review 78, 1950), ece (see `expected_calibration_error`).
    """
    from sklearn import metrics

    if len(labels) == 0:
        return dict.fromkeys(METRICS, float("nan"))
    scores = scores.astype(np.float64)  # 0.1 of single precision is above a threshold of 0.1 in one precision only
    called = (scores > threshold).astype(int)
    undefined = {"zero_division": np.nan}
    both = both_classes(labels)
    found = {
        "auroc": metrics.roc_auc_score(labels, scores) if both else np.nan,
        "partial_auroc": metrics.roc_auc_score(labels, scores, max_fpr=PARTIAL_FPR) if both else np.nan,
        "ap": metrics.average_precision_score(labels, scores) if both else np.nan,
        "eer": equal_error_rate(labels, scores),
        **{name: true_positive_rate_at(labels, scores, allowed) for name, allowed in ALLOWED_FPR.items()},
        "accuracy": metrics.accuracy_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called) if both else np.nan,
        "precision": metrics.precision_score(labels, called, **undefined),
        "recall": metrics.recall_score(labels, called, **undefined),
        "specificity": metrics.recall_score(labels, called, pos_label=0, **undefined),
        "f1": metrics.f1_score(labels, called, **undefined),
        "log_loss": metrics.log_loss(labels, scores, labels=[0, 1]),
        "brier": np.mean((scores - labels) ** 2),
        "ece": expected_calibration_error(labels, scores),
    }
    return {name: float(found[name]) for name in METRICS}


def equal_error_rate(labels: Labels, scores: Scores) -> float:
    """Return the error rate at which false positive and false negative rate are equal, 0..1; NaN for one class.

    The ROC's points are joined by straight lines (the rates reached by choosing at random between two neighbouring
    thresholds), and the EER is where that line crosses FPR = 1 - TPR. No convex hull is taken.
    """
    if not both_classes(labels):
        return float("nan")
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    # Every point of a ROC has a higher FPR or a lower FNR than the one before: the difference ascends strictly.
    return float(np.interp(0.0, false_positive - (1 - true_positive), false_positive))


def true_positive_rate_at(labels: Labels, scores: Scores, allowed: float) -> float:
    """Return the highest TPR whose FPR is at most `allowed` (0..1); NaN for one class.

    Only points that a threshold reaches count, nothing is interpolated: with fewer than 1 / `allowed` reals that means
    no false positive at all.
    """
    if not both_classes(labels):
        return float("nan")
    from sklearn.metrics import roc_curve

    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    return float(true_positive[false_positive <= allowed].max())


def expected_calibration_error(labels: Labels, scores: Scores) -> float:
    """Return the mean distance, 0..1, of the share of fakes from the mean score over CALIBRATION_BINS; NaN if empty.

    That of the positive class (Naeini, Cooper and Hauskrecht, AAAI 2015) in bins of equal width, each weighted by its
    items; not that of the predicted class, which Guo et al. (ICML 2017) have for many classes.
    """
    if len(labels) == 0:
        return float("nan")
    # A bin's share of the items times the distance of its means is the distance of its sums over all items.
    excess = np.bincount(bin_of(scores, CALIBRATION_BINS), weights=scores - labels)
    return float(np.abs(excess).sum() / len(labels))


def bin_of(scores: Scores, bins: int) -> npt.NDArray[np.int64]:
    """Return which of `bins` equal parts of 0..1 each score (n,) is in: low <= score < high, the last with its end."""
    return np.minimum((scores * bins).astype(np.int64), bins - 1)


def best_threshold(labels: Labels, scores: Scores) -> float:
    """Return the threshold by THRESHOLD_RULE; NaN for one class.

    Balanced accuracy = mean of the true positive and true negative rate, so that an uneven number of reals and fakes
    does not move the threshold. Where all scores are equal nothing separates the classes, and that score is returned.
    """
    if not both_classes(labels):
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


def both_classes(labels: Labels) -> bool:
    """Return whether there is a real and a fake."""
    return bool((labels == 0).any() and (labels == 1).any())
