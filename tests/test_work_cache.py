"""`veriframe cache`: what it counts, what it removes, and what it leaves alone."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from command import Outcome, veriframe
from pipeline import work_cache
from pipeline.errors import UserError
from pipeline.files import sha256_of_text, whole_or_absent
from small_project import contents, inside

ROOT = Path(__file__).resolve().parent.parent
Cache = Callable[..., Outcome]


def aged(path: Path, days: float, size: int = 10) -> Path:
    """Write a file of `size` bytes that was last used `days` days ago, as the pipeline writes files."""
    with whole_or_absent(path) as part:
        part.write_bytes(bytes(size))
    time_s = time.time() - days * work_cache.DAY_S
    os.utime(path, (time_s, time_s))
    return path


def answer(cache: Path, name: str, days: float, crops_days: float | None = None) -> tuple[Path, Path]:
    """Write an answer of extraction: its rows, last used `days` days ago, and its crops."""
    store = sha256_of_text(name)
    base = cache / "extract" / store[:2] / store / sha256_of_text(name, "frames")
    crops = aged(base.with_suffix(".crops"), days if crops_days is None else crops_days, 1000)
    return aged(base.with_suffix(".json"), days, 100), crops


def left_over(path: Path, days: float) -> Path:
    """Leave what a killed run leaves of the file `path`."""
    with pytest.raises(KeyboardInterrupt), whole_or_absent(path) as part:
        part.write_bytes(b"half")
        kept = part.rename(part.with_name("saved"))
        raise KeyboardInterrupt
    kept.rename(part)
    time_s = time.time() - days * work_cache.DAY_S
    os.utime(part, (time_s, time_s))
    return part


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def run_cache(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> Cache:
    """Run `veriframe cache` in this process; return exit code, stdout and stderr."""

    def run(*arguments: str) -> Outcome:
        with inside(tmp_path, VERIFRAME_CACHE=str(cache)):
            return veriframe(capsys, "cache", *arguments)

    return run


# --- look ------------------------------------------------------------------------------------------------------------


def test_every_part_is_counted(cache: Path) -> None:
    answer(cache, "a", 5)
    answer(cache, "b", 1, crops_days=30)
    aged(cache / "index/cache.db", 2, 500)
    aged(cache / "train" / sha256_of_text("t") / "state.pt", 3, 70)
    report = work_cache.look(cache)
    counts = {part: (held["files"], held["bytes"]) for part, held in report["parts"].items()}
    assert counts == {"extract": (4, 2200), "index": (1, 500), "train": (1, 70)}
    assert (report["path"], report["files"], report["bytes"]) == (str(cache), 6, 2770)
    assert report["free_bytes"] > 0
    lines = work_cache.describe(report).splitlines()
    assert len(lines) == 4 and lines[0].startswith(f"{cache}: 6 files, 2.77kB; ")
    # Crops are as old as the last use of their rows.
    assert re.match(r"  extract .* 4 files, 2\.20kB +last used 1 to 5 days ago$", lines[1])
    assert lines[3].endswith("1 file, 70B  last used 3 days ago")


def test_an_empty_cache(cache: Path, run_cache: Cache) -> None:
    code, said, complaints = run_cache()
    assert (code, complaints) == (0, "") and said.startswith(f"{cache}: 0 files, 0B; ")
    code, said, _ = run_cache("--prune", "0", "--json")
    report = json.loads(said)
    assert code == 0 and report["pruned"] == {"days": 0, "files": 0, "bytes": 0}
    assert report["parts"]["extract"] == {"files": 0, "bytes": 0, "oldest_use": None, "newest_use": None}
    assert not cache.exists()


def test_every_folder_of_the_work_cache_is_a_part() -> None:
    written = set()
    for folder in ("pipeline", "stages"):
        for path in (ROOT / folder).rglob("*.py"):
            written |= set(re.findall(r'cache_folder\(\) / "(\w+)"', path.read_text()))
    assert written == set(work_cache.PARTS)


# --- prune -----------------------------------------------------------------------------------------------------------


def test_what_was_not_used_for_long_goes(cache: Path, run_cache: Cache) -> None:
    old, young = answer(cache, "old", 31), answer(cache, "young", 29, crops_days=300)
    orphan = answer(cache, "orphan", 40)
    orphan[0].unlink()  # killed before the rows were written
    half = [left_over(young[0], 31), left_over(young[1], 29)]
    states = [aged(cache / "train" / sha256_of_text(days) / "state.pt", days) for days in (31, 29)]
    facts = aged(cache / "index/cache.db", 400)
    code, said, _ = run_cache("--prune", "30")
    assert code == 0
    assert said.endswith("removed: 5 files, 2.11kB, not used for 30 days; the facts of raw files stay\n")
    assert all(path.exists() for path in (*young, half[1], states[1], facts))
    assert not any(path.exists() for path in (*old, orphan[1], half[0], states[0]))
    needed = {folder for path in contents(cache) for folder in (cache / path).parents if cache in folder.parents}
    assert {path for path in cache.rglob("*") if path.is_dir()} == needed


def test_zero_days_is_everything_but_the_facts(cache: Path) -> None:
    answer(cache, "a", 0)
    left_over(answer(cache, "b", 2)[1], 0)
    (cache / "extract/ab" / ("ab" + "0" * 62)).mkdir(parents=True)  # of a video that gave no answer
    facts = aged(cache / "index/cache.db", 9)
    assert work_cache.prune(cache, 0) == {"days": 0, "files": 5, "bytes": 2204}
    assert [path for path in cache.rglob("*") if path.is_file()] == [facts]
    assert list((cache / "extract").iterdir()) == []
    assert work_cache.prune(cache, 0)["files"] == 0


def test_nothing_else_is_touched(cache: Path, tmp_path: Path) -> None:
    """VERIFRAME_CACHE may name a folder that holds other things."""
    store, frames = sha256_of_text("store"), sha256_of_text("frames")
    here = f"extract/{store[:2]}/{store}"
    others = [
        "thesis.tex",
        "extract/data.json",
        "train/state.pt",
        "train/run 1/state.pt",
        f"models/{frames}.json",
    ]
    others += [f"{here}/notes.json", f"{here}/{frames}.csv", f"{here}/.{frames}.json.part", f"{here}/x/a.crops"]
    others += [f"extract/{store}/{frames}.json", f"extract/{store[:2].upper()}x/{store}/{frames}.crops"]
    for name in others:
        aged(cache / name, 1000)
    (cache / "extract/empty").mkdir()
    elsewhere = tmp_path / "elsewhere" / store
    aged(elsewhere / f"{frames}.json", 1000)
    (cache / "extract/00").mkdir()
    (cache / "extract/00" / ("00" + "1" * 62)).symlink_to(elsewhere)
    (cache / here / f"{frames}.crops").symlink_to(elsewhere / f"{frames}.json")
    before = contents(tmp_path)
    assert work_cache.prune(cache, 0)["files"] == 0
    assert contents(tmp_path) == before and (cache / "extract/empty").is_dir()
    assert (cache / here / f"{frames}.crops").is_symlink()


def test_what_another_process_removes_is_no_error(cache: Path) -> None:
    rows, crops = answer(cache, "a", 9)
    gone, unlink = [], Path.unlink

    def first_by_another(path: Path, missing_ok: bool = False) -> None:
        if path == rows:
            gone.append(path)
            unlink(path)
        unlink(path, missing_ok)

    with mock.patch.object(Path, "unlink", first_by_another):
        assert work_cache.prune(cache, 5) == {"days": 5, "files": 1, "bytes": 1000}
    assert gone == [rows] and not crops.exists()


def test_an_answer_loses_its_rows_first(cache: Path) -> None:
    """Killed in between, prune leaves crops that nobody looks for, never rows without crops."""
    rows, crops = answer(cache, "a", 9)
    order, unlink = [], Path.unlink
    with mock.patch.object(Path, "unlink", lambda path, missing_ok=False: (order.append(path), unlink(path))):
        work_cache.prune(cache, 5)
    assert order == [rows, crops]


@pytest.mark.parametrize("days", ["-1", "1.5", "many", "", "99999999999"])
def test_days_that_are_none(cache: Path, run_cache: Cache, days: str) -> None:
    rows, _ = answer(cache, "a", 9)
    code, said, complaint = run_cache(f"--prune={days}")
    assert (code, said) == (2, "") and complaint.startswith("error: --prune must be a whole number of days, 0 to 36500")
    assert rows.exists()


def test_a_cache_that_is_no_folder(cache: Path, run_cache: Cache) -> None:
    cache.write_text("a file")
    code, _, complaint = run_cache()
    assert code == 1 and complaint == f"error: the work cache {cache} is no folder; VERIFRAME_CACHE may name another\n"


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may do everything")
def test_a_file_that_may_not_be_removed(cache: Path) -> None:
    rows, _ = answer(cache, "a", 9)
    rows.parent.chmod(0o500)
    try:
        with pytest.raises(UserError, match=r"cannot be removed: Permission denied"):
            work_cache.prune(cache, 5)
    finally:
        rows.parent.chmod(0o700)


def test_as_a_command(cache: Path) -> None:
    answer(cache, "a", 9)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VERIFRAME_CACHE": str(cache)}
    command = [sys.executable, "-m", "pipeline.cli", "cache", "--prune", "3", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["pruned"] == {"days": 3, "files": 2, "bytes": 1100}
