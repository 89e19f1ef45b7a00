"""Read the answers that lie in the work cache; answers.py writes them there and says what they hold."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

Row = dict[str, Any]


def stored(store: str) -> list[Row]:
    """Return the rows of all answers in a store, each frame once, with `crops`: the file that holds their crops."""
    rows_of: dict[int, list[Row]] = {}
    for path, rows in _answers(store):
        answer: dict[int, list[Row]] = {}
        for row in rows:
            answer.setdefault(row["frame"], []).append(row | {"crops": str(path.with_suffix(".crops"))})
        rows_of = answer | rows_of
    return [row for frame in sorted(rows_of) for row in rows_of[frame]]


def known(store: str) -> set[int]:
    """Return the frames whose answers lie in a store."""
    return {row["frame"] for _, rows in _answers(store) for row in rows}


def _answers(store: str) -> Iterator[tuple[Path, list[Row]]]:
    """Yield the whole answers in a store; one that a power cut or a full disk has spoiled counts as none."""
    for path in sorted(Path(store).glob("[!.]*.json")):
        with suppress(OSError, ValueError):
            rows = json.loads(path.read_bytes())
            end = max((row["start"] + row["bytes"] for row in rows if "start" in row), default=0)
            if path.with_suffix(".crops").stat().st_size < end:
                continue
            with suppress(OSError):  # a cache that may only be read
                os.utime(path)  # `veriframe cache` removes what was not used for long
            yield path, rows


def unanswered(frames: Iterable[int], reason: str) -> list[Row]:
    """Return rows as `stored` does for frames that have no answer, for `reason`."""
    return [{"frame": frame, "reason": reason} for frame in frames]


def read_crops(rows: Iterable[tuple[str, int, int]]) -> Iterator[bytes]:
    """Yield the encoded crops at (file of crops, start, bytes), in this order, one at a time.

    Raises UserError when a file is gone: somebody has removed it since its rows were read.
    """
    for path, of_file in groupby(rows, itemgetter(0)):
        if not Path(path).is_file():
            raise UserError(f"{path} has gone from the work cache; run extract again, it makes anew what is missing")
        with Path(path).open("rb") as file:
            for _, start, size in of_file:
                file.seek(start)
                yield file.read(size)
