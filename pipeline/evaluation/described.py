"""A judgement of scores as text for people, and as JSON."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from pipeline.evaluation.figures import ALL, LEAK_FREE
from pipeline.evaluation.judging import Judgement
from pipeline.metrics.bootstrap import FEW_GROUPS
from pipeline.wording import printable

HEADLINE = (
    "auroc",
    "partial_auroc",
    "ap",
    "eer",
    "tpr_at_1_fpr",
    "tpr_at_5_fpr",
    "accuracy",
    "balanced_accuracy",
    "log_loss",
    "ece",
)
OF_PARTS = ("auroc", "ap", "eer", "accuracy")
SHOWN = 10  # unscored videos


def as_json(found: Judgement) -> dict[str, Any]:
    """Return everything of a judgement, ready for JSON: undefined figures are null."""
    decisions = found.evaluation.decisions
    videos = _videos(found)
    unscored = videos[videos.status == "unscored"]
    return {
        "dataset": found.dataset,
        "level": found.level,
        "videos": decisions.rule,
        "thresholds": decisions.thresholds,
        "temperatures": decisions.temperatures,
        "chosen": decisions.chosen,
        "guards_lifted": found.guards_lifted,
        "trained_on": found.trained_on,
        "trained_on_assumed": found.assumed,
        "validation_videos": found.validation,
        "ignored_videos": found.ignored,
        "expected_videos": len(videos),
        "leak_free_videos": int(videos.leak_free.sum()),
        "unscored": unscored.sort_values("video")[["video", "reason"]].to_dict("records"),
        "metrics": [{name: _or_null(value) for name, value in row.items()} for row in found.evaluation.metrics],
    }


def in_words(found: Judgement) -> str:
    """Return a judgement as text of some 40 lines."""
    metrics = pd.DataFrame(found.evaluation.metrics)
    own = metrics[metrics.rule.isin(["", found.evaluation.decisions.rule])]
    lines = [*_circumstances(found), ""]
    for level in ("video", "frame"):
        overall = own[(own.level == level) & (own.method == ALL) & (own.compression == ALL)]
        if len(overall):
            lines += [*_overall(level, overall), ""]
    lines += [*_parts(own[own.level == "video"]), "", *_cautions(found, own)]
    return "\n".join(lines).rstrip()


def _circumstances(found: Judgement) -> Iterator[str]:
    """Yield what was judged, and by which decisions."""
    decisions, videos = found.evaluation.decisions, _videos(found)
    scored = int((videos.status == "scored").sum())
    how = "scores of videos" if found.level == "video" else f"scores of frames, of a video their {decisions.rule}"
    yield f"{found.dataset}: {scored:,} of {len(videos):,} test videos scored; {how}"
    yield f"threshold: {decisions.thresholds['video']:.4g}; chosen: {decisions.chosen}"
    yield f"validation: the file scores {found.validation:,} videos of val"
    if (temperature := decisions.temperatures["video"]) is not None:
        yield f"temperature: {temperature:.3g}, fitted on val"
    assumed = " (assumed; say --trained-on where that is not so)" if found.assumed else ""
    yield f"learned from: train and val of {', '.join(found.trained_on)}{assumed}"
    if found.ignored:
        counts = {"train": "of train", "none": "of no split"}
        yield "not used: videos " + ", ".join(f"{counts[name]} {count:,}" for name, count in found.ignored.items())


def _overall(level: str, rows: pd.DataFrame) -> Iterator[str]:
    """Yield the table of all items beside the leak-free ones."""
    subsets = [rows[rows.subset == name].set_index("metric") for name in (ALL, LEAK_FREE)]
    yield _line(f"{level}s, 95 % intervals", ["all", "leak-free"])
    for metric in HEADLINE:
        bounds = [part.loc[[metric], ["value", "lower", "upper"]].iloc[0] for part in subsets]
        yield _line(f"  {metric}", [_figure(*bound) for bound in bounds])
    yield _line("  coverage", [_coverage(part.iloc[0]) for part in subsets])
    yield _line("  real, fake, groups", [_counts(part.iloc[0]) for part in subsets])


def _line(what: str, cells: list[str]) -> str:
    return f"{what:32}" + "".join(f"{cell:>26}" for cell in cells)


def _parts(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each method and compression."""
    yield f"{'videos by part':32}" + "".join(f"{metric:>10}" for metric in OF_PARTS) + f"{'coverage':>18}"
    for column in ("method", "compression"):
        parts = rows[(rows[column] != ALL) & (rows.subset == ALL)]
        for name, part in parts.groupby(column):
            figures = part.set_index("metric")
            cells = "".join(f"{_number(figures.value[metric]):>10}" for metric in OF_PARTS)
            yield f"  {column + ' ' + printable(str(name)):30}{cells}{_coverage(part.iloc[0]):>18}"


def _cautions(found: Judgement, own: pd.DataFrame) -> Iterator[str]:
    """Yield what keeps the figures from saying more."""
    videos = _videos(found)
    unscored = videos[videos.status == "unscored"].sort_values("video")
    if len(unscored):
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in unscored.reason.value_counts().items())
        yield f"unscored videos, which no figure but the coverage sees: {len(unscored):,} ({reasons})"
        shown = unscored.head(SHOWN)
        yield from (f"  {printable(name)}: {reason}" for name, reason in zip(shown.video, shown.reason, strict=True))
        if len(unscored) > SHOWN:
            yield f"  and {len(unscored) - SHOWN:,} more; --json names all"
    groups = int(own.loc[(own.level == "video") & (own.subset == ALL), "groups"].max())
    if groups < FEW_GROUPS:
        yield f"only {groups} provenance groups (fewer than {FEW_GROUPS}): the intervals may be too narrow, or missing"
    if found.level == "frame":
        yield "frames: the coverage is of those the file names; what it leaves out of a video is not known"


def _videos(found: Judgement) -> pd.DataFrame:
    scores = found.evaluation.scores
    return scores[scores.level == "video"]


def _figure(value: float, lower: float, upper: float) -> str:
    return _number(value) + ("" if math.isnan(lower) else f" ({lower:.3f} to {upper:.3f})")


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _coverage(row: pd.Series) -> str:
    scored = row.real + row.fake
    share = f" ({scored / row.expected:.1%})" if row.expected else ""
    return f"{scored:,} of {row.expected:,}{share}"


def _counts(row: pd.Series) -> str:
    return f"{row.real:,}, {row.fake:,}, {row.groups:,}"


def _or_null(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
