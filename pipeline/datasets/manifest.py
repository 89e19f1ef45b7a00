"""Any other dataset: a table `manifest.csv` or `manifest.parquet` at the root, one row per video or image.

Columns: `path` (below the root, forward slashes) and `label` (0 or real, 1 or fake) are required. Optional are `name`,
`method`, `compression`, `split` (train, val or test), `recording`, `donor_recording`, `source_video`,
`donor_source_video`, `person`, `donor_person` (each as <corpus>/<name>, so that ties across datasets show), `original`
and `mask` (paths); docs/tables.md says what each means. An empty cell says nothing. Images with the same method,
compression and name are the frames of one video.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from posixpath import splitext
from typing import Any

from pipeline.datasets import Layout, Lists, Record, csv_rows, listed
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL, SPLITS

MANIFESTS = ("manifest.csv", "manifest.parquet")
LABELS = {"0": REAL, "real": REAL, "1": FAKE, "fake": FAKE}
TIES = ("recording", "donor_recording", "source_video", "donor_source_video", "person", "donor_person")
COLUMNS = ("path", "label", "name", "method", "compression", "split", *TIES, "original", "mask")


def read_lists(files: Mapping[str, Path]) -> Lists:
    """Read the manifest into path -> Record."""
    found = [manifest for manifest in MANIFESTS if manifest in files]
    if not found:
        return Lists(content={"records": {}}, missing=("manifest.csv or manifest.parquet; write one at the root",))
    if len(found) > 1:
        raise UserError(f"{files[found[0]]} and {files[found[1]]} both describe the dataset; keep one of the two")
    records: dict[str, Record] = {}
    videos: dict[tuple[str, str, str], Record] = {}
    rows = list(_rows(files[found[0]]))
    stems = Counter(splitext(cells.get("path", ""))[0] for _, cells in rows)
    for place, cells in rows:
        path, record = _record(place, cells, stems)
        if path in records:
            raise UserError(f"{place}: {path} stands above already")
        records[path] = record
        first = videos.setdefault((record.method, record.compression, record.name), record)
        if replace(record, mask=None) != replace(first, mask=None):
            raise UserError(f"{place}: {path} has the method, compression and name of a video above, but other facts")
    return Lists(frozenset(found), frozenset(records), {"records": records})


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (where it stands, column -> text of the cells that are not empty) of each row."""
    lines = _parquet_rows(file) if file.suffix == ".parquet" else csv_rows(file)
    _, header = next(lines, (1, []))
    if unknown := [column or "(unnamed)" for column in header if column not in COLUMNS]:
        raise UserError(f"{file}: unknown column {', '.join(unknown)}; known: {', '.join(COLUMNS)}")
    if len(set(header)) < len(header) or not {"path", "label"} <= set(header):
        raise UserError(f"{file}: expected the columns path and label, and each column once; found {','.join(header)}")
    for number, cells in lines:
        if len(cells) != len(header):
            raise UserError(f"{file}, line {number}: {len(cells)} cells under {len(header)} columns")
        yield f"{file}, line {number}", {column: cell for column, cell in zip(header, cells, strict=True) if cell}


def _parquet_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield what the same table as CSV would: numbers of lines and cells as text, the header first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise UserError(f"{file}: expected a Parquet file: {error}") from None
    yield 1, table.column_names
    columns = [column.to_pylist() for column in table.columns]
    for number, cells in enumerate(zip(*columns, strict=True), start=2):
        yield number, ["" if cell is None else str(cell).strip() for cell in cells]


def _record(place: str, cells: Mapping[str, str], stems: Mapping[str, int]) -> tuple[str, Record]:
    """Return path and record of a row; `stems` counts the paths without extension: two of one stem keep theirs."""
    path = _below_root(place, cells.get("path", ""))
    label = LABELS.get(cells.get("label", "").lower())
    if label is None:
        raise UserError(f"{place}: label {cells.get('label', '')!r} is none of {', '.join(LABELS)}")
    if cells.get("split", SPLITS[0]) not in SPLITS:
        raise UserError(f"{place}: split {cells['split']!r} is none of {', '.join(SPLITS)}")
    for column in TIES:
        if column in cells and not re.fullmatch(r"[^/]+/.+", cells[column]):
            raise UserError(f"{place}: {column} {cells[column]!r} is not of the form <corpus>/<name>")
    ties: dict[str, Any] = {column: cells.get(column) for column in TIES}
    return path, Record(
        name=cells.get("name", path if stems[splitext(cells["path"])[0]] > 1 else splitext(path)[0]),
        method=cells.get("method", "real" if label == REAL else "fake"),
        label=label,
        compression=cells.get("compression", "native"),
        official_split=cells.get("split"),
        original=_below_root(place, cells["original"]) if "original" in cells else None,
        mask=_below_root(place, cells["mask"]) if "mask" in cells else None,
        **ties,
    )


def _below_root(place: str, text: str) -> str:
    path = PurePosixPath(text)
    if not path.name or path.is_absolute() or PureWindowsPath(text).drive or ".." in path.parts or "\\" in text:
        raise UserError(f"{place}: path {text!r} is not below the root, written with forward slashes")
    return listed(str(path))


def recognise(path: str, lists: Lists) -> Record | None:
    """Look the path up in the manifest."""
    return lists.content["records"].get(path)


LAYOUTS = {"manifest": Layout("dataset with a manifest", read_lists, recognise)}
