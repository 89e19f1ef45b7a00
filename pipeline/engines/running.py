"""What both engines share: the loop over jobs, limits, and what happens to jobs whose process is lost."""

import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

Run = Callable[..., Iterator[tuple[Any, Any]]]
Watch = Callable[[int, float], None]

TICK_S = 1.0  # at most so long between two calls of `watch`, and so long past its limit may a job live
BEGUN = b""  # a worker's first message about a job; the second is the answer
# Decoders and detectors leak a little. A new worker pays 1 to 10 s of imports: once in so many jobs, that is nothing.
JOBS_PER_WORKER = 500
# One process per core: libraries must not start threads of their own. Most read this when they are imported.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(2**27),  # a damaged header may claim any size
}


class WorkerDied(Exception):
    """The process of a job ended before it answered: crashed in native code, machine lost."""


class WorkerKilled(WorkerDied):
    """The process of a job was killed from outside, most often because memory ran out."""


def run(
    start: Callable[[bytes], Any],
    finish: Callable[[list[Any]], Iterable[tuple[Any, Any]]],
    end: Callable[[Any], None],
    at_once: int,
    fn: Callable[[Any], Any],
    jobs: Iterable[Any],
    watch: Watch | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Keep `at_once` jobs going: `start` them, wait a moment for some to `finish`, `end` what nobody wants any more."""
    waiting = iter(jobs)
    job_of: dict[Any, Any] = {}
    finished: list[tuple[Any, Any]] = []
    try:
        while True:
            # Before the results go out: the caller may be busy with them for a while, and the workers need not wait.
            for job in islice(waiting, at_once - len(job_of)):
                job_of[start(pickle.dumps((fn, job)))] = job
            if watch is not None:
                ages = [time.monotonic() - handle.since for handle in job_of if handle.since is not None]
                watch(len(ages), max(ages, default=0.0))
            yield from finished
            if not job_of:
                return
            finished = [(job_of.pop(handle), result) for handle, result in finish(list(job_of))]
    finally:
        for handle in job_of:
            end(handle)


def is_late(since: float | None, timeout_s: float | None) -> bool:
    """Return whether a job that began at `since` (monotonic seconds; None: not yet) is past its limit."""
    return since is not None and timeout_s is not None and time.monotonic() - since > timeout_s
