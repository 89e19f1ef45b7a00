"""Read files to the end and hash what is really there: in threads, since hashing and waiting both free the lock."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from dvc_data.hashfile.hash import get_hash_stream
from dvc_objects.fs.base import FileSystem
from dvc_objects.fs.local import LocalFileSystem, localfs

from pipeline.engines import Run, Watch
from pipeline.engines.running import TICK_S

CHUNK = 2**20
BLOCK = 2**23  # what one request to a remote brings; fsspec would hold 50 MB for S3, times the number of threads
LOCAL: LocalFileSystem = localfs

Job = tuple[FileSystem, str, str, bool]  # file system, path in it, name of DVC's hash, whether SHA-256 is wanted too


class Digest(NamedTuple):
    """What a file holds."""

    size: int  # bytes
    md5: str
    sha256: str


@contextmanager
def opened(fs: FileSystem, path: str) -> Iterator[BinaryIO]:
    """Open a file for reading. Raises FileNotFoundError only when it is really not there."""
    try:
        with fs.open(path, "rb", block_size=BLOCK) as file:
            yield file
    except FileNotFoundError as error:
        from aiohttp import ClientError

        # Over HTTP fsspec calls every failure "not found"; what really happened is the cause.
        cause = error.__cause__
        if isinstance(cause, (ClientError, TimeoutError)) and getattr(cause, "status", None) not in (404, 410):
            raise cause from None
        raise


def digest(job: Job) -> Digest:
    """Read one file and hash it as DVC does, without DVC's memory of earlier hashes; sha256 is empty if unwanted."""
    fs, path, hash_name, with_sha256 = job
    sha256, size = hashlib.sha256(), 0
    with opened(fs, path) as file:
        stream = get_hash_stream(file, hash_name)
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if with_sha256:
                sha256.update(chunk)
    return Digest(size, stream.hash_value, sha256.hexdigest() if with_sha256 else "")


def in_threads(threads: int) -> Run:
    """Return an engine (see pipeline.engines) that runs jobs in so many threads of this process."""

    def run(
        fn: Callable[[Any], Any], jobs: Iterable[Any], watch: Watch | None = None
    ) -> Iterator[tuple[Any, Any | Exception]]:
        waiting = iter(jobs)
        running: dict[Future[Any], tuple[Any, float]] = {}
        with ThreadPoolExecutor(threads) as pool:

            def start(count: int) -> None:
                running.update({pool.submit(fn, job): (job, time.monotonic()) for job in islice(waiting, count)})

            start(threads)
            while running:
                for future in wait(running, TICK_S, FIRST_COMPLETED).done:
                    job, _ = running.pop(future)
                    start(1)
                    yield job, future.exception() or future.result()
                if watch and running:
                    watch(len(running), time.monotonic() - min(begun for _, begun in running.values()))

    return run
