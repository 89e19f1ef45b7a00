"""Many machines, as tasks of a Ray cluster."""

import functools
import logging
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline import machine
from pipeline.engines.running import (
    BEGUN,
    ENVIRONMENT,
    JOBS_PER_WORKER,
    TICK_S,
    Run,
    Watch,
    WorkerDied,
    WorkerKilled,
    is_late,
    run,
)
from pipeline.engines.worker import begin_and_answer
from pipeline.errors import UserError


@contextmanager
def ray_engine(workers: int | None = None, timeout_s: float | None = None) -> Iterator[Run]:
    """Yield `run` (see pipeline.engines) over the Ray cluster that RAY_ADDRESS names, or a new one of this machine.

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
    )(begin_and_answer)
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
            if is_late(task.since, timeout_s):
                end(task)
                yield task, TimeoutError(f"no answer in {timeout_s:g} s")

    def end(task: _Task) -> None:
        ray.cancel(task.answers, force=True)

    return functools.partial(run, start, finish, end, at_once)


@dataclass(eq=False)
class _Task:
    """A job handed to Ray: the stream of its messages, and when it began (monotonic seconds; None: it still waits)."""

    answers: Any
    since: float | None = None


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
