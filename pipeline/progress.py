"""Progress of long work: a bar with rate and ETA on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LOG_SECONDS = 10.0


def track(items: Iterable[Item], total: int, what: str, unit: str = "video") -> Iterator[Item]:
    """Yield `items` unchanged while reporting how many of `total` are done, at which rate, and the time left."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit=unit, dynamic_ncols=True)
    elif total:
        yield from _log(items, total, what, unit)


def _log(items: Iterable[Item], total: int, what: str, unit: str) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LOG_SECONDS or done == total:
            last, rate = now, done / max(now - start, 1e-9)
            left = tqdm.format_interval((total - done) / rate)
            print(f"{what}: {done} of {total} {unit}s, {rate:.1f}/s, {left} left", file=sys.stderr, flush=True)
