"""How the scores of a video's frames become the video's score."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

Average = Literal["mean", "median", "max", "top_k", "confident_mean"]
Rule = Literal["mean", "median", "max", "top_k", "confident_mean", "vote", "reversed_vote"]
AVERAGES: tuple[Average, ...] = get_args(Average)  # these need no threshold for frames
TOP = 5  # frames; top_k
SURELY_FAKE, SURELY_REAL = 0.8, 0.2  # scores; confident_mean
MAJORITY = 0.5  # share of fake votes above which a video is called fake
CLEAR_LEAD = 20  # frames; see `vote`


def score(rule: Rule, scores: npt.NDArray[np.floating], threshold: float = 0.5) -> float:
    """Return the score of a video, 0..1, from the scores (n,) of its frames, n > 0; NaN where a vote gives none.

    `mean`, `median`, `max`; `top_k`: the mean of the TOP highest scores, of all where there are fewer;
    `confident_mean`: see there; `vote` and `reversed_vote`: see `vote`, frames above `threshold` being called fake.
    """
    if rule == "mean":
        return float(np.mean(scores))
    if rule == "median":
        return float(np.median(scores))
    if rule == "max":
        return float(np.max(scores))
    if rule == "top_k":
        return float(np.mean(np.sort(scores)[-TOP:]))
    if rule == "confident_mean":
        return confident_mean(scores)
    fake = int((scores > threshold).sum())
    voted = vote(rule, len(scores) - fake, fake)
    return float("nan") if voted is None else voted


def confident_mean(scores: npt.NDArray[np.floating]) -> float:
    """Return the mean of the frames that are sure, where many are; else of all.

    Where more than 11 frames, and more than n / 2.5 rounded down, score above SURELY_FAKE: the mean of those. Else,
    where more than 90 % score below SURELY_REAL: the mean of those. Else the mean of all. So did the winner of the
    DeepFake Detection Challenge (S. Seferbekov 2020, github.com/selimsef/dfdc_deepfake_challenge, confident_strategy
    in kernel_utils.py), on 32 frames a video.
    """
    sure_fakes, sure_reals = scores[scores > SURELY_FAKE], scores[scores < SURELY_REAL]
    if len(sure_fakes) > max(11, len(scores) // 2.5):
        return float(np.mean(sure_fakes))
    if len(sure_reals) > 0.9 * len(scores):
        return float(np.mean(sure_reals))
    return float(np.mean(scores))


def vote(rule: str, real: int, fake: int) -> float | None:
    """Return the score, 0..1, of a video of which `real` frames were called real and `fake` ones fake.

    `vote`: the share of fake frames. `reversed_vote`: what a published detector does (docs/source_systems.md, S4): a
    lead of more than CLEAR_LEAD frames decides, a smaller one decides against itself, and where the lead is exactly
    that or there is none the video gets no score (None).
    """
    if rule == "vote":
        return fake / (real + fake)
    lead = fake - real
    if abs(lead) in (0, CLEAR_LEAD):
        return None
    return float(lead > 0 if abs(lead) > CLEAR_LEAD else lead < 0)


def by_video(frames: pd.DataFrame, rule: Rule, threshold: float = 0.5) -> "pd.Series[float]":
    """Return the score of each video by `score` (index video, ascending); `frames` has the columns video and score.

    A video is its full key (dataset/method/compression/name): two methods or two compressions may well use the same
    file name, and are never merged.
    """
    video, names = pd.factorize(frames["video"], sort=True)
    scores = frames["score"].to_numpy(np.float64)[np.argsort(video, kind="stable")]
    of_each = np.split(scores, np.cumsum(np.bincount(video, minlength=len(names)))[:-1]) if len(names) else []
    found = [score(rule, part, threshold) for part in of_each]
    return pd.Series(found, index=pd.Index(names, name="video"), name="score", dtype=float)
