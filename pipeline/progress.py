"""Progress of long work: a bar with rate and ETA on a terminal, a plain line now and then in a log."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LOG_SECONDS = 10.0


def track(items: Iterable[Item], total: int, what: str, unit: str = "video") -> Iterator[Item]:
    """Yield `items` unchanged while reporting how many of `total` are done, at which rate, and the time left."""
    if total == 0:
        return
    terminal = sys.stderr.isatty()
    bar = tqdm(
        items,
        total=total,
        desc=what,
        unit=unit,
        mininterval=0.2 if terminal else LOG_SECONDS,
        maxinterval=LOG_SECONDS,
        ascii=not terminal,
        dynamic_ncols=terminal,
        file=sys.stderr if terminal else _Lines(),
        leave=terminal,
        bar_format=None if terminal else "{desc}: {n_fmt}/{total_fmt} {unit}s, {rate_fmt}, {remaining} left\n",
    )
    yield from bar


class _Lines:
    """A text stream for tqdm that drops carriage returns, so that a log holds whole lines."""

    def write(self, text: str) -> None:
        line = text.replace("\r", "").strip()
        if line:
            print(line, file=sys.stderr, flush=True)

    def flush(self) -> None:
        sys.stderr.flush()
