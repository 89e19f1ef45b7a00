"""evaluate: score a dataset's test split, frame by frame and video by video. `python -m stages.evaluate KEY`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
from pydantic import Field

from pipeline import guards, params, tables, voting
from pipeline.errors import exit_on_user_error
from pipeline.files import whole_or_absent

if TYPE_CHECKING:
    from pipeline.reading import Samples

TRAINED = Path("data/train")


class Params(params.Section):
    """The section `evaluate` of params.yaml."""

    batch_size: Annotated[int, Field(ge=1, le=4096)]
    videos: voting.Rule
    bootstrap: Annotated[int, Field(ge=200, le=10_000)]
    seed: int


def main() -> None:
    """Write data/evaluate/KEY: scores.parquet, metrics.parquet and rule.json (thresholds, guards that were lifted)."""
    key = params.dataset_key(sys.argv)
    knobs = params.load_section(Params, "evaluate", key)
    guard = guards.Guards(params.load_section(guards.Params, "guards").allow)
    out = Path("data/evaluate") / key
    videos = tables.read(Path("data/split") / key / "videos.parquet", tables.ASSIGNMENTS)
    frames = tables.read(Path("data/extract") / key / "frames.parquet", tables.FRAMES)

    from pipeline import evaluation
    from pipeline.models import scoring, stored

    guard.stop("reversed_vote", guards.reversed_vote(knobs.videos))
    model = stored.load(TRAINED)
    model.network.to(scoring.device())
    dealt = evaluation.dealt_test(tables.read(TRAINED / "samples.parquet", tables.LEARNED), key)
    test = open_test(key, dealt, model.transform.stored_side())
    if dealt:  # training took its own test pictures out of all splits: their videos, and no frame that gave no picture
        videos = videos[videos["video"].isin(test.table["video"])].assign(split="test")
        frames = frames[:0]
    logits = scoring.logits_of_stored(model, test, knobs.batch_size)

    thresholds = model.thresholds if knobs.videos == "mean" else model.thresholds | {"video": voting.MAJORITY}
    frame_scores = evaluation.frame_scores(test.table, logits, frames)
    video_scores = evaluation.video_scores(videos, frame_scores, knobs.videos, thresholds["frame"])
    figures = [
        row
        for level, scores in (("frame", frame_scores), ("video", video_scores))
        for row in evaluation.figures(scores, key, level, thresholds[level], knobs.bootstrap, knobs.seed)
    ]
    tables.write(
        out / "scores.parquet",
        pd.concat([frame_scores, video_scores]),
        tables.SCORES,
        order=["level", "video", "frame"],
    )
    tables.write(out / "metrics.parquet", figures, tables.METRICS, order=["level", "method", "metric"])
    rule = {"dataset": key, "videos": knobs.videos, "thresholds": thresholds, "guards_lifted": guard.lifted}
    with whole_or_absent(out / "rule.json") as part:
        part.write_text(json.dumps(rule, indent=2) + "\n", encoding="utf-8")


def open_test(key: str, dealt: set[str], side: int) -> "Samples":
    """Return the dataset's test pictures: of its split test, or those that training dealt to its part test."""
    from pipeline.reading import Samples, open_dataset

    shards = Path("data/shard") / key
    if not dealt:
        return open_dataset(shards, "test", size=side)
    table = open_dataset(shards).table
    return Samples(table[table["key"].isin(dealt)].assign(split="test"), {key: shards}, side)


if __name__ == "__main__":
    exit_on_user_error(main)
