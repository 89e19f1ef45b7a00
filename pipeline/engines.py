"""Run one function over many jobs. An engine yields `(job, result or exception)` as jobs finish, in any order."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from typing import Any

Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[tuple[Any, Any]]]


@contextmanager
def local_engine(workers: int, timeout_s: float | None = None) -> Iterator[Run]:
    """Yield `run(fn, jobs)` over a pool of spawned processes on this machine.

    A job that raises, dies or exceeds `timeout_s` yields its exception as result; the other jobs go on. The pool
    stays up between calls of `run`, so that a worker pays for its imports once. `fn` must be importable.
    """
    from pebble import ProcessPool

    others = set(multiprocessing.active_children())
    pool = ProcessPool(max_workers=workers, context=multiprocessing.get_context("spawn"), initializer=_single_threaded)

    def run(fn: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        futures: dict[Any, Any] = {pool.schedule(fn, args=[job], timeout=timeout_s): job for job in jobs}
        for future in as_completed(list(futures)):
            error = future.exception()
            yield futures.pop(future), future.result() if error is None else error  # so that results do not pile up

    try:
        yield run
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        # All at once, and before the pool takes its locks away: a worker still starting would print a traceback.
        for worker in set(multiprocessing.active_children()) - others:
            worker.terminate()
        pool.join()


def twice(run: Run) -> Run:
    """Return an engine that tries a job once more whose worker died, ran out of time or raised."""

    def run_twice(fn: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        failed = []
        for job, result in run(fn, jobs):
            if isinstance(result, Exception):
                failed.append(job)
            else:
                yield job, result
        if failed:
            yield from run(fn, failed)

    return run_twice


def _single_threaded() -> None:
    """One process per core: libraries inside a worker must not start threads of their own."""
    import os

    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(2**27)  # a damaged header may claim any size
    import cv2

    cv2.setNumThreads(0)
    cv2.ipp.setUseIPP(False)  # its kernels differ from processor to processor, and pixels must not
