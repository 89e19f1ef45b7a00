"""95 % intervals: the bootstrap over provenance groups."""

import numpy as np
import numpy.typing as npt

from pipeline.metrics.binary import Labels, Scores, both_classes

CONFIDENCE = 0.95
FEWEST_GROUPS = 3
_CHUNK = 4_000_000  # weights held at once by the bootstrap; bounds its memory at some 100 MB


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
    if not both_classes(labels):
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
