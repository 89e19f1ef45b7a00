"""evaluate: score a dataset's test split, frame by frame and video by video. `python -m stages.evaluate KEY`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from pipeline import params, tables
from pipeline.errors import exit_on_user_error


class Params(params.Section):
    """The section `evaluate` of params.yaml."""

    batch_size: Annotated[int, Field(ge=1, le=4096)]
    videos: Literal["mean", "vote", "reversed_vote"]
    bootstrap: Annotated[int, Field(ge=200, le=10_000)]
    seed: int


def main() -> None:
    """Write data/evaluate/KEY: scores.parquet and metrics.parquet."""
    key = params.dataset_key(sys.argv)
    knobs = params.load_section(Params, "evaluate", key)
    out, shards = Path("data/evaluate") / key, Path("data/shard") / key
    videos = tables.read(Path("data/split") / key / "videos.parquet", tables.ASSIGNMENTS)
    frames = tables.read(Path("data/extract") / key / "frames.parquet", tables.FRAMES)

    from pipeline import evaluation
    from pipeline.models import scoring, stored
    from pipeline.reading import open_dataset

    model = stored.load(Path("data/train"))
    model.network.to(scoring.device())
    test = open_dataset(shards, "test", size=model.transform.stored_side())
    logits = scoring.logits_of_stored(model, test, knobs.batch_size)

    frame_scores = evaluation.frame_scores(test.table, logits, frames)
    video_scores = evaluation.video_scores(videos, frame_scores)
    figures = [
        row
        for level, scores in (("frame", frame_scores), ("video", video_scores))
        for row in evaluation.figures(scores, key, level, model.thresholds[level], knobs.bootstrap, knobs.seed)
    ]
    tables.write(
        out / "scores.parquet",
        pd.concat([frame_scores, video_scores]),
        tables.SCORES,
        order=["level", "video", "frame"],
    )
    tables.write(out / "metrics.parquet", figures, tables.METRICS, order=["level", "method", "metric"])


if __name__ == "__main__":
    exit_on_user_error(main)
