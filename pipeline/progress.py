"""Progress of long work: a bar on a terminal, a plain line every ten seconds in a log."""

import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

LOG_SECONDS = 10.0
Run = Callable[..., Iterator[tuple[Any, Any]]]  # as pipeline.engines.Run, which would make training depend on engines
Show = Callable[[int, str], None]  # (jobs done, what to say besides)


def track(
    run: Run,
    fn: Callable[[Any], Any],
    jobs: Collection[Any],
    what: str,
    unit: str = "video",
    frames_of: Callable[[Any], int] | None = None,
) -> Iterator[tuple[Any, Any]]:
    """Yield `(job, result)` of `run(fn, jobs)` while standard error tells how the work named `what` goes on.

    It tells how many jobs are done, at which rate, the time left, how many run now, and since when the oldest: also
    while none finishes. A job is one `unit`, with `frames_of(job)` frames where that is given. No jobs, no word.
    """
    if not jobs:
        return
    start, done, frames = time.monotonic(), 0, 0
    with counting(what, len(jobs), unit) as show:

        def watch(running: int, oldest_s: float) -> None:
            rate = frames / max(time.monotonic() - start, 1e-9)
            parts = [f"{_number(rate)} frames/s"] if frames else []
            parts += [f"{running} running, oldest {oldest_s:.0f} s"] if running else []
            show(done, ", ".join(parts))

        for job, result in run(fn, jobs, watch):
            done += 1
            frames += frames_of(job) if frames_of else 0
            yield job, result
        watch(0, 0.0)


@contextmanager
def counting(what: str, total: int, unit: str) -> Iterator[Show]:
    """Yield `show(done, besides)`, to be called as the work named `what` goes on: `done` of `total` `unit`s so far.

    `besides` is said after rate and time left.
    """
    with (_bar if sys.stderr.isatty() else _log)(what, total, unit) as show:
        yield show


@contextmanager
def _bar(what: str, total: int, unit: str) -> Iterator[Show]:
    with tqdm(total=total, desc=what, unit=unit, dynamic_ncols=True) as bar:

        def show(done: int, besides: str) -> None:
            bar.set_postfix_str(besides, refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        yield show


@contextmanager
def _log(what: str, total: int, unit: str) -> Iterator[Show]:
    start = last = time.monotonic()

    def show(done: int, besides: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LOG_SECONDS and done < total:
            return
        last = now
        parts = [f"{what}: {done} of {total} {unit}s"]
        if done:
            parts.append(f"{_number(done / max(now - start, 1e-9))} {unit}s/s")
            left = tqdm.format_interval((total - done) * (now - start) / done)
            parts.append(f"{left} left" if done < total else f"in {tqdm.format_interval(now - start)}")
        print(", ".join(filter(None, [*parts, besides])), file=sys.stderr, flush=True)

    yield show


def _number(rate: float) -> str:
    """Return a rate with about two telling digits: 0.031, 3.1, 31."""
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}" if rate >= 1 else f"{rate:.3f}"
