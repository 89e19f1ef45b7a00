"""What is chosen on validation and held fixed on test: thresholds and temperatures."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline import aggregation
from pipeline.aggregation import Rule
from pipeline.metrics import binary, calibration

GIVEN = "given"
BY_MAJORITY = "majority"
NO_VALIDATION = "0.5, for want of validation scores of both classes"


@dataclass(frozen=True)
class Decisions:
    """How scores of a test split are read.

    `rule` makes a video's score from its frames. `thresholds` and `temperatures` have the keys frame and video; a
    score above its threshold is called fake; a temperature divides the logit of a score to calibrate it (None: there
    was nothing to fit it on). `chosen` says in words where the thresholds come from.
    """

    rule: Rule
    thresholds: dict[str, float]
    temperatures: dict[str, float | None]
    chosen: str


def from_validation(validation: pd.DataFrame, rule: Rule, given: float | None = None) -> Decisions:
    """Return what the scores of validation frames decide; no test score has a part in it.

    `validation` has the columns video, label and score of tables.VALIDATION. Both thresholds are `given` (0..1), or
    chosen by binary.THRESHOLD_RULE, the video's on videos scored by `rule`; without scores of both classes they are
    0.5. By votes a video is always decided by the majority: a threshold of scores says nothing of shares, and shares
    are no probabilities that a temperature could calibrate.
    """
    frame, temperature, chosen = _of_level(validation, given)
    if rule not in aggregation.AVERAGES:
        thresholds = {"frame": frame, "video": aggregation.MAJORITY}
        return Decisions(rule, thresholds, {"frame": temperature, "video": None}, BY_MAJORITY)
    labels = validation.groupby("video")["label"].first()
    videos = aggregation.by_video(validation, rule).to_frame().assign(label=labels)
    video, video_temperature, _ = _of_level(videos, given)
    return Decisions(rule, {"frame": frame, "video": video}, {"frame": temperature, "video": video_temperature}, chosen)


def _of_level(items: pd.DataFrame, given: float | None) -> tuple[float, float | None, str]:
    """Return threshold, temperature, and where the threshold comes from, of frames or of videos."""
    labels, scores = items["label"].to_numpy(np.int64), items["score"].to_numpy(np.float64)
    temperature = calibration.fit_temperature(labels, scores)
    if given is not None:
        return given, temperature, GIVEN
    if not binary.both_classes(labels):
        return 0.5, temperature, NO_VALIDATION
    return binary.best_threshold(labels, scores), temperature, binary.THRESHOLD_RULE
