"""reduce: rank the candidates of every split and class and set the quotas. `python -m stages.reduce KEY`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline import pairing, params, selection, tables
from pipeline.errors import exit_on_user_error

Quota = Annotated[int, Field(ge=1, le=1_000_000_000)] | Literal["smallest_class", "none"]
PerVideo = Annotated[int, Field(ge=0)]


class Quotas(params.Section):
    """Frames per class for each split."""

    train: Quota
    val: Quota
    test: Quota


class Minimum(params.Section):
    """Frames per video for each split."""

    train: PerVideo
    val: PerVideo
    test: PerVideo


class Params(params.Section):
    """The section `reduce` of params.yaml."""

    quota: Quotas
    min_per_video: Minimum
    paired: bool
    seed: int


def main() -> None:
    """Write data/reduce/KEY: frames.parquet and quotas.parquet."""
    key = params.dataset_key(sys.argv)
    out = Path("data/reduce") / key
    knobs = params.load_section(Params, "reduce", key)
    frames = tables.read(Path("data/flatten") / key / "frames.parquet", tables.FLAT, categories=True)
    if knobs.paired:
        index = tables.read(Path("data/index") / key / "videos.parquet", tables.VIDEOS, ["video", "original"])
        ranked = pairing.rank_pairs(frames, index.set_index("video").original, knobs.seed)
    else:
        ranked = selection.rank(frames, knobs.seed)
    quotas = selection.quotas(ranked, knobs.quota.model_dump(), knobs.min_per_video.model_dump())
    if len(ranked) != len(frames):
        raise AssertionError(f"reduce: {len(frames)} frames in, {len(ranked)} out")
    tables.write(out / "frames.parquet", ranked, tables.RANKED, order=["split", "label", "rank"])
    tables.write(out / "quotas.parquet", quotas, tables.QUOTAS, order=["split", "label"])


if __name__ == "__main__":
    exit_on_user_error(main)
