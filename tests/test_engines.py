"""Both engines, held to the same: what goes wrong in one job spares the others, and nothing is left running."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import engines, machine
from pipeline.engines import Run, WorkerDied, local, local_engine, ray_engine, twice
from pipeline.errors import UserError

LIMIT_S = 8.0


class TwoArguments(Exception):
    """An exception that pickle cannot make again."""

    def __init__(self, left: str, right: str):
        super().__init__(left + right)


def work(job: str) -> Any:
    """Do as the job says (runs in a worker)."""
    if job.startswith("sleep"):
        time.sleep(float(job.split()[1]))
    if job == "raise":
        raise KeyError(job)
    if job == "raise oddly":
        raise TwoArguments("odd", "ly")
    if job == "unpicklable":
        return threading.Lock()
    if job.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.startswith("exit"):
        os._exit(3)
    if job == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(120)
    if job == "set up":
        import cv2

        return cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"], str(Path.cwd())
    if job == "pid":
        return os.getpid()
    return job.upper()


def dies_the_first_time(path: Path) -> str:
    if not path.exists():
        path.touch()
        os._exit(1)
    return "alive"


@pytest.fixture(scope="module")
def ray_run() -> Iterator[Run]:
    """One Ray of this machine for all the tests: it takes seconds to start."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'veriframe[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # so that its workers find this file
        with ray_engine(2, LIMIT_S) as run:
            yield run


@pytest.fixture(scope="module")
def local_run() -> Iterator[Run]:
    with local_engine(2, LIMIT_S) as run:
        yield run


@pytest.fixture(params=["local", "ray"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(f"{request.param}_run")
    return found


def test_what_goes_wrong_in_one_job_spares_the_others(run: Run) -> None:
    good = [f"job {number}" for number in range(8)]
    bad = ["raise", "kill", "raise oddly", "hang", "exit", "unpicklable"]
    jobs = [job for pair in zip(good, [*bad, "kill 2", "exit 2"], strict=True) for job in pair]
    seen: list[tuple[int, float]] = []
    results = dict(run(work, iter(jobs), lambda *now: seen.append(now)))
    assert {job: results[job] for job in good} == {job: job.upper() for job in good}
    assert set(results) == set(jobs)
    assert repr(results["raise"]) == "KeyError('raise')"
    assert "in work\n" in results["raise"].__notes__[0]  # where, for those who read a traceback
    assert repr(results["raise oddly"]) == "RuntimeError('TwoArguments: oddly')"
    assert isinstance(results["unpicklable"], TypeError)
    assert isinstance(results["hang"], TimeoutError)
    assert all(isinstance(results[job], WorkerDied) for job in ("kill", "exit", "kill 2", "exit 2"))
    assert max(oldest for _, oldest in seen) > LIMIT_S - 3  # the hanging job was seen to grow old
    assert {running for running, _ in seen} <= {0, 1, 2}
    # Both workers are back after all that.
    assert dict(run(work, ["again", "and again"])) == {"again": "AGAIN", "and again": "AND AGAIN"}


def test_workers_are_single_threaded_and_where_the_caller_is(run: Run) -> None:
    assert list(run(work, ["set up"])) == [("set up", (1, "1", "1", str(Path.cwd())))]
    ((_, process),) = run(work, ["pid"])
    assert process != os.getpid()


def test_jobs_are_read_as_workers_become_free(run: Run) -> None:
    read = 0

    def jobs() -> Iterator[str]:
        nonlocal read
        for number in range(40):
            read += 1
            yield f"job {number}"

    for given, (job, result) in enumerate(run(work, jobs()), start=1):
        assert result == job.upper()
        assert given <= read <= given + 4  # two at work, and two whose results are being given out
    assert read == 40
    assert list(run(work, [])) == []


def test_a_caller_who_stops_early_leaves_working_workers(run: Run) -> None:
    results = run(work, ["first", "sleep 1000", "never read"])
    assert next(results) == ("first", "FIRST")
    results.close()  # type: ignore[attr-defined]
    start = time.monotonic()
    assert sorted(run(work, ["a", "b", "c"])) == [("a", "A"), ("b", "B"), ("c", "C")]
    assert time.monotonic() - start < 500


def test_watch_is_called_while_a_job_runs_long(run: Run) -> None:
    seen: list[tuple[int, float]] = []
    list(run(work, ["sleep 2.5"], lambda *now: seen.append(now)))
    ages = [round(oldest, 3) for running, oldest in seen if running == 1]
    assert len(ages) >= 2 and ages == sorted(ages) and ages[-1] > 1
    assert seen[-1] == (0, 0.0)


def test_twice_tries_once_more_what_failed(run: Run, tmp_path: Path) -> None:
    calls: list[int] = []
    results = list(twice(run)(dies_the_first_time, [tmp_path / "a", tmp_path / "b"], lambda n, _: calls.append(n)))
    assert sorted(results) == [(tmp_path / "a", "alive"), (tmp_path / "b", "alive")]
    assert calls
    assert [type(result) for _, result in twice(run)(work, ["raise"])] == [KeyError]


# --- here -------------------------------------------------------------------------------------------------------------


def test_a_death_while_the_caller_is_busy_spares_the_others() -> None:
    with local_engine(2) as run:
        results: dict[str, Any] = {}
        for job, result in run(work, [f"exit {n}" if n % 4 == 3 else f"job {n}" for n in range(16)]):
            sum(n * n for n in range(200_000))
            results[job] = result
    assert all(isinstance(result, WorkerDied) == job.startswith("exit") for job, result in results.items())
    assert len(results) == 16


def test_a_worker_that_dies_idle_is_replaced() -> None:
    with local_engine(1) as run:
        ((_, process),) = run(work, ["pid"])
        os.kill(process, signal.SIGKILL)
        while process in [child.pid for child in multiprocessing.active_children()]:
            time.sleep(0.01)
        assert list(run(work, ["next"])) == [("next", "NEXT")]


def test_a_worker_is_renewed_after_its_share_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "JOBS_PER_WORKER", 2)
    with local_engine(1) as run:
        processes = [process for _, process in run(work, ["pid"] * 5)]
    assert processes[0] == processes[1] != processes[2] == processes[3] != processes[4]


def test_an_error_in_the_caller_ends_all_workers() -> None:
    environment, others = dict(os.environ), set(multiprocessing.active_children())
    with pytest.raises(RuntimeError), local_engine(2) as run:
        for _ in run(work, ["a", "sleep 100", "sleep 100"]):
            raise RuntimeError
    assert set(multiprocessing.active_children()) == others
    assert dict(os.environ) == environment


PROGRAM = """
import sys
from pipeline.engines import local_engine, ray_engine
from test_engines import work

if __name__ == "__main__":
    with {"local": local_engine, "ray": ray_engine}[sys.argv[1]](2) as run:
        for job, result in run(work, ["pid", "sleep 100", "sleep 100"]):
            print(result, flush=True)
"""


@pytest.mark.parametrize(
    ("engine", "how"), [("local", signal.SIGINT), ("local", signal.SIGKILL), ("ray", signal.SIGINT)]
)
def test_no_process_outlives_the_caller(engine: str, how: int, tmp_path: Path) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'veriframe[ray]'")
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    program = [sys.executable, "program.py", engine]
    with subprocess.Popen(
        program, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as caller:  # fmt: skip
        assert caller.stdout and caller.stderr
        worker = int(caller.stdout.readline())
        # As Ctrl+C does: to every process of the terminal.
        (os.killpg if how == signal.SIGINT else os.kill)(caller.pid, how)
        complaint = caller.stderr.read()  # ends when the last process that holds it ends
        assert caller.wait(60) != 0
    assert complaint.count("Traceback") == (1 if how == signal.SIGINT else 0), complaint
    for _ in range(600):
        if not Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


# --- which ------------------------------------------------------------------------------------------------------------


def test_the_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "local_engine", lambda *asked: ("local", *asked))
    monkeypatch.setattr(engines, "ray_engine", lambda *asked: ("ray", *asked))
    monkeypatch.delenv("VERIFRAME_ENGINE", raising=False)
    monkeypatch.delenv("VERIFRAME_WORKERS", raising=False)
    assert engines.engine(7) == ("local", machine.workers(), 7)
    monkeypatch.setenv("VERIFRAME_ENGINE", "ray")
    assert engines.engine(8) == ("ray", None, 8)  # as many as the cluster has processor cores
    monkeypatch.setenv("VERIFRAME_WORKERS", "3")
    assert engines.engine() == ("ray", 3, None)


def test_ray_asked_for_and_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    with (
        pytest.raises(UserError, match=r"VERIFRAME_ENGINE=ray needs Ray: pip install 'veriframe\[ray\]'"),
        ray_engine(1),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379"])
def test_a_cluster_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'veriframe[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"RAY_ADDRESS={address} cannot be joined: "), ray_engine(1) as run:
        list(run(work, ["a"]))
