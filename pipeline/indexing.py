"""Index a raw tree: open what recognition found and add what it holds; then say what people should know of it.

Only packets of videos are read, and one frame of each is decoded to see that it can be; images are decoded.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import av
import cv2
import pandas as pd

from pipeline import images, tables, truth, video
from pipeline.datasets import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from pipeline.engines import Run, twice
from pipeline.files import sha256_of_file, sha256_of_text
from pipeline.progress import track
from pipeline.recognition import Row, Tree

TIMEOUT_S = 600.0  # for hash and scan of one file: more means a hanging decoder or disk
UNASKED = ("sidecar", "not_selected", "not_in_subset")  # rejections that cost nothing that was asked for
UNOPENED = ("missing", *UNASKED)


@dataclass(frozen=True)
class Job:
    """What to open at once: a video, the images of one video, or a file of which only the hash is wanted."""

    media: str  # video, images or file
    paths: tuple[str, ...]


def index(tree: Tree, min_frames: int, run: Run, cache: Path, what: str) -> list[Row]:
    """Return the rows of a recognised tree with what their files hold, as rows of `tables.VIDEOS`.

    `run` is an engine of pipeline.engines; `cache` the folder where the facts of files are kept, by path, size and
    times, so that only new and changed files are opened; `what` names the work in its progress. Videos with fewer than
    `min_frames` frames are rejected; single images are not.
    """
    root = str(tree.root.resolve())  # however it was spelled: facts are known by it
    job_of = {row["video"]: _job(row, tree, root) for row in tree.rows if row["reason"] not in UNOPENED}
    masks = {row["mask"] for row in tree.rows if row["mask"] and row["status"] == "ok"}
    mask_of = {mask: Job(_media(mask), (f"{root}/{mask}",)) for mask in masks}
    facts_of = _facts([*job_of.values(), *mask_of.values()], run, cache, what)
    rows = [{name: row[name] for name in tables.VIDEOS.names} for row in tree.rows]
    for row in rows:
        if row["video"] in job_of:
            row |= facts_of[job_of[row["video"]]]
        if row["mask"] in mask_of:
            row["mask_frames"] = facts_of[mask_of[row["mask"]]].get("frames")
        if row["status"] == "ok" and row["media"] == "video" and row["frames"] < min_frames:
            row |= {"status": "rejected", "reason": "too_short", "detail": f"{row['frames']} of {min_frames} frames"}
    return rows


def _job(row: Row, tree: Tree, root: str) -> Job:
    if row["status"] != "ok":
        return Job("file", (f"{root}/{tree.files[row['published']].relative_to(tree.root)}",))
    return Job(row["media"], tuple(f"{root}/{path}" for path in row["images"] or [row["path"]]))


def _media(path: str) -> str:
    return "images" if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES else "video"


def _facts(jobs: list[Job], run: Run, cache: Path, what: str) -> dict[Job, Row]:
    """Return what each job's files hold: as known from an earlier run, or by opening them."""
    from diskcache import Cache

    facts: dict[Job, Row] = {}
    with Cache(str(cache), eviction_policy="none", size_limit=2**40) as known:
        code = [sha256_of_file(Path(module)) for module in (__file__, video.__file__, images.__file__)]
        version = sha256_of_text(av.__version__, cv2.__version__, *code)
        stamps = {job: _stamp(job, version) for job in jobs}
        facts |= {job: known[stamp] for job, stamp in stamps.items() if stamp in known}
        left = [job for job in stamps if job not in facts]
        for job, result in track(twice(run)(scan, left), len(left), what):
            if isinstance(result, Exception):
                why = f"no answer in {TIMEOUT_S:.0f} s" if isinstance(result, TimeoutError) else type(result).__name__
                result = {"status": "rejected", "reason": "scan_failed", "detail": f"the scan died twice: {why}"}
            result = _compact(result)
            if stamps[job] and result.get("reason") != "scan_failed":
                known[stamps[job]] = result
            facts[job] = result
    return facts


def _compact(facts: Row) -> Row:
    """Hold lists of numbers as arrays: those of 120,000 videos would fill gigabytes."""
    return {name: array("q", value) if name in ("pts", "key_frames") else value for name, value in facts.items()}


def _stamp(job: Job, version: str) -> str | None:
    """Return a text that changes with every file of the job and with `version`; None if a file is not there.

    As DVC does, a file counts as unchanged while its size and times are.
    """
    try:
        states = [Path(path).stat() for path in job.paths]
    except OSError:
        return None
    seen = [(state.st_size, state.st_mtime_ns, state.st_ctime_ns) for state in states]
    return sha256_of_text(version, job.media, *map(ascii, job.paths), *seen)  # names are not always UTF-8


def scan(job: Job) -> Row:
    """Return hash, size and facts of a job's files, or their rejection with reason (runs in a worker)."""
    paths = [Path(path) for path in job.paths]
    facts: Row = {}
    try:
        if job.media == "images":
            return images.scan(paths)
        facts = {"bytes": paths[0].stat().st_size, "sha256": sha256_of_file(paths[0])}
        return facts | (video.scan(paths[0]) if job.media == "video" else {})
    except video.VideoError as error:
        return facts | {"status": "rejected", "reason": error.reason, "detail": error.detail}
    except OSError as error:  # a link that leads nowhere, a file without the right to read it
        rejection = {"status": "rejected", "reason": "unreadable", "detail": error.strerror or str(error)}
        return rejection if job.media != "file" else {}


def findings(key: str, rows: list[Row], tree: Tree) -> list[Row]:
    """Return what people should know of the index as rows of `tables.FINDINGS`."""
    found = [
        *_rearrangements(tree),
        *_rejections(rows),
        *truth.findings(pd.DataFrame(rows, columns=tables.VIDEOS.names)),
    ]
    return [{"dataset": key, "stage": "index", **finding} for finding in found]


def _rearrangements(tree: Tree) -> Iterator[Row]:
    for (found, published), files in tree.rearranged.items():
        detail = f"{files} files below `{found}/` are read as if they lay below `{published}/`"
        yield {"severity": "note", "code": "rearranged", "subject": found or ".", "detail": detail}


def _rejections(rows: list[Row]) -> Iterator[Row]:
    """Every rejection, and fakes without their original; a video or image that is used for nothing is a warning."""
    for row in rows:
        if row["status"] == "rejected":
            harmless = row["reason"] == "stray" and not _looks_like_media(row["path"])
            severity = "note" if harmless or row["reason"] in UNASKED else "warning"
            yield {"severity": severity, "code": row["reason"], "subject": row["path"], "detail": row["detail"]}
        elif (row["original"] or "").startswith("?/"):
            detail = f"made from {row['original'][2:]}, which is not there"
            yield {"severity": "note", "code": "original_missing", "subject": row["path"], "detail": detail}


def _looks_like_media(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
