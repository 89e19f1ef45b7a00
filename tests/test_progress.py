import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline import progress
from pipeline.progress import track


class Clock:
    """A clock that an engine may set; the seconds are its own."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def one_by_one(clock: Clock, seconds: float) -> Callable[..., Iterator[tuple[Any, Any]]]:
    """An engine whose every job takes `seconds`, and which is watched once a second."""

    def run(
        fn: Callable[[Any], Any], jobs: list[Any], watch: Callable[[int, float], None]
    ) -> Iterator[tuple[Any, Any]]:
        for job in jobs:
            started = clock.now
            while clock.now < started + seconds:
                clock.now += min(1.0, started + seconds - clock.now)
                watch(1, clock.now - started)
            yield job, fn(job)

    return run


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    results = list(track(one_by_one(clock, 25.0), str.upper, ["a", "b"], "extract", frames_of=lambda job: 100))
    assert results == [("a", "A"), ("b", "B")]
    assert capsys.readouterr().err.splitlines() == [
        "extract: 0 of 2 videos, 1 running, oldest 10 s",
        "extract: 0 of 2 videos, 1 running, oldest 20 s",
        "extract: 1 of 2 videos, 0.033 videos/s, 00:30 left, 3.3 frames/s, 1 running, oldest 5 s",
        "extract: 1 of 2 videos, 0.025 videos/s, 00:40 left, 2.5 frames/s, 1 running, oldest 15 s",
        "extract: 1 of 2 videos, 0.020 videos/s, 00:50 left, 2.0 frames/s, 1 running, oldest 25 s",
        "extract: 2 of 2 videos, 0.040 videos/s, in 00:50, 4.0 frames/s",
    ]


def test_a_terminal_gets_a_bar(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    jobs = track(one_by_one(clock, 2.0), str.upper, ["a", "b"], "shard", "tar", frames_of=lambda job: 100)
    assert list(jobs) == [("a", "A"), ("b", "B")]
    shown = terminal.getvalue()
    assert "shard:   0%|" in shown and "shard: 100%|" in shown and "2/2" in shown
    assert "1 running, oldest 1 s" in shown and "33 frames/s, 1 running" in shown


def test_no_jobs_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*_: Any) -> Iterator[tuple[Any, Any]]:
        raise AssertionError("nothing to run")

    assert list(track(run, str.upper, [], "scan")) == []
    assert capsys.readouterr().err == ""


def test_a_caller_who_stops_early_hears_no_more(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    results = track(one_by_one(clock, 1.0), str.upper, ["a", "b"], "scan")
    assert next(results) == ("a", "A")
    results.close()  # type: ignore[attr-defined]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("rate", "text"), [(0.0312, "0.031"), (3.14, "3.1"), (31.4, "31"), (31415.9, "31416")])
def test_rates_are_short(rate: float, text: str) -> None:
    assert progress._number(rate) == text
