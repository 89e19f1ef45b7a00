"""An engine without processes; exceptions become results, as in every engine."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any


def run(function: Callable[[Any], Any], jobs: Iterable[Any], watch: Any = None) -> Iterator[tuple[Any, Any]]:
    for job in jobs:
        try:
            yield job, function(job)
        except Exception as error:
            yield job, error
