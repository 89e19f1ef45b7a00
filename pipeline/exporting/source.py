"""What an export is made from: the shards of a dataset, and the index where it is there."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline import params, tables
from pipeline.datasets.manifest import TIES
from pipeline.errors import UsageError, UserError
from pipeline.selection import flat_name
from pipeline.sharding import manifests


@dataclass(frozen=True)
class Source:
    """A dataset as its stages left it.

    `samples` are the rows of samples.parquet by key, with the columns compression, name and `folder`: the flat name of
    the video, which no other video has, whatever the case. `videos` has the columns original and those of TIES, by
    video key; None without data/index/<key>. `layout` is that of params.yaml; None where it does not name the dataset.
    """

    key: str
    folder: Path
    layout: str | None
    samples: pd.DataFrame
    videos: pd.DataFrame | None


def open_source(key: str) -> Source:
    """Return the dataset `key` of the project in this folder.

    The shards are enough: params.yaml and data/index/<key> may be missing, as where only shards were pulled. Raises
    UsageError for an unknown key, UserError for shards that are missing or not whole.
    """
    layout = _layout(key)
    folder = Path("data/shard") / key
    if layout is None and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; pull it first, or name another dataset")
    manifest = manifests.read(folder / manifests.NAME)
    manifests.require_whole(folder, manifest["files"])
    samples = tables.read(folder / "samples.parquet", tables.SAMPLES).sort_values("key", ignore_index=True)
    if samples.empty:
        raise UserError(f"{folder} holds no samples: there is nothing to export")
    parts = samples.video.str.split("/", n=3, expand=True)
    samples = samples.assign(compression=parts[2], name=parts[3], folder=samples.video.map(flat_name))
    return Source(key, folder, layout, samples, _videos(key, samples))


def refuse_out(out: Path) -> None:
    """Raise UsageError unless `out` is absent or an empty folder, outside data/ and of every raw tree."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder; name another or remove it")
    roots = [dataset.root for dataset in params.load_datasets().values()] if params.PARAMS_FILE.exists() else []
    for taken in (Path("data"), *roots):
        if out.resolve().is_relative_to(taken.resolve()):
            raise UsageError(f"{out} lies in {taken}, which belongs to the pipeline; name a folder outside it")


def _layout(key: str) -> str | None:
    """Return the layout of a dataset by params.yaml; None without such a file."""
    if not params.PARAMS_FILE.exists():
        return None
    try:
        return params.load_dataset(key).layout
    except UserError as error:
        raise UsageError(str(error)) from None


def _videos(key: str, samples: pd.DataFrame) -> pd.DataFrame | None:
    path = Path("data/index") / key / "videos.parquet"
    if not path.exists():
        return None
    videos = tables.read(path, tables.VIDEOS, ["video", "original", *TIES]).set_index("video")
    if unknown := sorted(set(samples.video) - set(videos.index)):
        raise UserError(f"{path} does not know {unknown[0]}, of which there are samples; run `dvc repro shard@{key}`")
    return videos
