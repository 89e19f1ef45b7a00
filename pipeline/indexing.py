"""Index a raw tree: one row for every file that lies there or should lie there, nothing skipped.

Only packets are read, and one frame of each video is decoded to see that it can be.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline import tables, video
from pipeline.datasets import Lists, Record, load_layout
from pipeline.engines import Run
from pipeline.errors import UserError
from pipeline.files import list_files, sha256_of_file
from pipeline.params import Dataset
from pipeline.progress import track

Row = dict[str, Any]


def index(key: str, dataset: Dataset, min_frames: int, run: Run) -> list[Row]:
    """Return one row of `tables.VIDEOS` per file of the tree and per listed file that is not there.

    `run` is an engine of pipeline.engines. Files with fewer than `min_frames` frames are rejected.
    Raises UserError when the root is missing or holds no video of the layout.
    """
    if not dataset.root.is_dir():
        raise UserError(
            f"datasets.{key}.root: there is no folder {dataset.root}; link your copy there or change the path"
        )
    rows = _recognise(key, dataset)
    if not any(row["label"] is not None for row in rows):
        raise UserError(f"datasets.{key}: no file below {dataset.root} fits the layout {dataset.layout}")
    wanted = {row["path"]: row for row in rows if row["status"] == "ok"}
    jobs = [str(dataset.root / path) for path in wanted]
    for job, facts in track(run(scan_file, jobs), len(jobs), f"index {key}"):
        row = wanted[Path(job).relative_to(dataset.root).as_posix()]
        if isinstance(facts, Exception):
            facts = {"status": "rejected", "reason": "scan_failed", "detail": f"the scan died: {type(facts).__name__}"}
        row |= facts
        if row["status"] == "ok" and row["frames"] < min_frames:
            row |= {"status": "rejected", "reason": "too_short", "detail": f"{row['frames']} of {min_frames} frames"}
    return rows


def scan_file(path: str) -> Row:
    """Return hash, size and packet facts of one file, or its rejection with reason (runs in a worker)."""
    file = Path(path)
    facts: Row = {}
    try:
        facts |= _fingerprint(file)
        return facts | video.scan(file)
    except video.VideoError as error:
        return facts | {"status": "rejected", "reason": error.reason, "detail": error.detail}
    except OSError as error:  # a link that leads nowhere, a file without the right to read it
        return facts | {"status": "rejected", "reason": "unreadable", "detail": error.strerror}


def _fingerprint(file: Path) -> Row:
    return {"bytes": file.stat().st_size, "sha256": sha256_of_file(file)}


def _recognise(key: str, dataset: Dataset) -> list[Row]:
    """Give every file and every listed video its row, before any file is opened."""
    layout = load_layout(dataset.layout)
    lists: Lists = layout.read_lists(dataset.root)
    present = set(list_files(dataset.root)) - lists.files
    rows = []
    for path in sorted(present | lists.named):
        record = layout.recognise(path, lists)
        row = _row(key, path, record)
        if record is not None and not _selected(record, dataset):
            row |= {"status": "rejected", "reason": "not_selected", "detail": f"datasets.{key} does not ask for it"}
        elif path not in present:
            row |= {"status": "rejected", "reason": "missing", "detail": "a published list names it, no file is there"}
        elif record is None:
            row |= {"status": "rejected", "reason": "stray", "detail": f"not a video of the layout {dataset.layout}"}
            with suppress(OSError):
                row |= _fingerprint(dataset.root / path)
        elif record.list_label not in (None, record.label):
            row |= {"status": "rejected", "reason": "label_conflict", "detail": "folder and published list disagree"}
        rows.append(row)
    _refuse_unknown_choices(key, dataset, rows)
    _refuse_doubles(key, rows)
    _link_originals(rows)
    return rows


def _row(key: str, path: str, record: Record | None) -> Row:
    row: Row = dict.fromkeys(tables.VIDEOS.names)
    path = path.encode(errors="backslashreplace").decode()  # only strays have names that are not UTF-8
    row |= {"dataset": key, "path": path, "status": "ok", "reason": "", "detail": ""}
    record = record or Record(name=path, method="", compression="", label=-1)
    row |= {column: value for column, value in vars(record).items() if column in row}
    row["video"] = f"{key}/{record.method}/{record.compression}/{record.name}" if record.method else f"{key}/?/{path}"
    row["label"] = record.label if record.method else None
    return row


def _selected(record: Record, dataset: Dataset) -> bool:
    """Reals always stay: a dataset without them teaches nothing."""
    method = dataset.methods is None or record.label == tables.REAL or record.method in dataset.methods
    return method and (dataset.compression is None or record.compression in dataset.compression)


def _refuse_unknown_choices(key: str, dataset: Dataset, rows: list[Row]) -> None:
    for column, wanted in (("method", dataset.methods), ("compression", dataset.compression)):
        found = {row[column] for row in rows if row["label"] is not None and row["reason"] != "missing"}
        if unknown := sorted(set(wanted or []) - found):
            raise UserError(
                f"datasets.{key}: there is no {column} {', '.join(unknown)}; found: {', '.join(sorted(found))}"
            )


def _refuse_doubles(key: str, rows: list[Row]) -> None:
    """Two spellings of one folder (raw and c0 of FF++) would give two files the same key."""
    path_of: dict[str, str] = {}
    for row in rows:
        other = path_of.setdefault(row["video"], row["path"])
        if other != row["path"]:
            raise UserError(f"datasets.{key}: {other} and {row['path']} are the same video; keep one of the two")


def _link_originals(rows: list[Row]) -> None:
    """Turn the paths of originals into video keys; a path without a file stays recognisable as `?/path`."""
    video_of = {row["path"]: row["video"] for row in rows if row["reason"] not in ("missing", "stray")}
    for row in rows:
        if row["original"] is not None:
            row["original"] = video_of.get(row["original"], f"?/{row['original']}")


def findings(key: str, rows: Iterable[Row]) -> list[Row]:
    """Return what people should know of the index as rows of `tables.FINDINGS`: every rejection, missing originals."""
    found = []
    for row in rows:
        if row["status"] == "rejected":
            severity = "note" if row["reason"] in ("stray", "not_selected") else "warning"
            found.append((severity, row["reason"], row["path"], row["detail"]))
        elif (row["original"] or "").startswith("?/"):
            found.append(
                ("note", "original_missing", row["path"], f"made from {row['original'][2:]}, which is not there")
            )
    return [
        {"dataset": key, "stage": "index", "severity": severity, "code": code, "subject": subject, "detail": detail}
        for severity, code, subject, detail in found
    ]
