import os
import signal
import time
from typing import Any

import pytest

from pipeline.engines import local_engine


def work(job: str) -> Any:
    if job in ("kill", "exit"):
        time.sleep(0.3)  # pebble takes a worker that dies within a moment of taking its job for an idle one
    if job == "raise":
        raise KeyError(job)
    if job == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "exit":
        os._exit(3)
    if job == "hang":
        time.sleep(120)
    if job == "error as result":
        return ValueError("a value")
    if job == "threads":
        import cv2

        return cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"]
    return job.upper(), os.getpid()


def test_what_goes_wrong_in_one_job_spares_the_others() -> None:
    good = [f"job {number}" for number in range(6)]
    with local_engine(2, timeout_s=3) as run:
        jobs = [good[0], "raise", good[1], "kill", good[2], "hang", good[3], "exit", *good[4:]]
        results = dict(run(work, iter(jobs)))
        assert set(results) == set(jobs)
        assert [results[job][0] for job in good] == [job.upper() for job in good]
        assert isinstance(results["raise"], KeyError)
        assert isinstance(results["hang"], TimeoutError)
        for job in ("kill", "exit"):
            assert isinstance(results[job], Exception) and not isinstance(results[job], TimeoutError)
        # The pool goes on after all that.
        ((_, (text, process)),) = run(work, ["again"])
        assert text == "AGAIN" and process != os.getpid()
        assert dict(run(work, ["threads"])) == {"threads": (1, "1")}
        assert list(run(work, [])) == []


def test_an_error_in_the_caller_ends_the_pool() -> None:
    with pytest.raises(RuntimeError), local_engine(1) as run:
        for _ in run(work, ["a", "b"]):
            raise RuntimeError
