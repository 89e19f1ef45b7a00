"""Do scores mean what they say: temperature scaling, fitted on validation, and the reliability diagram."""

import numpy as np
import numpy.typing as npt

from pipeline.metrics.binary import CALIBRATION_BINS, Labels, Scores, bin_of, both_classes

_NEAREST = np.finfo(np.float64).eps  # scores are taken to be at least so far from 0 and 1: logits within +-36.04
_LOG_RANGE = (-10.0, 10.0)  # of the temperature's natural logarithm


def fit_temperature(labels: Labels, scores: Scores) -> float | None:
    """Return the temperature T > 0 with the lowest log loss of sigmoid(logit(score) / T); None where there is none.

    Arguments: `labels` (n,) integers 0 or 1, `scores` (n,) in 0..1, of validation. Guo et al., On Calibration of
    Modern Neural Networks, ICML 2017, for two classes. T > 1: the scores were too sure. There is none for one class,
    where every score is on its label's side of 0.5 (the lower T, the lower the loss), and where the scores say
    nothing or the opposite (the higher, the lower).
    """
    if not both_classes(labels):
        return None
    signed = np.where(labels == 1, 1, -1) * _logits(scores)  # positive: on the label's side
    # The loss is convex in 1/T; its slope at 1/T = 0 is -sum(signed) / 2.
    if signed.min() >= 0 or signed.sum() <= 0:
        return None
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -signed / np.exp(log_temperature)).mean())

    return float(np.exp(minimize_scalar(log_loss, bounds=_LOG_RANGE, method="bounded", options={"xatol": 1e-9}).x))


def calibrated(scores: Scores, temperature: float | None) -> npt.NDArray[np.float64]:
    """Return sigmoid(logit(score) / `temperature`) of `scores` (n,) in 0..1; without a temperature the scores."""
    from scipy.special import expit

    if temperature is None:
        return np.asarray(scores, dtype=np.float64)
    return np.asarray(expit(_logits(scores) / temperature))


def reliability(labels: Labels, scores: Scores, bins: int = CALIBRATION_BINS) -> list[dict[str, float]]:
    """Return per part of 0..1 in which there are scores: low, high, count, mean_score, share_fake.

    Arguments: `labels` (n,) integers 0 or 1, `scores` (n,) in 0..1. Of well calibrated scores share_fake is mean_score.
    """
    part = bin_of(scores, bins)
    return [
        {
            "low": index / bins,
            "high": (index + 1) / bins,
            "count": int((part == index).sum()),
            "mean_score": float(scores[part == index].mean()),
            "share_fake": float(labels[part == index].mean()),
        }
        for index in np.unique(part).tolist()
    ]


def _logits(scores: Scores) -> npt.NDArray[np.float64]:
    from scipy.special import logit

    return np.asarray(logit(np.asarray(scores, dtype=np.float64).clip(_NEAREST, 1 - _NEAREST)))
