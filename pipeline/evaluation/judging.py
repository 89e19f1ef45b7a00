"""Judge a file of scores that others made, by the tables of index and split alone."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from pydantic import ConfigDict

from pipeline import guards, params, provenance, tables
from pipeline.aggregation import Rule
from pipeline.evaluation import figures, imported, leaks
from pipeline.evaluation.decisions import GIVEN, from_validation
from pipeline.evaluation.evaluate import Evaluation, evaluate, with_parts
from pipeline.evaluation.scores import video_scores

DATA = Path("data")


class Knobs(params.Section):
    """What of the section `evaluate` of params.yaml concerns scores; the defaults are for tables without one."""

    model_config = ConfigDict(extra="ignore")

    videos: Rule = "mean"
    bootstrap: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class Judgement:
    """The evaluation of a file of scores, and what its reader has to know.

    `trained_on` names the datasets whose train and val videos the scores' maker is taken to have learned from;
    `assumed`: nobody said so. `validation` counts the videos that thresholds were chosen on, `ignored` those of the
    file that no figure uses.
    """

    dataset: str
    level: str
    evaluation: Evaluation
    trained_on: list[str]
    assumed: bool
    validation: int
    ignored: dict[str, int]
    guards_lifted: dict[str, str]


def judge(
    file: Path, key: str, *, logits: bool = False, threshold: float | None = None, trained_on: list[str] | None = None
) -> Judgement:
    """Judge the scores in `file` on the test split of dataset `key` as the stage evaluate judges the own network's.

    Every test video of data/split/<key> is expected; one that the file lacks is unscored. The rule, the bootstrap draws
    and the seed are those of params.yaml, where there is one. Thresholds are `threshold` (0..1), or chosen on the
    file's scores of validation videos, or 0.5 without any. `trained_on` names datasets whose train and val videos were
    learned from, by default `key` alone: it decides which test videos are leak-free. Raises UserError for a file or
    tables that cannot be read, for names that mean no video or several, and where no row is of a test video.
    """
    knobs, lifted = _knobs(key)
    learned_from = [key] if trained_on is None else trained_on
    videos = _videos(key)
    index = tables.read(DATA / "index" / key / "videos.parquet", tables.VIDEOS, ["video", "path", "name"])
    found = imported.load(file, index, videos, logits=logits)
    known = videos.set_index("video")
    frames = _rows(found.test, known, key)
    validation = found.validation.dropna(subset="score").join(known[["label", "group"]], on="video")
    tied = _tied(key, learned_from)
    if found.level == "frame":
        evaluation = evaluate(
            key, videos, frames, validation, tied, knobs.videos, threshold, knobs.bootstrap, knobs.seed
        )
    else:
        evaluation = _of_videos(key, videos, frames, validation, tied, threshold, knobs)
    absent = ~evaluation.scores.video.isin(found.test.video)
    scores = evaluation.scores.assign(reason=evaluation.scores.reason.mask(absent, imported.NOT_IN_FILE))
    return Judgement(
        key,
        found.level,
        evaluation._replace(scores=scores),
        learned_from,
        trained_on is None,
        int(validation.video.nunique()),
        found.ignored,
        lifted,
    )


def _knobs(key: str) -> tuple[Knobs, dict[str, str]]:
    """Return the knobs, and the guards that were lifted to use them."""
    if not params.PARAMS_FILE.exists():
        return Knobs(), {}
    knobs = params.load_section(Knobs, "evaluate", key)
    if (fault := guards.reversed_vote(knobs.videos)) is None:
        return knobs, {}
    guard = guards.Guards(params.load_section(guards.Params, "guards").allow)
    guard.stop("reversed_vote", fault)
    return knobs, {str(name): text for name, text in guard.lifted.items()}


def _videos(key: str) -> pd.DataFrame:
    return tables.read(DATA / "split" / key / "videos.parquet", tables.ASSIGNMENTS)


def _rows(test: pd.DataFrame, known: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return imported scores of test videos as scores.frame_scores returns the own network's."""
    rows = test.join(known[["split", "label", "method", "group"]], on="video").fillna({"group": ""})
    scored = rows.score.notna()
    return rows.assign(
        level="frame",
        dataset=key,
        frames_scored=scored.astype(int),
        status=np.where(scored, "scored", "unscored"),
        reason=np.where(scored, "", imported.NO_SCORE),
    )


def _tied(key: str, learned_from: Collection[str]) -> set[str]:
    """Return the videos of `key` that are tied to the train and val videos of the datasets `learned_from`."""
    entries = params.load_datasets() if params.PARAMS_FILE.exists() else {}
    columns = ["video", *provenance.COLUMNS]
    index = {name: DATA / "index" / name / "videos.parquet" for name in sorted({key, *learned_from, *entries})}
    linked = {
        name: tables.read(path, tables.VIDEOS, columns)
        for name, path in index.items()
        if name in {key, *learned_from} or path.exists()  # of the others whatever may know what these have in common
    }
    seen = {
        name: set(_videos(name).query("split in ['train', 'val'] and status == 'ok'").video) for name in learned_from
    }
    return leaks.tied_videos(key, linked, seen, [name for name, entry in entries.items() if entry.built_in])


def _of_videos(
    key: str,
    videos: pd.DataFrame,
    rows: pd.DataFrame,
    validation: pd.DataFrame,
    tied: Collection[str],
    threshold: float | None,
    knobs: Knobs,
) -> Evaluation:
    """Judge scores of videos: as one frame of each, whose mean is itself; there are no figures of frames."""
    decisions = from_validation(validation, "mean", threshold)
    by_video = with_parts(video_scores(videos, rows), tied)
    decisions = replace(decisions, rule=cast(Rule, GIVEN))  # how these were made of frames is not known here
    return Evaluation(by_video, figures.metric_rows(by_video, key, decisions, knobs.bootstrap, knobs.seed), decisions)
