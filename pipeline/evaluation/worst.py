"""The frames that a detector is most wrong about: what the page shows, and what Grad-CAM explains."""

import pandas as pd

from pipeline import tables


def worst_errors(scores: pd.DataFrame, threshold: float, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the worst false positives and the worst false negatives, at most `count` frames each, worst first.

    `scores` are frame rows of tables.SCORES. A real frame with a score above `threshold` (0..1) is a false positive, a
    fake frame with any other score a false negative; frames without a score are neither. Of each video only its worst
    frame counts, else one video would fill the page; of equal scores the key that sorts first comes first.
    """
    scored = scores[(scores["level"] == "frame") & (scores["status"] == "scored")]
    called_fake = scored["score"] > threshold
    false_positives = scored[(scored["label"] == tables.REAL) & called_fake]
    false_negatives = scored[(scored["label"] == tables.FAKE) & ~called_fake]
    return _worst(false_positives, count, ascending=False), _worst(false_negatives, count, ascending=True)


def _worst(frames: pd.DataFrame, count: int, *, ascending: bool) -> pd.DataFrame:
    ordered = frames.sort_values(["score", "key"], ascending=[ascending, True])
    return ordered.drop_duplicates("video").head(count).reset_index(drop=True)
