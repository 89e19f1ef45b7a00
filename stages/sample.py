"""sample: the candidate frames of every usable video, from the packet scan. `python -m stages.sample KEY`."""

import sys
from pathlib import Path

import pandas as pd
from pydantic import Field, model_validator

from pipeline import params, selection, tables
from pipeline.errors import exit_on_user_error


class Params(params.Section):
    """The section `sample` of params.yaml."""

    every: int | None = Field(ge=1)
    count: int | None = Field(ge=1)

    @model_validator(mode="after")
    def _one_of_two(self) -> "Params":
        if (self.every is None) == (self.count is None):
            raise ValueError("set exactly one of `every` and `count`, the other null")
        return self


def main() -> None:
    """Write data/sample/KEY: frames.parquet and videos.parquet."""
    key = params.dataset_key(sys.argv)
    out = Path("data/sample") / key
    knobs = params.load_section(Params, "sample", key)
    assignments = tables.read(Path("data/split") / key / "videos.parquet", tables.ASSIGNMENTS)
    index = tables.read(
        Path("data/index") / key / "videos.parquet", tables.VIDEOS, ["video", "time_base", "frames", "pts"]
    )
    videos = assignments.merge(index, on="video", validate="one_to_one")
    # As categories, because millions of rows repeat these names.
    usable = videos[videos.status == "ok"].astype({"video": "category", "split": "category", "method": "category"})
    frames = selection.candidates(usable, knobs.every, knobs.count)

    taken = frames.video.value_counts()
    videos["candidates"] = videos.video.map(taken).fillna(0).astype("int32")
    if len(videos) != len(assignments) or videos.candidates.sum() != len(frames):
        raise AssertionError("sample: a video or a frame was lost")
    tables.write(
        out / "videos.parquet",
        pd.DataFrame(videos[tables.SAMPLED_VIDEOS.names]),
        tables.SAMPLED_VIDEOS,
        order=["video"],
    )
    tables.write(out / "frames.parquet", frames, tables.CANDIDATES, order=["video", "frame"])


if __name__ == "__main__":
    exit_on_user_error(main)
