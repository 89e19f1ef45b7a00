"""What is chosen on validation and held fixed on test: thresholds and temperatures."""

from dataclasses import dataclass

from pipeline.aggregation import Rule


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
