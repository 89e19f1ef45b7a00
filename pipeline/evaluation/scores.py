"""What a network makes of a test split: a row for every frame and video that was expected."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline import aggregation
from pipeline.aggregation import Rule
from pipeline.errors import UserError

FAILED = "failed"
NO_FRAME = "no_usable_frame"
VOTE_DROPPED = "vote_dropped"

FRAME_COLUMNS = ["video", "frame", "key", "split", "label", "method", "group", "status", "reason"]  # of tables.FRAMES


def dealt_test(learned: pd.DataFrame, key: str) -> set[str]:
    """Return the keys of the pictures of dataset `key` that training dealt to the part test; none where it did not.

    `learned` is tables.LEARNED. A picture that was dealt out several times is one picture here.
    """
    return set(learned.loc[(learned["dataset"] == key) & (learned["part"] == "test"), "key"])


def frame_scores(samples: pd.DataFrame, scores: npt.NDArray[np.float64], frames: pd.DataFrame) -> pd.DataFrame:
    """Return one row per test frame that was tried: `samples` are scored, failed `frames` are not.

    `samples` are the test rows of tables.SAMPLES and `scores` (n,) their probabilities of fake, 0..1, in their order;
    `frames` are all rows of tables.FRAMES of the dataset, columns FRAME_COLUMNS. The rows are of tables.SCORES, but for
    compression and leak_free, which evaluate.evaluate adds.
    """
    failed = frames[(frames["split"] == "test") & (frames["status"] == FAILED)]
    shared = ["video", "frame", "key", "split", "label", "method", "group"]
    scored = samples[["dataset", *shared]].assign(score=scores, frames_scored=1, status="scored", reason="")
    unscored = failed[shared].assign(
        dataset=failed["video"].str.split("/").str[0],
        score=np.nan,
        frames_scored=0,
        status="unscored",
        reason=failed["reason"],
    )
    rows = pd.concat([scored, unscored], ignore_index=True).assign(level="frame")
    if len(rows) != len(samples) + len(failed) or rows["key"].duplicated().any():
        raise AssertionError(f"evaluate: {len(samples)} samples and {len(failed)} failed frames in, {len(rows)} out")
    return rows


def video_scores(
    videos: pd.DataFrame, frames: pd.DataFrame, rule: Rule = "mean", frame_threshold: float = 0.5
) -> pd.DataFrame:
    """Return one row per test video of `videos` (tables.ASSIGNMENTS), scored from its frames by `rule`.

    `frames` is what `frame_scores` returned; by a vote those above `frame_threshold` are called fake. A video without a
    scored frame is unscored: for the reason it was rejected for, else the one most of its frames failed for, else
    no_usable_frame; one that the vote drops is so for vote_dropped. The rows are as of `frame_scores`. Raises UserError
    without any test video.
    """
    expected = videos[videos["split"] == "test"]
    if expected.empty:
        raise UserError("the split table names no test video, so there is nothing to evaluate; see the stage split")
    scored = frames[frames["status"] == "scored"]
    unknown = sorted(set(scored["video"]) - set(expected["video"]))
    if unknown:
        raise UserError(f"{unknown[0]} has test pictures but is no test video of its split table; run `dvc repro`")
    score = aggregation.by_video(scored, rule, frame_threshold)
    rows = expected[["video", "split", "label", "method", "group"]].fillna({"group": ""}).reset_index(drop=True)
    rows = rows.assign(
        level="video",
        dataset=rows["video"].str.split("/").str[0],
        frame=None,
        key=rows["video"],
        score=rows["video"].map(score).astype(float),
        frames_scored=rows["video"].map(scored.groupby("video").size()).fillna(0).astype(int),
    )
    has_score = rows["score"].notna()
    rows["status"] = np.where(has_score, "scored", "unscored")
    rejections = expected[expected["reason"] != ""].set_index("video")["reason"]
    reasons = rows["video"].map(rejections).fillna(rows["video"].map(_main_reasons(frames))).fillna(NO_FRAME)
    reasons = reasons.mask(~has_score & (rows["frames_scored"] > 0), VOTE_DROPPED)
    rows["reason"] = reasons.mask(has_score, "")
    if len(rows) != len(expected) or rows["video"].duplicated().any():
        raise AssertionError(f"evaluate: {len(expected)} test videos in, {len(rows)} out")
    return rows


def _main_reasons(frames: pd.DataFrame) -> pd.Series:
    """Return per video with unscored frames the commonest reason, the first in the alphabet among equals."""
    unscored = frames[frames["status"] == "unscored"]
    counted = unscored.groupby(["video", "reason"]).size().reset_index(name="frames")
    commonest = counted.sort_values(["frames", "reason"], ascending=[False, True]).drop_duplicates("video")
    return commonest.set_index("video")["reason"]
