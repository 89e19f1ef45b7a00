"""The test of two detectors' AUROCs on the same items."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.metrics.binary import Labels, Scores


class Comparison(NamedTuple):
    """AUROCs of two detectors, `difference` = second - first, its standard error, z, and the two-sided p-value."""

    first: float
    second: float
    difference: float
    standard_error: float
    z: float
    p: float


def compare(labels: Labels, first: Scores, second: Scores) -> Comparison:
    """Return DeLong's test of the AUROCs of two detectors on the same items.

    Arguments: `labels` (n,) integers 0 or 1; `first`, `second` (n,): the two detectors' scores, higher = more likely
    fake. NaN where undefined: everything without a real or a fake; the standard error with fewer than two of a class;
    z and p where the difference has no variance (both order the items alike).

    DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988; by midranks after Sun and Xu, IEEE Signal Processing Letters
    21, 2014. It takes the items to be independent: frames of a video and videos of one provenance are not, and p
    is then too small. bootstrap.paired_intervals draws whole groups.
    """
    fake = labels == 1
    if not fake.any() or fake.all():
        return Comparison(*[np.nan] * 6)
    above_first, below_first = _components(fake, first)
    above_second, below_second = _components(fake, second)
    aurocs = float(above_first.mean()), float(above_second.mean())
    difference = aurocs[1] - aurocs[0]
    variance = _variance_of_mean(above_second - above_first) + _variance_of_mean(below_second - below_first)
    if not variance > 0:
        return Comparison(*aurocs, difference, float(np.sqrt(variance)), np.nan, np.nan)
    from scipy.stats import norm

    error = float(np.sqrt(variance))
    return Comparison(*aurocs, difference, error, difference / error, float(2 * norm.sf(abs(difference / error))))


def _components(fake: npt.NDArray[np.bool_], scores: Scores) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return for each fake the share of reals below it, and for each real the share of fakes above it; ties half."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    reals_below = (ranks[fake] - rankdata(scores[fake])) / (~fake).sum()
    fakes_below = (ranks[~fake] - rankdata(scores[~fake])) / fake.sum()
    return reals_below, 1 - fakes_below


def _variance_of_mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else np.nan
