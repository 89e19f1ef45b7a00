"""extract: decode the chosen frames, find faces, keep loose crops, fill every quota. `python -m stages.extract KEY`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from pipeline import extraction, machine, params, selection, tables
from pipeline.engines import local_engine
from pipeline.errors import UserError, exit_on_user_error
from pipeline.files import sha256_of_text
from pipeline.tars import write_tar


class Params(params.Section):
    """The section `extract` of params.yaml."""

    faces: Literal["mtcnn", "none"]
    detection_side: int = Field(ge=120, le=4096)
    min_face: int = Field(ge=20, le=2000)
    min_probability: float = Field(ge=0, le=1)
    margin: float = Field(ge=0, le=2)
    tars: int = Field(ge=1, le=4096)
    timeout: float = Field(gt=0)


def main() -> None:
    """Write data/extract/KEY: frames.parquet, quotas.parquet and the loose crops."""
    key = params.dataset_key(sys.argv)
    out = Path("data/extract") / key
    knobs = params.load_section(Params, "extract", key)
    root = params.load_dataset(key).root
    if not root.is_dir():
        raise UserError(f"datasets.{key}.root: there is no folder {root}; extract needs the raw videos that index saw")
    index_columns = ["video", "media", "path", "images", "image_sha256", "bytes", "sha256", "pts", "key_frames"]
    index = tables.read(Path("data/index") / key / "videos.parquet", tables.VIDEOS, index_columns).set_index("video")
    group = tables.read(Path("data/split") / key / "videos.parquet", tables.ASSIGNMENTS).set_index("video").group
    ranked = tables.read(Path("data/reduce") / key / "frames.parquet", tables.RANKED)
    cells = tables.read(Path("data/reduce") / key / "quotas.parquet", tables.QUOTAS)

    recipe = extraction.Recipe(
        **knobs.model_dump(include={"faces", "detection_side", "min_face", "min_probability", "margin"})
    )
    with local_engine(machine.workers(), knobs.timeout) as run:
        cache = machine.cache_folder() / "extract"
        tried, stores = extraction.extract(ranked, cells, index, root, recipe, cache, run)
    tried["status"], filled = selection.settle(tried, cells)
    tried["group"] = tried.video.map(group)
    tried["recipe"] = ""
    tried.loc[tried.status != "unused", "recipe"] = recipe.versions()  # once: it takes milliseconds
    frames = _write_crops(out, tried, stores, knobs.tars)
    if len(frames) != len(ranked):
        raise AssertionError(f"extract: {len(ranked)} frames in, {len(frames)} out")
    tables.write(out / "quotas.parquet", filled, tables.FILLED, order=["split", "label"])
    tables.write(out / "frames.parquet", frames[tables.FRAMES.names], tables.FRAMES, order=["key"])


def _write_crops(out: Path, frames: pd.DataFrame, stores: dict[str, str], tars: int) -> pd.DataFrame:
    """Pack the kept crops into tars by hash of the video; return `frames` with tar and offset filled in."""
    frames = frames.assign(tar=None, offset=pd.array([None] * len(frames), dtype="Int64"))
    gone = frames.status != "kept"
    frames.loc[gone, [field.name for field in tables.CROP]] = None
    kept = frames[~gone].sort_values(["video", "frame"])
    bucket = kept.video.map(lambda video: int(sha256_of_text(video)[:8], 16) % tars)

    def members(part: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
        for video, rows in part.groupby("video"):
            crops = extraction.read_crops(stores[str(video)], rows.frame.tolist())
            yield from ((f"{key}.png", crops[frame]) for key, frame in zip(rows.key, rows.frame, strict=True))

    for number in range(tars):
        part = kept[bucket == number]
        name = f"crops-{number:05d}.tar"
        frames.loc[part.index, "tar"] = name
        frames.loc[part.index, "offset"] = write_tar(out / name, members(part))
    return frames


if __name__ == "__main__":
    exit_on_user_error(main)
