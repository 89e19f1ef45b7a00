"""Loose pictures with a manifest: the table that the layout `manifest` reads, so that an export can be re-imported."""

from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.datasets.manifest import COLUMNS, TIES
from pipeline.engines import Run
from pipeline.exporting.pictures import write_pictures
from pipeline.exporting.source import Source

Table = Literal["csv", "parquet"]
SCHEMA = pa.schema([(column, pa.int8() if column == "label" else pa.string()) for column in COLUMNS])


def export(source: Source, out: Path, run: Run, table: Table) -> None:
    """Write `out`/pictures/<video>/<frame>.jpg, and beside it the manifest with one row per picture."""
    paths = [f"pictures/{place}" for place in places(source)]
    write_pictures(source, out, [paths], run)
    write_manifest(source, paths, out, table)


def places(source: Source) -> list[str]:
    """Return <video>/<frame>.jpg of each sample: the flat name of the video, the index of the frame in it."""
    samples = source.samples
    return [f"{folder}/{frame:06d}.jpg" for folder, frame in zip(samples.folder, samples.frame, strict=True)]


def write_manifest(source: Source, paths: list[str], folder: Path, table: Table) -> None:
    """Write manifest.csv or manifest.parquet into `folder`; `paths` are those of the samples below it.

    The columns are those of the layout `manifest`. `split` is the split of the sample. Ties and `original` (the first
    picture of the original, where it has one here) come from the index and are empty without it; there are no masks.
    """
    rows = source.samples.assign(path=paths, mask=None)
    if source.videos is None:
        rows[[*TIES, "original"]] = None
    else:
        rows = rows.join(source.videos, on="video")
        rows["original"] = rows.original.map(rows.groupby("video").path.first())
    rows = rows[list(COLUMNS)].astype(object).where(rows[list(COLUMNS)].notna(), None)
    if table == "csv":
        rows.to_csv(folder / "manifest.csv", index=False, lineterminator="\n", encoding="utf-8")
    else:
        pq.write_table(
            pa.Table.from_pandas(pd.DataFrame(rows), SCHEMA, preserve_index=False), folder / "manifest.parquet"
        )
