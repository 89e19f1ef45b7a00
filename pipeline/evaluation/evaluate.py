"""The judgement of a test split's scores: one for the own network's and for anybody else's."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline import aggregation, tables
from pipeline.aggregation import Rule
from pipeline.evaluation import figures
from pipeline.evaluation.decisions import Decisions, from_validation
from pipeline.evaluation.scores import video_scores
from pipeline.files import whole_or_absent

METRICS_ORDER = ["level", "rule", "subset", "method", "compression", "metric"]


class Evaluation(NamedTuple):
    """Rows of tables.SCORES and of tables.METRICS, and the decisions behind them."""

    scores: pd.DataFrame
    metrics: list[dict[str, Any]]
    decisions: Decisions


def evaluate(
    dataset: str,
    videos: pd.DataFrame,
    frames: pd.DataFrame,
    validation: pd.DataFrame,
    tied: Collection[str],
    rule: Rule,
    given: float | None,
    draws: int,
    seed: int,
) -> Evaluation:
    """Judge the frame scores of a test split.

    `videos` (tables.ASSIGNMENTS) names the test videos, all of which are expected to be scored; `frames` are rows as
    scores.frame_scores gives them; `validation` and `given` are as in decisions.from_validation; `tied` are the videos
    that are not leak-free (leaks.tied_videos). A video's score is by `rule`; beside it stand the figures of every other
    average, over all videos. Intervals are of `draws` bootstrap draws by `seed`.
    """
    decisions = from_validation(validation, rule, given)
    by_rule = video_scores(videos, frames, rule, decisions.thresholds["frame"])
    scores = with_parts(pd.concat([frames, by_rule], ignore_index=True), tied)
    metrics = figures.metric_rows(scores, dataset, decisions, draws, seed)
    for other in [average for average in aggregation.AVERAGES if average != rule]:
        of_other = with_parts(video_scores(videos, frames, other), tied)
        metrics += figures.overall_rows(of_other, dataset, from_validation(validation, other, given), draws, seed)
    return Evaluation(scores, metrics, decisions)


def write(folder: Path, dataset: str, evaluation: Evaluation, guards_lifted: Mapping[str, str]) -> None:
    """Write scores.parquet, metrics.parquet and rule.json into `folder`, each whole or not at all."""
    tables.write(folder / "scores.parquet", evaluation.scores, tables.SCORES, ["level", "video", "frame"])
    tables.write(folder / "metrics.parquet", evaluation.metrics, tables.METRICS, METRICS_ORDER)
    decisions = evaluation.decisions
    rule = {
        "dataset": dataset,
        "videos": decisions.rule,
        "thresholds": decisions.thresholds,
        "temperatures": decisions.temperatures,
        "chosen": decisions.chosen,
        "guards_lifted": dict(guards_lifted),
    }
    with whole_or_absent(folder / "rule.json") as part:
        part.write_text(json.dumps(rule, indent=2) + "\n", encoding="utf-8")


def with_parts(rows: pd.DataFrame, tied: Collection[str]) -> pd.DataFrame:
    """Return rows of tables.SCORES with the columns that figures are broken down by."""
    video, names = pd.factorize(rows["video"])  # each name is taken apart once: frames may be millions
    compression = pd.Series(names, dtype="str").str.split("/", n=3).str[2]
    leak_free = ~pd.Series(names, dtype="str").isin(list(tied))
    return rows.assign(compression=compression.array.take(video), leak_free=leak_free.to_numpy().take(video))
