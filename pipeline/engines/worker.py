"""What runs in a worker process: it answers jobs, on one thread, and ends when the caller does."""

import functools
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.engines.running import BEGUN


def serve(pipe: Connection) -> None:
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
    caller = parent_process()
    assert caller is not None
    caller.join()
    os._exit(1)


def begin_and_answer(folder: str, work: bytes) -> Iterator[bytes]:
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
