"""shard: final pictures as WebDataset tars, with an index of every sample. `python -m stages.shard KEY`."""

import json
import shutil
import sys
from pathlib import Path

from pydantic import ConfigDict

from pipeline import machine, params, tables
from pipeline.engines import local_engine
from pipeline.errors import UserError, exit_on_user_error
from pipeline.files import whole_or_absent
from pipeline.sharding import sealing, shards


class Extract(params.Section):
    """What shard needs to know of the section `extract`."""

    margin: float

    model_config = ConfigDict(extra="ignore")


def main() -> None:
    """Write data/shard/KEY: the tars, samples.parquet, _info.json for timm, and last manifest.json."""
    key = params.dataset_key(sys.argv)
    out, crops = Path("data/shard") / key, Path("data/extract") / key
    knobs = params.load_section(shards.Params, "shard", key)
    loose_margin = params.load_section(Extract, "extract", key).margin
    if knobs.alignment != "none" and knobs.margin > loose_margin:
        raise UserError(
            f"params.yaml: shard.margin {knobs.margin} exceeds extract.margin {loose_margin}, all that loose crops hold"
        )
    frames = tables.read(crops / "frames.parquet", tables.FRAMES)
    kept = frames[frames.status == "kept"].assign(dataset=key)
    # As DVC does: else shards of an earlier run by hand would be in the manifest.
    shutil.rmtree(out, ignore_errors=True)
    counts = knobs.shards.model_dump()
    with local_engine(machine.workers()) as run:
        samples = shards.write_shards(kept, crops, out, knobs.look, counts, run)
        if len(samples) != len(kept):
            raise AssertionError(f"shard: {len(kept)} frames in, {len(samples)} out")
        tables.write(out / "samples.parquet", samples[tables.SAMPLES.names], tables.SAMPLES, order=["shard", "offset"])
        info = json.dumps(shards.timm_info(samples, counts), indent=1)
        with whole_or_absent(out / "_info.json") as part:
            part.write_text(info + "\n", encoding="utf-8", newline="\n")
        sealing.seal(out, {"dataset": key, "samples": len(samples)}, run)


if __name__ == "__main__":
    exit_on_user_error(main)
