"""shard: final pictures as WebDataset tars, with an index of every sample. `python -m stages.shard KEY`."""

import sys
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from pipeline import machine, params, tables
from pipeline.crops import Alignment
from pipeline.engines import local_engine
from pipeline.errors import UserError, exit_on_user_error
from pipeline.shards import write_shards

Count = Annotated[int, Field(ge=1, le=100_000)]


class Shards(params.Section):
    """Tars for each split."""

    train: Count
    val: Count
    test: Count


class Params(params.Section):
    """The section `shard` of params.yaml."""

    size: int = Field(ge=32, le=1024)
    alignment: Alignment
    margin: float = Field(ge=0, le=2)
    jpeg_quality: int = Field(ge=1, le=100)
    shards: Shards


class Extract(params.Section):
    """What shard needs to know of the section `extract`."""

    margin: float

    model_config = ConfigDict(extra="ignore")


def main() -> None:
    """Write data/shard/KEY: the tars and samples.parquet, which is written last."""
    key = params.dataset_key(sys.argv)
    out, crops = Path("data/shard") / key, Path("data/extract") / key
    knobs = params.load_section(Params, "shard", key)
    loose_margin = params.load_section(Extract, "extract", key).margin
    if knobs.alignment != "none" and knobs.margin > loose_margin:
        raise UserError(
            f"params.yaml: shard.margin {knobs.margin} exceeds extract.margin {loose_margin}, all that loose crops hold"
        )
    frames = tables.read(crops / "frames.parquet", tables.FRAMES)
    kept = frames[frames.status == "kept"].assign(dataset=key)
    look = knobs.model_dump(include={"size", "alignment", "margin", "jpeg_quality"})
    with local_engine(machine.workers()) as run:
        samples = write_shards(kept, crops, out, look, knobs.shards.model_dump(), run)
    if len(samples) != len(kept):
        raise AssertionError(f"shard: {len(kept)} frames in, {len(samples)} out")
    tables.write(out / "samples.parquet", samples[tables.SAMPLES.names], tables.SAMPLES, order=["shard", "offset"])


if __name__ == "__main__":
    exit_on_user_error(main)
