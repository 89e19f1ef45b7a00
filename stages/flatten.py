"""flatten: one flat unique key per candidate frame. `python -m stages.flatten KEY`."""

import sys
from pathlib import Path

from pipeline import params, selection, tables
from pipeline.errors import exit_on_user_error


def main() -> None:
    """Write data/flatten/KEY/frames.parquet."""
    key = params.dataset_key(sys.argv)
    frames = tables.read(Path("data/sample") / key / "frames.parquet", tables.CANDIDATES, categories=True)
    frames["key"] = selection.flat_keys(frames)
    tables.write(Path("data/flatten") / key / "frames.parquet", frames, tables.FLAT, order=["key"])


if __name__ == "__main__":
    exit_on_user_error(main)
