"""Pictures out of shards as loose files, their bytes unchanged; what is wanted twice is linked."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import tars
from pipeline.engines import Run
from pipeline.errors import UserError
from pipeline.exporting.source import Source
from pipeline.files import sha256_of_bytes
from pipeline.progress import track

Job = dict[str, Any]


def write_pictures(source: Source, out: Path, trees: Sequence[Sequence[str]], run: Run) -> None:
    """Write every picture of `source` below `out`: once in each of `trees`.

    A tree holds a path below `out` for each row of `source.samples`. The first tree's files are written, the others'
    are hard links to them, or copies where the disk has no hard links. Raises UserError for a shard whose bytes are not
    those of samples.parquet.
    """
    _refuse_collisions(source, trees)
    samples = source.samples.assign(paths=pd.Series(list(zip(*trees, strict=True)), dtype=object))
    rows = samples[["key", "offset", "bytes", "sha256", "paths"]]
    jobs = [
        {"shard": str(source.folder / str(shard)), "out": str(out), "rows": of_shard}
        for shard, of_shard in rows.groupby(samples.shard)
    ]
    for job, result in track(run, unpack_shard, jobs, f"export {source.key}", "tar"):
        if isinstance(result, Exception):
            raise UserError(f"{job['shard']} could not be unpacked: {result or type(result).__name__}")


def unpack_shard(job: Job) -> None:
    """Write the pictures of one shard (runs in a worker)."""
    for row in job["rows"].to_dict("records"):
        jpg = tars.read_member(Path(job["shard"]), row["offset"], row["bytes"])
        if sha256_of_bytes(jpg) != row["sha256"]:
            raise UserError(f"{row['key']}.jpg is not as samples.parquet has it; `veriframe verify` tells more")
        first, *others = [Path(job["out"]) / path for path in row["paths"]]
        first.parent.mkdir(parents=True, exist_ok=True)
        first.write_bytes(jpg)
        for other in others:
            other.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(first, other)


def link_or_copy(file: Path, to: Path) -> None:
    """Give `file` the second name `to`; copy it where that cannot be: on another disk, or one without hard links."""
    try:
        os.link(file.resolve(), to)
    except OSError:
        shutil.copyfile(file, to)


def _refuse_collisions(source: Source, trees: Sequence[Sequence[str]]) -> None:
    """Raise AssertionError unless each tree has a path for each sample, and no two paths differ by case alone."""
    paths = [path.lower() for tree in trees for path in tree]
    if len(set(paths)) != len(trees) * len(source.samples):
        raise AssertionError(f"export: {len(source.samples)} samples in {len(trees)} trees, {len(set(paths))} paths")
