"""index: one row per file of a raw tree, from name, published lists and packets. `python -m stages.index KEY`."""

import sys
from pathlib import Path

from pydantic import Field

from pipeline import indexing, machine, params, recognition, scanning, tables
from pipeline.engines import local_engine
from pipeline.errors import UserError, exit_on_user_error


class Params(params.Section):
    """The section `index` of params.yaml."""

    min_frames: int = Field(ge=1, le=300)


def main() -> None:
    """Write data/index/KEY: videos.parquet and findings.parquet."""
    key = params.dataset_key(sys.argv)
    out = Path("data/index") / key
    knobs = params.load_section(Params, "index", key)
    try:
        tree = recognition.recognise(key, params.load_dataset(key))
    except UserError as error:
        raise UserError(f"datasets.{key}: {error}") from None
    if tree.lists.missing:
        raise UserError(f"datasets.{key}: a published list is missing: {'; '.join(tree.lists.missing)}")
    with local_engine(machine.workers(), scanning.TIMEOUT_S) as run:
        rows = indexing.index(tree, knobs.min_frames, run, machine.cache_folder() / "index", f"index {key}")
    tables.write(out / "videos.parquet", rows, tables.VIDEOS, order=["video"])
    tables.write(
        out / "findings.parquet", indexing.findings(key, rows, tree), tables.FINDINGS, order=["code", "subject"]
    )


if __name__ == "__main__":
    exit_on_user_error(main)
