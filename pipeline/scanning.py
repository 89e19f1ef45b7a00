"""Open files and say what they hold: in worker processes, and only those that are new or changed.

Only packets of videos are read, and one frame of each is decoded to see that it can be; images are decoded.
"""

import sqlite3
from array import array
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

import av
import cv2

from pipeline import images, video
from pipeline.engines import Run, twice
from pipeline.errors import UserError
from pipeline.files import sha256_of_file, sha256_of_text
from pipeline.progress import track

Facts = dict[str, Any]

TIMEOUT_S = 600.0  # for hash and scan of one file: more means a hanging decoder or disk


@dataclass(frozen=True)
class Job:
    """What to open at once: a video, or the images of one."""

    media: str  # video or images
    paths: tuple[str, ...]


def facts_of(jobs: list[Job], run: Run, cache: Path, what: str) -> dict[Job, Facts]:
    """Return what each job's files hold (columns of tables.VIDEOS): as known from an earlier run, or by opening them.

    `run` is an engine of pipeline.engines, `cache` the folder where the facts of files are kept, `what` names the work
    in its progress. A job whose worker dies twice is rejected as `scan_failed`.
    """
    from diskcache import Cache

    facts: dict[Job, Facts] = {}
    try:
        store = Cache(str(cache), eviction_policy="none", size_limit=2**40)
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"the work cache {cache} cannot be used ({error}); VERIFRAME_CACHE may name another") from None
    with store as known:
        code = [sha256_of_file(Path(module)) for module in (__file__, video.__file__, images.__file__)]
        version = sha256_of_text(av.__version__, cv2.__version__, *code)
        stamps = {job: _stamp(job, version) for job in jobs}
        facts |= {job: found for job, stamp in stamps.items() if stamp and (found := known.get(stamp)) is not None}
        left = [job for job in stamps if job not in facts]
        for job, result in track(twice(run), scan, left, what):
            if isinstance(result, Exception):
                why = f"no answer in {TIMEOUT_S:.0f} s" if isinstance(result, TimeoutError) else type(result).__name__
                result = {"status": "rejected", "reason": "scan_failed", "detail": f"the scan died twice: {why}"}
            result = _compact(result)
            if stamps[job] and result.get("reason") != "scan_failed":
                known[stamps[job]] = result
            facts[job] = result
    return facts


def _compact(facts: Facts) -> Facts:
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


def scan(job: Job) -> Facts:
    """Return hash, size and facts of a job's files, or their rejection with reason (runs in a worker)."""
    paths = [Path(path) for path in job.paths]
    facts: Facts = {}
    try:
        if job.media == "images":
            return images.scan(paths)
        state = paths[0].stat()
        if not S_ISREG(state.st_mode):  # a pipe, for one: reading it would not end
            raise video.VideoError("unreadable", "not a regular file")
        facts = {"bytes": state.st_size, "sha256": sha256_of_file(paths[0])}
        return facts | video.scan(paths[0])
    except video.VideoError as error:
        return facts | {"status": "rejected", "reason": error.reason, "detail": error.detail}
    except OSError as error:  # a link that leads nowhere, a file without the right to read it
        return {"status": "rejected", "reason": "unreadable", "detail": error.strerror or str(error)}
