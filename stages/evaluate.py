"""evaluate: score a dataset's test split, frame by frame and video by video. `python -m stages.evaluate KEY`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
from pydantic import Field

from pipeline import guards, params, provenance, tables
from pipeline.aggregation import Rule
from pipeline.errors import exit_on_user_error
from pipeline.evaluation import corruptions

if TYPE_CHECKING:
    from pipeline.reading import Samples

DATA = Path("data")
TRAINED = DATA / "train"


class Params(params.Section):
    """The section `evaluate` of params.yaml."""

    batch_size: Annotated[int, Field(ge=1, le=4096)]
    videos: Rule
    bootstrap: Annotated[int, Field(ge=200, le=10_000)]
    robustness: corruptions.Knobs
    explained: Annotated[int, Field(ge=0, le=50)]
    seed: int


def main() -> None:
    """Write data/evaluate/KEY: scores.parquet, metrics.parquet, robustness.parquet, heatmaps.parquet and rule.json."""
    key = params.dataset_key(sys.argv)
    knobs = params.load_section(Params, "evaluate", key)
    guard = guards.Guards(params.load_section(guards.Params, "guards").allow)
    guard.stop("reversed_vote", guards.reversed_vote(knobs.videos))

    from pipeline.evaluation import evaluate, explanations, robustness, scores
    from pipeline.models import scoring, stored

    model = stored.load(TRAINED)
    model.network.to(scoring.device())
    learned = tables.read(TRAINED / "samples.parquet", tables.LEARNED)
    validation = tables.read(TRAINED / "validation.parquet", tables.VALIDATION)
    videos = tables.read(DATA / "split" / key / "videos.parquet", tables.ASSIGNMENTS)
    frames = tables.read(DATA / "extract" / key / "frames.parquet", tables.FRAMES, scores.FRAME_COLUMNS)
    dealt = scores.dealt_test(learned, key)
    test = open_test(key, dealt, model.transform.stored_side())
    if dealt:  # training took its own test pictures out of all splits: their videos, and no frame that gave no picture
        videos = videos[videos["video"].isin(test.table["video"])].assign(split="test")
        frames = frames[:0]

    logits = scoring.logits_of_stored(model, test, knobs.batch_size)
    by_frame = scores.frame_scores(test.table, scoring.probability(logits), frames)
    evaluation = evaluate.evaluate(
        key,
        videos,
        by_frame,
        validation,
        tied_to_training(key, learned),
        knobs.videos,
        given_threshold(),
        knobs.bootstrap,
        knobs.seed,
    )
    changed = robustness.rows(model, test, knobs.robustness, key, knobs.batch_size, knobs.bootstrap, knobs.seed)
    judged = evaluation.scores[evaluation.scores["level"] == "frame"]
    heatmaps = explanations.rows(model, test, judged, evaluation.decisions.thresholds["frame"], knobs.explained)

    out = DATA / "evaluate" / key
    evaluate.write(out, key, evaluation, {str(name): fault for name, fault in guard.lifted.items()})
    tables.write(out / "robustness.parquet", changed, tables.ROBUSTNESS, ["corruption", "strength"])
    tables.write(out / "heatmaps.parquet", heatmaps, tables.HEATMAPS, ["key"])


def open_test(key: str, dealt: set[str], side: int) -> "Samples":
    """Return the dataset's test pictures: of its split test, or those that training dealt to its part test."""
    from pipeline.reading import Samples, open_dataset

    shards = DATA / "shard" / key
    if not dealt:
        return open_dataset(shards, "test", size=side)
    table = open_dataset(shards).table
    return Samples(table[table["key"].isin(dealt)].assign(split="test"), {key: shards}, side)


def tied_to_training(key: str, learned: pd.DataFrame) -> set[str]:
    """Return the videos of the dataset that share material with what the model learned from (tables.LEARNED)."""
    from pipeline.evaluation import leaks

    # All datasets: a third one may know what two have in common.
    datasets = {name: params.load_dataset(name) for name in sorted({*params.load_datasets(), *learned["dataset"]})}
    columns = ["video", *provenance.COLUMNS]
    videos = {name: tables.read(DATA / "index" / name / "videos.parquet", tables.VIDEOS, columns) for name in datasets}
    built_in = [name for name, dataset in datasets.items() if dataset.built_in]
    return leaks.tied_videos(key, videos, leaks.learned_videos(learned, videos), built_in)


def given_threshold() -> float | None:
    """Return the threshold that params.yaml set for the model; None where validation chose it."""
    from pipeline.evaluation.decisions import GIVEN

    card = json.loads((TRAINED / "model.json").read_text(encoding="utf-8"))
    return float(card["thresholds"]["frame"]) if card.get("threshold_rule") == GIVEN else None


if __name__ == "__main__":
    exit_on_user_error(main)
