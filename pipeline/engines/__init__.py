"""Run one function over many jobs: in processes of this machine, or on many machines through Ray.

An engine yields `run(fn, jobs, watch=None)`. It yields `(job, result or exception)` as jobs finish, in any order. A job
that raises, kills its process or takes too long loses itself alone. `jobs` is read as workers become free, so it may be
an iterator of any length. `fn` must be importable, from elsewhere than the program itself; jobs and results must be
picklable. About once a second and after each result `watch(running, oldest_s)` hears how many jobs run and for how many
seconds the oldest has.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from pipeline import machine
from pipeline.engines.local import local_engine
from pipeline.engines.on_ray import ray_engine
from pipeline.engines.running import Run, Watch, WorkerDied, WorkerKilled

__all__ = ["Run", "Watch", "WorkerDied", "WorkerKilled", "engine", "local_engine", "ray_engine", "twice"]


def engine(timeout_s: float | None = None) -> AbstractContextManager[Run]:
    """Return the engine that VERIFRAME_ENGINE names, with VERIFRAME_WORKERS workers; see pipeline.machine."""
    if machine.engine() == "ray":
        return ray_engine(machine.workers() if "VERIFRAME_WORKERS" in os.environ else None, timeout_s)
    return local_engine(machine.workers(), timeout_s)


def twice(run: Run) -> Run:
    """Return an engine that tries a job once more whose worker died, ran out of time or raised."""

    def run_twice(
        fn: Callable[[Any], Any], jobs: Iterable[Any], watch: Watch | None = None
    ) -> Iterator[tuple[Any, Any]]:
        failed = []
        for job, result in run(fn, jobs, watch):
            if isinstance(result, Exception):
                failed.append(job)
            else:
                yield job, result
        if failed:
            yield from run(fn, failed, watch)

    return run_twice
