"""Processes of this machine.

Processes and pipes instead of a pool from a library: concurrent.futures and joblib lose every job when one worker dies,
multiprocessing.Pool waits for ever, and pebble gives up when a worker dies at once while this process is busy, or when
one exception cannot be unpickled.
"""

import functools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from pipeline.engines.running import (
    BEGUN,
    ENVIRONMENT,
    JOBS_PER_WORKER,
    TICK_S,
    Run,
    WorkerDied,
    WorkerKilled,
    is_late,
    run,
)
from pipeline.engines.worker import serve

PATIENCE_S = 5.0  # for a killed process to be gone


@contextmanager
def local_engine(workers: int, timeout_s: float | None = None) -> Iterator[Run]:
    """Yield `run` (see pipeline.engines) over `workers` processes of this machine.

    A job that has no answer `timeout_s` seconds after it began is killed and yields TimeoutError, one whose process
    died WorkerDied. Workers live on between calls of `run`, so that each pays for its imports once.
    """
    everyone: set[_Worker] = set()
    idle: list[_Worker] = []

    def start(work: bytes) -> _Worker:
        while idle:
            worker = idle.pop()
            if worker.process.is_alive():
                break
            end(worker)
        else:
            worker = _new_worker()
            everyone.add(worker)
        worker.since = None
        with suppress(OSError):  # it has just died, which `finish` will see
            worker.pipe.send_bytes(work)
        return worker

    def finish(running: list[_Worker]) -> Iterator[tuple[_Worker, Any]]:
        worker_of = {worker.pipe: worker for worker in running}
        for pipe in multiprocessing.connection.wait(list(worker_of), TICK_S):
            worker = worker_of.pop(pipe)  # type: ignore[call-overload]
            try:
                message = worker.pipe.recv_bytes()
            except (EOFError, OSError):
                worker.process.join(PATIENCE_S)
                end(worker)
                code = worker.process.exitcode
                how = WorkerKilled if code == -signal.SIGKILL else WorkerDied
                yield worker, how(f"the worker process ended with exit code {code}")
                continue
            if message == BEGUN:
                worker.since = time.monotonic()
            else:
                rest(worker)
                yield worker, pickle.loads(message)
        for worker in worker_of.values():
            if is_late(worker.since, timeout_s):
                end(worker)
                yield worker, TimeoutError(f"no answer in {timeout_s:g} s")

    def rest(worker: _Worker) -> None:
        worker.jobs += 1
        if worker.jobs < JOBS_PER_WORKER:
            idle.append(worker)
        else:
            end(worker)

    def end(worker: _Worker) -> None:
        everyone.discard(worker)
        worker.process.kill()
        worker.process.join(PATIENCE_S)
        worker.pipe.close()

    try:
        yield functools.partial(run, start, finish, end, workers)
    finally:
        for worker in everyone:
            worker.process.kill()  # all at once, then wait for each
        for worker in list(everyone):
            end(worker)


@dataclass(eq=False)
class _Worker:
    """A process of this machine, the pipe to it, when its job began (monotonic seconds), how many it has done."""

    process: SpawnProcess
    pipe: Connection
    since: float | None = None
    jobs: int = 0


def _new_worker() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=[theirs], daemon=True)
    with _environment(ENVIRONMENT), _hidden_main():  # the worker imports numpy before it runs a line of ours
        process.start()
    theirs.close()  # so that a dead worker's pipe is at its end
    return _Worker(process, ours)


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep a worker from importing the program that was started, a stage with pandas for one, as spawning does."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
