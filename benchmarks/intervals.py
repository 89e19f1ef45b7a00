"""Claim: AUROC, AP and EER of 128,000 videos get their bootstrap intervals of 2,000 draws in under 30 s on two cores.

Run it from the project's root: `.venv/bin/python benchmarks/intervals.py`. It makes up scores, prints seconds and peak
memory, and sets beside them a plain loop over the draws with scikit-learn, of which a few draws are run and the rest is
extrapolated. `--coverage` judges another claim: of 1,000 data sets whose true AUROC is known, the 95 % interval holds
it in 93 to 97 % where there are at least 50 groups. Exit code 1 when the claim does not hold.
"""

import os
import resource
import time
from argparse import ArgumentParser

import numpy as np
import numpy.typing as npt
from corpus import CORES, judge
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from pipeline.metrics import bootstrap

VIDEOS, GROUPS, DRAWS, SECONDS = 128_000, 20_000, 2_000, 30
FIGURES = ("auroc", "ap", "eer")
RIVAL_DRAWS = 10  # run, of DRAWS

SETS, SET_DRAWS, LOWEST, HIGHEST, FROM = 1_000, 1_000, 93.0, 97.0, 50
SHARED = 0.5  # of a score's variance is that of its group

Items = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]


def main() -> None:
    """Measure one of the two claims and judge it."""
    parser = ArgumentParser(description="How fast the bootstrap intervals are, and how often they hold the truth.")
    parser.add_argument("--coverage", action="store_true", help="simulate instead of timing")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    judge(coverage() if parser.parse_args().coverage else speed())


def speed() -> dict[str, bool]:
    """Print what the intervals cost, and what a plain loop would; return the claim."""
    random = np.random.default_rng(0)
    labels = (random.random(VIDEOS) < 0.8).astype(np.int64)
    groups = random.integers(GROUPS, size=VIDEOS)
    scores = 1 / (1 + np.exp(-random.normal(1.5 * labels, 1)))

    started, spent = time.perf_counter(), time.process_time()
    found = bootstrap.intervals(labels, scores, groups, 0.5, DRAWS, 0, only=FIGURES)
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, (value, lower, upper) in found.items():
        print(f"{name:6}{value:8.4f}  ({lower:.4f} to {upper:.4f})")
    print(f"{VIDEOS:,} videos in {GROUPS:,} groups, {DRAWS:,} draws: ", end="")
    print(f"{seconds:.1f} s, {spent:.1f} s of CPU, peak {peak:.0f} MiB")

    started = time.perf_counter()
    for _ in range(RIVAL_DRAWS):
        weights = np.bincount(random.integers(GROUPS, size=GROUPS), minlength=GROUPS)[groups]
        roc_auc_score(labels, scores, sample_weight=weights)
        average_precision_score(labels, scores, sample_weight=weights)
        fpr, tpr, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
        np.interp(0, fpr + tpr - 1, fpr)
    plain = (time.perf_counter() - started) / RIVAL_DRAWS * DRAWS
    print(
        f"scikit-learn draw by draw: {plain:.0f} s, extrapolated from {RIVAL_DRAWS} draws: {plain / seconds:.1f} times"
    )
    return {f"under {SECONDS} s": seconds < SECONDS}


def coverage() -> dict[str, bool]:
    """Print how often the interval of the AUROC holds the true one; return the claims."""
    print(f"{'groups':>6}{'AUROC':>7}{'held %':>8}{'too high %':>12}{'too low %':>11}{'mean width':>12}")
    claims = {}
    for groups in (20, 50, 200):
        for auroc in (0.80, 0.95):
            chances = [np.random.default_rng([groups, int(100 * auroc), number]) for number in range(SETS)]
            bounds = [
                bootstrap.auroc_interval(*made_up(groups, auroc, chance), SET_DRAWS, seed)[1:]
                for seed, chance in enumerate(chances)
            ]
            lower, upper = np.transpose(bounds)
            above, below = 100 * np.mean(lower > auroc), 100 * np.mean(upper < auroc)
            held = 100 - above - below
            print(
                f"{groups:6}{auroc:7.2f}{held:8.1f}{above:12.1f}{below:11.1f}{np.mean(upper - lower):12.3f}",
                flush=True,
            )
            if groups >= FROM:
                claims[f"{groups} groups, AUROC {auroc:.2f}: {LOWEST:g} to {HIGHEST:g} %"] = LOWEST <= held <= HIGHEST
    return claims


def made_up(groups: int, auroc: float, random: np.random.Generator) -> Items:
    """Return labels, scores and groups: in each group one real and one to three fakes that share part of their score.

    All scores are normal with variance 1, those of the fakes `distance` higher. The difference of a fake and a real of
    two groups is then normal with mean `distance` and variance 2: it is positive, and `auroc` the truth, with
    probability Phi(distance / sqrt(2)).
    """
    distance = np.sqrt(2) * norm.ppf(auroc)
    fakes = random.integers(1, 4, groups)
    labels = np.repeat([0, 1], [groups, fakes.sum()])
    group = np.concatenate([np.arange(groups), np.repeat(np.arange(groups), fakes)])
    shared, own = random.normal(size=groups)[group], random.normal(size=len(labels))
    return labels, distance * labels + np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * own, group


if __name__ == "__main__":
    main()
