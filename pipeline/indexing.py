"""Index a raw tree: add to what recognition found what the files hold; then say what people should know of it."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline import tables, truth
from pipeline.datasets import media
from pipeline.engines import Run
from pipeline.recognition import Row, Tree, rearrangement_in_words
from pipeline.scanning import Job, facts_of
from pipeline.selection import flat_name

HARMLESS = ("sidecar", *tables.NOT_ASKED_FOR)  # rejections that cost nothing that was asked for


def index(tree: Tree, min_frames: int, run: Run, cache: Path, what: str) -> list[Row]:
    """Return the rows of a recognised tree with what their files hold, as rows of `tables.VIDEOS`.

    `run` is an engine of pipeline.engines; `cache` the folder where the facts of files are kept, by path, size and
    times, so that only new and changed files are opened; `what` names the work in its progress. Videos with fewer than
    `min_frames` frames are rejected; single images are not.
    """
    root = str(tree.root.resolve())  # however it was spelled: facts are known by it
    job_of = {row["video"]: _job(row, root) for row in tree.rows if row["status"] == "ok"}
    masks = {row["mask"] for row in tree.rows if row["mask"] and row["status"] == "ok"}
    mask_of = {mask: Job(media(mask) or "video", (f"{root}/{mask}",)) for mask in masks}
    facts = facts_of([*job_of.values(), *mask_of.values()], run, cache, what)
    rows = [dict(row) for row in tree.rows]
    for row in rows:
        if row["video"] in job_of:
            row |= facts[job_of[row["video"]]]
        if row["mask"] in mask_of:
            row["mask_frames"] = facts[mask_of[row["mask"]]].get("frames")
            row["mask_sha256"] = facts[mask_of[row["mask"]]].get("sha256")
        if row["status"] == "ok" and row["media"] == "video" and row["frames"] < min_frames:
            row |= {"status": "rejected", "reason": "too_short", "detail": f"{row['frames']} of {min_frames} frames"}
    return rows


def _job(row: Row, root: str) -> Job:
    return Job(row["media"], tuple(f"{root}/{path}" for path in row["images"] or [row["path"]]))


def findings(key: str, rows: list[Row], tree: Tree) -> list[Row]:
    """Return what people should know of the index as rows of `tables.FINDINGS`."""
    found = [
        *_rearrangements(tree),
        *_rejections(rows),
        *_frame_folders(rows),
        *_equal_keys(rows),
        *truth.findings(pd.DataFrame(rows, columns=tables.VIDEOS.names)),
    ]
    return [{"dataset": key, "stage": "index", **finding} for finding in found]


def _rearrangements(tree: Tree) -> Iterator[Row]:
    for (found, published), files in tree.rearranged.items():
        detail = rearrangement_in_words(found, published, files)
        yield {"severity": "note", "code": "rearranged", "subject": found or ".", "detail": detail}


def _frame_folders(rows: list[Row]) -> Iterator[Row]:
    """Images are taken for the frames of one video by their name: people must know where that was done."""
    sequences = [
        len(row["images"]) for row in rows if row["status"] == "ok" and row["images"] and len(row["images"]) > 1
    ]
    if sequences:
        detail = (
            f"{sum(sequences):,} images are read as the frames of {len(sequences):,} videos, by their folders or names"
        )
        yield {"severity": "note", "code": "frame_folders", "subject": ".", "detail": detail}


def _equal_keys(rows: list[Row]) -> Iterator[Row]:
    """Two videos whose frames would have the same flat key: `flatten` stops there."""
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(flat_name(row["video"]).lower(), row) if row["status"] == "ok" else row
        if other is not row:
            detail = f"its frames would be named as those of {other['path']}; `flatten` refuses that"
            yield {"severity": "error", "code": "equal_keys", "subject": row["path"], "detail": detail}


def _rejections(rows: list[Row]) -> Iterator[Row]:
    """Every rejection, and fakes without their original; a video or image that is used for nothing is a warning."""
    for row in rows:
        if row["status"] == "rejected":
            harmless = row["reason"] == "stray" and media(row["path"]) is None
            severity = "note" if harmless or row["reason"] in HARMLESS else "warning"
            yield {"severity": severity, "code": row["reason"], "subject": row["path"], "detail": row["detail"]}
        elif (row["original"] or "").startswith("?/"):
            detail = f"made from {row['original'][2:]}, which is not there"
            yield {"severity": "note", "code": "original_missing", "subject": row["path"], "detail": detail}
