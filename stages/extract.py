"""extract: decode the chosen frames, find faces, keep loose crops, fill every quota. `python -m stages.extract KEY`.

`python -m stages.extract KEY --shard i/n` does the part i (0 to n - 1) of the work for a cluster: see docs/cluster.md.
"""

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

from pipeline import selection, tables
from pipeline.engines import engine
from pipeline.errors import UserError, exit_on_user_error
from pipeline.extracting import extraction, extraction_plan
from pipeline.extracting.extraction_plan import Plan


def main() -> None:
    """Write data/extract/KEY: frames, faces and quotas as tables, and the loose crops; with --shard only the cache."""
    parser = argparse.ArgumentParser(prog="python -m stages.extract")
    parser.add_argument("key", metavar="KEY", help="key of the dataset in params.yaml")
    parser.add_argument("--shard", metavar="i/n", type=_part, help="fill the work cache for part i (from 0) of n")
    arguments = parser.parse_args()
    key = arguments.key
    plan = extraction_plan.load(key)
    if plan.knobs.on_shortfall == "fail":  # before hours of work
        _report_shortfall(plan, plan.frames.assign(state="untried", reason=""), key)
    with engine(plan.knobs.timeout) as run:
        if arguments.shard is not None:
            part, parts = arguments.shard
            videos, frames = extraction.fill_cache(plan.frames, plan.cells, plan.footage, run, part, parts)
            print(f"part {part} of {parts}: {frames:,} frames of {videos:,} videos are in the work cache")
            return
        tried, faces = extraction.extract(plan.frames, plan.cells, plan.footage, run)
    _report_shortfall(plan, tried, key)
    _write(Path("data/extract") / key, plan, tried, faces, key)


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not int(match[1]) < int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with i from 0 to n - 1")
    return int(match[1]), int(match[2])


def _report_shortfall(plan: Plan, frames: pd.DataFrame, key: str) -> None:
    """List the quotas that cannot be met, by split, class and method; UserError where that must stop the pipeline."""
    short = selection.shortfall(frames, plan.cells)
    for row in short.to_dict("records"):
        print(
            f"{key}: {row['split']} {tables.CLASSES[row['label']]} lacks {row['missing']} of {row['quota']} frames; "
            f"of {row['method']} {row['candidates']} candidates, {row['tried']} tried, {row['good']} good"
            f"{' (' + row['reasons'] + ')' if row['reasons'] else ''}",
            file=sys.stderr,
        )
    if len(short) and plan.knobs.on_shortfall == "fail":
        cells = ", ".join(dict.fromkeys(short.split + " " + short.label.map(tables.CLASSES)))
        raise UserError(
            f"{key}: the quota of {cells} cannot be met, as listed above; lower reduce.quota, take more candidates "
            "(sample), or set extract.on_shortfall to warn"
        )


def _write(out: Path, plan: Plan, tried: pd.DataFrame, faces: pd.DataFrame, key: str) -> None:
    group = tables.read(Path("data/split") / key / "videos.parquet", tables.ASSIGNMENTS).set_index("video").group
    tried["status"], filled = selection.settle(tried, plan.cells)
    tried["group"] = tried.video.map(group)
    tried["recipe"] = ""
    tried.loc[tried.status != "unused", "recipe"] = plan.footage.recipe.versions()  # once: it takes milliseconds
    kept = tried[tried.status == "kept"]
    suffix = ".png" if plan.knobs.crop_quality is None else ".jpg"
    (out / "frames.parquet").unlink(missing_ok=True)  # the table is there only while it is true
    for stale in out.glob("crops-*.tar"):
        stale.unlink()
    tried = tried.join(extraction.write_crops(out, kept, plan.knobs.tars, suffix))
    tried.loc[tried.status != "kept", [field.name for field in tables.CROP]] = None
    if len(tried) != len(plan.frames):
        raise AssertionError(f"extract: {len(plan.frames)} frames in, {len(tried)} out")
    tables.write(out / "quotas.parquet", filled, tables.FILLED, order=["split", "label"])
    tables.write(out / "faces.parquet", faces, tables.FACES, order=["key", "face"])
    tables.write(out / "frames.parquet", tried[tables.FRAMES.names], tables.FRAMES, order=["key"])


if __name__ == "__main__":
    exit_on_user_error(main)
