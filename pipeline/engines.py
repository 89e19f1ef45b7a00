"""Run one function over many jobs: in processes of this machine, or on many machines through Ray.

An engine yields `run(fn, jobs, watch=None)`. It yields `(job, result or exception)` as jobs finish, in any order. A job
that raises, kills its process or takes too long loses itself alone. `jobs` is read as workers become free, so it may be
an iterator of any length. `fn` must be importable, from elsewhere than the program itself; jobs and results must be
picklable. About once a second and after each result `watch(running, oldest_s)` hears how many jobs run and for how many
seconds the oldest has.

Processes and pipes instead of a pool from a library: concurrent.futures and joblib lose every job when one worker dies,
multiprocessing.Pool waits for ever, and pebble gives up when a worker dies at once while this process is busy, or when
one exception cannot be unpickled.
"""

import functools
import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from pipeline import machine
from pipeline.errors import UserError

Run = Callable[..., Iterator[tuple[Any, Any]]]
Watch = Callable[[int, float], None]

TICK_S = 1.0  # at most so long between two calls of `watch`, and so long past its limit may a job live
BEGUN = b""  # a worker's first message about a job; the second is the answer
PATIENCE_S = 5.0  # for a killed process to be gone
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


def engine(timeout_s: float | None = None) -> AbstractContextManager[Run]:
    """Return the engine that VERIFRAME_ENGINE names, with VERIFRAME_WORKERS workers; see pipeline.machine."""
    if machine.engine() == "ray":
        return ray_engine(machine.workers() if "VERIFRAME_WORKERS" in os.environ else None, timeout_s)
    return local_engine(machine.workers(), timeout_s)


@contextmanager
def local_engine(workers: int, timeout_s: float | None = None) -> Iterator[Run]:
    """Yield `run` (see the module) over `workers` processes of this machine.

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
            if _is_late(worker.since, timeout_s):
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
        yield functools.partial(_run, start, finish, end, workers)
    finally:
        for worker in everyone:
            worker.process.kill()  # all at once, then wait for each
        for worker in list(everyone):
            end(worker)


@contextmanager
def ray_engine(workers: int | None = None, timeout_s: float | None = None) -> Iterator[Run]:
    """Yield `run` (see the module) over the Ray cluster that RAY_ADDRESS names, or over one of this machine's own.

    `workers` is how many jobs run at once; None is one per processor core. Time limit and errors are those of
    local_engine; a job that waits for a free machine has not begun. Ray is started, or joined, when there is work.
    Raises UserError when Ray is not installed; `run` does when the cluster cannot be joined, or when one of its
    machines lacks the project's folder or environment.
    """
    if find_spec("ray") is None:
        raise UserError("VERIFRAME_ENGINE=ray needs Ray: pip install 'veriframe[ray]'")
    start = functools.cache(_run_of_ray)

    def run(fn: Callable[[Any], Any], jobs: Iterable[Any], watch: Watch | None = None) -> Iterator[tuple[Any, Any]]:
        yield from start(workers, timeout_s)(fn, jobs, watch)

    try:
        yield run
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()  # also where joining failed half-way; nothing where it was never tried


def _run_of_ray(workers: int | None, timeout_s: float | None) -> Run:
    ray = _join_ray(workers)
    resources = ray.cluster_resources()
    at_once = workers or max(1, int(resources.get("CPU", 1)))
    gpus = resources.get("GPU", 0)
    environment = ENVIRONMENT | {name: value for name, value in os.environ.items() if name.startswith("VERIFRAME_")}
    environment["VERIFRAME_DEVICE"] = machine.device()  # every worker computes where this process would
    # Ray counts GPUs in ten-thousandths.
    share = min(1.0, int(10_000 * gpus / at_once) / 10_000) if environment["VERIFRAME_DEVICE"] == "cuda" else 0
    remote = ray.remote(
        num_cpus=1,
        num_gpus=share,  # without one, Ray hides the GPU
        max_retries=0,
        max_calls=JOBS_PER_WORKER,
        num_returns="streaming",
        runtime_env={"env_vars": environment},
    )(_begin_and_answer)
    folder = str(Path.cwd())

    def start(work: bytes) -> _Task:
        return _Task(remote.remote(folder, work))

    def finish(running: list[_Task]) -> Iterator[tuple[_Task, Any]]:
        task_of = {task.answers: task for task in running}
        for answers in ray.wait(list(task_of), timeout=TICK_S)[0]:
            task = task_of.pop(answers)
            try:
                message = ray.get(next(answers))
            except ray.exceptions.RayTaskError as error:
                raise UserError(f"a Ray worker cannot run jobs of {folder}: {_last_line(error)}") from None
            except ray.exceptions.RayError as error:
                how = WorkerKilled if isinstance(error, ray.exceptions.OutOfMemoryError) else WorkerDied
                yield task, how(f"Ray lost the worker: {type(error).__name__}")
                continue
            if message == BEGUN:
                task.since = time.monotonic()
            else:
                yield task, pickle.loads(message)
        for task in task_of.values():
            if _is_late(task.since, timeout_s):
                end(task)
                yield task, TimeoutError(f"no answer in {timeout_s:g} s")

    def end(task: _Task) -> None:
        ray.cancel(task.answers, force=True)

    return functools.partial(_run, start, finish, end, at_once)


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


# --- here -------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Worker:
    """A process of this machine, the pipe to it, when its job began (monotonic seconds), how many it has done."""

    process: SpawnProcess
    pipe: Connection
    since: float | None = None
    jobs: int = 0


@dataclass(eq=False)
class _Task:
    """A job handed to Ray: the stream of its messages, and when it began (monotonic seconds; None: it still waits)."""

    answers: Any
    since: float | None = None


def _run(
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


def _is_late(since: float | None, timeout_s: float | None) -> bool:
    return since is not None and timeout_s is not None and time.monotonic() - since > timeout_s


def _new_worker() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=[theirs], daemon=True)
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


def _join_ray(workers: int | None) -> Any:
    """Return the module ray, connected: to the cluster that RAY_ADDRESS names, or to a new one of this machine."""
    address = os.environ.get("RAY_ADDRESS") or "local"
    # Read when Ray is imported. Nobody is told that Ray runs here, and a worker's death is told by this engine alone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "A worker died or was killed")
    import ray

    own: dict[str, Any] = {"num_cpus": workers or machine.workers(), "include_dashboard": False}
    try:
        _knock(address)  # Ray itself would wait for a quarter of an hour
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(own if address == "local" else {}))
    except (OSError, RuntimeError, ValueError) as error:
        if address == "local":
            raise UserError(f"Ray cannot be started on this machine: {_last_line(error)}") from None
        raise UserError(
            f"the Ray cluster RAY_ADDRESS={address} cannot be joined: {_last_line(error)}; it must be the head node's "
            "host:6379 (not ray://), running, with the RAY_AUTH_MODE and token of this process"
        ) from None
    return ray


def _knock(address: str) -> None:
    """Raise OSError if `address` is a host and port where nobody listens."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


# --- in a worker ------------------------------------------------------------------------------------------------------


def _serve(pipe: Connection) -> None:
    """Answer job after job for as long as the caller lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the caller, who ends the workers
    threading.Thread(target=_end_with_the_caller, daemon=True).start()
    with suppress(OSError):  # only Linux has it: when memory runs out, this process goes first, not the caller
        Path("/proc/self/oom_score_adj").write_text("1000")
    _single_threaded()
    with suppress(EOFError, OSError):
        while True:
            work = pipe.recv_bytes()
            pipe.send_bytes(BEGUN)
            pipe.send_bytes(_answer(work))


def _end_with_the_caller() -> None:
    """End this worker in the middle of its job when the caller is killed."""
    caller = multiprocessing.parent_process()
    assert caller is not None
    caller.join()
    os._exit(1)


def _begin_and_answer(folder: str, work: bytes) -> Iterator[bytes]:
    """Say that the job has begun, then answer it (a Ray task)."""
    _settle(folder)
    yield BEGUN
    yield _answer(work)


@functools.cache
def _settle(folder: str) -> None:
    """Once per process: relative paths in jobs mean the caller's."""
    os.chdir(folder)
    _single_threaded()


def _answer(work: bytes) -> bytes:
    """Return the result of `work`, or the exception that it raised, both pickled."""
    try:
        fn, job = pickle.loads(work)
        return pickle.dumps(fn(job))
    except Exception as error:
        error.add_note(f"in a worker:\n{traceback.format_exc()}")
        try:
            answer = pickle.dumps(error)
            pickle.loads(answer)
        except Exception:  # an exception whose arguments are not those of its class
            return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
        return answer


def _single_threaded() -> None:
    """One process per core: OpenCV must not start threads of its own (the others read ENVIRONMENT)."""
    import cv2

    cv2.setNumThreads(0)
    cv2.ipp.setUseIPP(False)  # its kernels differ from processor to processor, and pixels must not
