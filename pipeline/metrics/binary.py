"""The figures of one detector on one set of items, and the threshold that is chosen on validation."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]
Scores = npt.NDArray[np.floating]

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
    both = both_classes(labels)
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
    if not both_classes(labels):
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
