"""reduce: rank the candidates of every split and class and set the quotas. `python -m stages.reduce KEY`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline import params, selection, tables
from pipeline.errors import UserError, exit_on_user_error

Quota = Annotated[int, Field(ge=1)] | Literal["smallest_class", "none"]
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
    seed: int


def main() -> None:
    """Write data/reduce/KEY: frames.parquet and quotas.parquet."""
    key = params.dataset_key(sys.argv)
    out = Path("data/reduce") / key
    knobs = params.load_section(Params, "reduce", key)
    frames = tables.read(Path("data/flatten") / key / "frames.parquet", tables.FLAT, categories=True)
    ranked = selection.rank(frames, knobs.seed)
    quotas = selection.quotas(ranked, knobs.quota.model_dump(), knobs.min_per_video.model_dump())
    short = quotas[quotas.quota > quotas.candidates]
    if len(short):
        cell = short.iloc[0]
        raise UserError(
            f"params.yaml: reduce.quota.{cell.split} asks for {cell.quota} frames per class, but {key} has only "
            f"{cell.candidates} candidates of label {cell.label} there; lower the quota or sample.every"
        )
    if len(ranked) != len(frames):
        raise AssertionError(f"reduce: {len(frames)} frames in, {len(ranked)} out")
    tables.write(out / "frames.parquet", ranked, tables.RANKED, order=["split", "label", "rank"])
    tables.write(out / "quotas.parquet", quotas, tables.QUOTAS, order=["split", "label"])


if __name__ == "__main__":
    exit_on_user_error(main)
