"""check: nothing lost, doubled or leaked, every crop whole; else the pipeline stops. `python -m stages.check KEY`."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from pydantic import Field

from pipeline import machine, params, quality, tables
from pipeline.engines import local_engine
from pipeline.errors import UserError, exit_on_user_error
from pipeline.files import whole_or_absent
from pipeline.sharding import shard_sizes, shards

PICTURES_MADE = 32  # to tell the size of shards


class Params(params.Section):
    """The section `check` of params.yaml."""

    min_found: float = Field(ge=0, le=1)
    max_imbalance: float = Field(ge=1)


def main() -> None:
    """Write data/check/KEY: verdict.json and findings.parquet; end with an error when a rule is broken."""
    key = params.dataset_key(sys.argv)
    out = Path("data/check") / key
    knobs = params.load_section(Params, "check", key)
    folder = {
        stage: Path("data") / stage / key for stage in ("index", "split", "sample", "flatten", "reduce", "extract")
    }
    assignments = tables.read(folder["split"] / "videos.parquet", tables.ASSIGNMENTS)
    sampled = tables.read(folder["sample"] / "videos.parquet", tables.SAMPLED_VIDEOS)
    frames = tables.read(folder["extract"] / "frames.parquet", tables.FRAMES)
    filled = tables.read(folder["extract"] / "quotas.parquet", tables.FILLED)
    with local_engine(machine.workers()) as run:
        crops = quality.inspect_crops(frames, folder["extract"], run)

    steps = {
        "videos: index to split": (_rows(folder["index"] / "videos.parquet"), len(assignments)),
        "videos: split to sample": (len(assignments), len(sampled)),
        "frames: candidates to rows": (int(sampled.candidates.sum()), _rows(folder["sample"] / "frames.parquet")),
        "frames: sample to flatten": (
            _rows(folder["sample"] / "frames.parquet"),
            _rows(folder["flatten"] / "frames.parquet"),
        ),
        "frames: flatten to reduce": (
            _rows(folder["flatten"] / "frames.parquet"),
            _rows(folder["reduce"] / "frames.parquet"),
        ),
        "frames: reduce to extract": (_rows(folder["reduce"] / "frames.parquet"), len(frames)),
        "frames: kept to crops": (int((frames.status == "kept").sum()), int((crops.problem == "").sum())),
        "frames: quotas to kept": (int(filled.kept.sum()), int((frames.status == "kept").sum())),
    }
    videos = assignments[assignments.status == "ok"]
    checked = quality.checked_tables(videos, steps, frames, filled, crops)
    outcomes = quality.validate(checked, quality.rules(knobs.min_found, knobs.max_imbalance))
    missed = [outcome for outcome in outcomes if not outcome["passed"]]
    kept = frames[frames.status == "kept"]
    advice = _shard_advice(kept, folder["extract"], params.load_section(shards.Params, "shard", key))
    broken = [outcome for outcome in missed if outcome["code"] not in quality.WARNINGS]

    verdict = {
        "dataset": key,
        "passed": not broken,
        "rules": len(outcomes),
        "broken": sorted({outcome["code"] for outcome in broken}),
        "videos": {"used": len(videos), "rejected": len(assignments) - len(videos)},
        "frames": {status: int((frames.status == status).sum()) for status in ("kept", "surplus", "failed", "unused")},
        "steps": {what: list(counts) for what, counts in steps.items()},
    }
    tables.write(
        out / "findings.parquet",
        _findings(key, missed, frames, advice),
        tables.FINDINGS,
        order=["severity", "code", "subject"],
    )
    with whole_or_absent(out / "verdict.json") as part:
        part.write_text(json.dumps(verdict, indent=2) + "\n")
    if broken:
        said = "; ".join(f"{outcome['code']} ({', '.join(outcome['examples'])})" for outcome in broken)
        raise UserError(
            f"{key} broke {len(broken)} of {len(outcomes)} rules: {said}. See {out}/verdict.json and docs/findings.md"
        )


def _rows(path: Path) -> int:
    if not path.is_file():
        raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first")
    return int(pq.read_metadata(path).num_rows)


def _shard_advice(kept: pd.DataFrame, crops: Path, knobs: shards.Params) -> dict[str, str]:
    """Return what shard_sizes says of each split, from some final pictures made as `shard` will make them."""
    some = kept.iloc[:: max(1, len(kept) // PICTURES_MADE)]  # the table is in the order of keys
    try:
        pictures = [shards.final_jpg(dict(row), crops, knobs.look) for _, row in some.iterrows()]
    except (OSError, ValueError):  # a crop that is not there or damaged: a broken rule has said so
        return {}
    each = sum(shard_sizes.of_sample(len(picture)) for picture in pictures) / max(1, len(pictures))
    bytes_of = {split: number * each for split, number in Counter(kept.split).items()}
    return shard_sizes.advice(bytes_of, knobs.shards.model_dump())


def _findings(
    key: str, missed: list[dict[str, Any]], frames: pd.DataFrame, advice: dict[str, str]
) -> list[dict[str, str]]:
    """Broken rules; a warning for each split whose shards have no good size; a note for each frame that was tried and
    failed, and for each fake whose face was a guess."""
    row = {"dataset": key, "stage": "check"}
    rules = [
        row
        | {
            "severity": "warning" if outcome["code"] in quality.WARNINGS else "error",
            "code": outcome["code"],
            "subject": subject,
            "detail": f"{outcome['table']}: {outcome['expectation']}",
        }
        for outcome in missed
        for subject in outcome["examples"] or [outcome["table"]]
    ]
    failed = frames[frames.status == "failed"]
    notes = [
        row | {"severity": "note", "code": reason, "subject": frame, "detail": "tried, not usable"}
        for frame, reason in zip(failed.key, failed.reason, strict=True)
    ]
    kept = frames[frames.status == "kept"]
    guessed = Counter(kept.video[kept.chosen_by == "ambiguous_face"])
    counts = Counter(kept.video)
    notes += [
        row
        | {"severity": "note", "code": "ambiguous_face", "subject": video}
        | {"detail": f"{number} of {counts[video]} kept frames show several faces; the largest was taken"}
        for video, number in guessed.items()
    ]
    sized = [
        row | {"severity": "warning", "code": "shard_size", "subject": split, "detail": said}
        for split, said in advice.items()
    ]
    return rules + sized + notes


if __name__ == "__main__":
    exit_on_user_error(main)
