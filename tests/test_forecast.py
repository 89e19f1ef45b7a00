"""`veriframe forecast`: what it counts is what extraction then does; what it measures is not done again."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import Outcome, veriframe
from fabricated_videos import KEY, write_video
from footage_of import MTCNN, face, footage, index_row, plan
from pipeline import tables
from pipeline.extracting import answer_store, answers, extraction_plan
from pipeline.extracting.footage import Footage
from pipeline.forecasting import disk_space, estimates, forecast
from small_project import inside, run_stage, write_params


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory, celeb_tree: Path) -> Path:
    """A small project after the stages from index to reduce; never changed by a test."""
    project = tmp_path_factory.mktemp("reduced")
    write_params(project, celeb_tree)
    for stage in ("index", "split", "sample", "flatten", "reduce"):
        run_stage(project, stage)
    return project


@pytest.fixture
def project(tmp_path: Path, reduced: Path) -> Path:
    """A copy of the reduced project that a test may change."""
    return shutil.copytree(reduced, tmp_path / "project")


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch, in_process: Any) -> None:
    """Measure in this process."""

    @contextmanager
    def engine(workers: int, timeout_s: float) -> Iterator[Any]:
        yield in_process

    monkeypatch.setattr(forecast, "local_engine", engine)


@pytest.fixture
def run_forecast(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `veriframe forecast` in the project, in this process; return exit code, stdout and stderr."""

    def run(*arguments: str) -> Outcome:
        with inside(project):
            return veriframe(capsys, "forecast", *arguments)

    return run


def frames_in_cache(project: Path) -> dict[str, set[int]]:
    """Return store -> frames with an answer."""
    found: dict[str, set[int]] = {}
    for path in (project / "cache/extract").rglob("*.json"):
        found.setdefault(path.parent.name, set()).update(row["frame"] for row in json.loads(path.read_text()))
    return found


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- in a project ----------------------------------------------------------------------------------------------------


def test_what_is_foretold_is_what_extraction_does(project: Path, run_forecast: Callable[..., Outcome]) -> None:
    code, said, complaints = run_forecast("--seconds", "0", "--json")
    assert code == 0, complaints
    report = json.loads(said)
    row, before = report["datasets"][KEY], frames_in_cache(project)
    assert row["measured_videos"] == len(before) == report["workers"] == 1
    assert row["cached_frames"] == sum(map(len, before.values())) > 0
    assert row["videos"] == row["left_videos"] + 1 and row["frames"] == row["left_frames"] + row["cached_frames"]
    assert report["total"]["left_frames"] == row["left_frames"] and row["seconds"] > 0 and row["usable"] == 1
    assert row["seconds_error"] is None  # nobody knows, from one video
    answers_before = {path: path.read_bytes() for path in (project / "cache/extract").rglob("*.*")}
    size = bytes_below(project / "cache/extract")

    run_stage(project, "extract")
    after = frames_in_cache(project)
    done = {store: frames - before.get(store, set()) for store, frames in after.items()}
    done = {store: frames for store, frames in done.items() if frames}
    assert (len(done), sum(map(len, done.values()))) == (row["left_videos"], row["left_frames"])
    assert not set(done) & set(before)
    assert {path: path.read_bytes() for path in answers_before} == answers_before
    # Groups of pictures have 12 frames: what lies between the key frame and the last wanted one.
    last_of = {(store, frame // 12): frame for store, frames in done.items() for frame in sorted(frames)}
    assert row["decoded_frames"] == sum(frame % 12 + 1 for frame in last_of.values())
    made = {"work_cache_bytes": bytes_below(project / "cache/extract") - size}
    made["extract_bytes"] = sum(path.stat().st_size for path in (project / "data/extract").rglob("*.tar"))
    run_stage(project, "shard")
    made["shard_bytes"] = sum(path.stat().st_size for path in (project / "data/shard").rglob("*.tar"))
    for figure, size in made.items():
        assert size / 2 < row[figure] < size * 2, (figure, size, row[figure])


def test_shards_of_a_bad_size_are_told(
    project: Path, celeb_tree: Path, run_forecast: Callable[..., Outcome], no_processes: None
) -> None:
    write_params(project, celeb_tree, {"shard.shards": {"train": 4, "val": 1, "test": 2}})
    row = json.loads(run_forecast("--seconds", "0", "--json")[1])["datasets"][KEY]
    assert set(row["shard_advice"]) == {"train", "test"}
    said = run_forecast("--seconds", "0")[1]
    assert f"warning: {KEY}, train: 4 shards of about " in said and "set shard.shards.train to 1" in said
    each = float(re.search(r"train: 4 shards of about ([\d.]+)kB", said)[1]) * 1000
    run_stage(project, "extract")
    run_stage(project, "shard")
    tars = (project / f"data/shard/{KEY}/train").glob("*.tar")
    assert each * 4 == pytest.approx(sum(path.stat().st_size for path in tars), rel=0.7)  # tars are padded to 10 kB


def test_with_time_it_measures_more_and_says_how_sure_it_is(
    project: Path, run_forecast: Callable[..., Outcome], no_processes: None
) -> None:
    code, said, _ = run_forecast(KEY)
    assert code == 0
    head, line, usable, *_, disk = said.splitlines()
    assert head.split()[:4] == ["dataset", "videos", "frames", "in"] and line.split()[0] == KEY
    assert usable == f"{KEY}: 100.0% of the frames of 12 measured videos are usable"
    assert line.count("±") >= 2 and "?" not in line
    assert disk.startswith("disk: work cache ") and "workspace" in disk and "DVC" not in disk and disk.endswith("free")
    assert len(frames_in_cache(project)) == 12


def test_when_nothing_is_left_it_says_so_and_measures_nothing(
    project: Path, run_forecast: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage(project, "extract")
    before = {path: path.stat().st_mtime_ns for path in (project / "cache").rglob("*.crops")}
    monkeypatch.setattr(forecast, "local_engine", None)  # calling it would be an error
    code, said, _ = run_forecast("--json")
    row = json.loads(said)["datasets"][KEY]
    assert (code, row["left_videos"], row["decoded_frames"], row["measured_videos"], row["seconds"]) == (0, 0, 0, 0, 0)
    assert row["extract_bytes"] == 0 and row["shard_bytes"] > 0  # shard has not run
    code, said, _ = run_forecast()
    assert code == 0 and said.startswith("nothing is left to decode: the work cache holds all ")
    assert {path: path.stat().st_mtime_ns for path in (project / "cache").rglob("*.crops")} == before


def test_what_does_not_fit_is_exit_code_1(
    run_forecast: Callable[..., Outcome], no_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = mock.Mock(free=1000)
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda path: usage)
    code, said, complaints = run_forecast("--seconds", "0")
    assert code == 1 and "error" not in complaints
    assert "of 1.00kB free: THIS WILL NOT FIT" in said


@pytest.mark.parametrize("kind", ["copy", "hardlink,copy"])
def test_dvc_says_whether_it_links(
    project: Path, run_forecast: Callable[..., Outcome], no_processes: None, kind: str
) -> None:
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text(
        f"[core]\n    no_scm = true\n    analytics = false\n[cache]\n    type = '{kind}'\n"
    )
    before = sorted((project / "data").iterdir())
    code, said, complaints = run_forecast("--seconds", "0", "--json")
    assert code == 0, complaints
    (disk,) = json.loads(said)["disks"]
    assert (disk["places"]["DVC's cache"] == 0) == (kind != "copy")
    assert disk["needed_bytes"] == sum(disk["places"].values()) > disk["places"]["workspace"] > 0
    assert sorted((project / "data").iterdir()) == before  # nothing is left of trying


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["unknown"], "there is no dataset 'unknown'"),
        (["--seconds", "-1"], "--seconds must be 0 to 86400, not -1"),
        (["--seconds", "nan"], "--seconds must be 0 to 86400, not nan"),
    ],
)
def test_bad_arguments(run_forecast: Callable[..., Outcome], arguments: list[str], message: str) -> None:
    code, said, complaint = run_forecast(*arguments)
    assert (code, said) == (2, "") and complaint.startswith("error: ") and message in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("stage", ["index", "reduce"])
def test_a_stage_that_has_not_run(project: Path, run_forecast: Callable[..., Outcome], stage: str) -> None:
    shutil.rmtree(project / f"data/{stage}/{KEY}")
    code, _, complaint = run_forecast()
    assert code == 2
    assert complaint == f"error: data/{stage}/{KEY} is not there; run `dvc repro reduce@{KEY}` first\n"


def test_the_raw_videos_are_gone(project: Path, run_forecast: Callable[..., Outcome], no_processes: None) -> None:
    empty = project / "moved"
    empty.mkdir()
    write_params(project, empty)
    code, _, complaint = run_forecast("--seconds", "0")
    assert code == 2
    assert complaint.endswith(f"error: {KEY}: none of the 1 videos that were tried gave an answer: missing (1)\n")


# --- pairs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_processes: None) -> Footage:
    """Three originals and two fakes of each, as the dataset `tiny`; every frame shows one face."""
    rows: list[dict[str, Any]] = []
    for number in range(3):
        write_video(tmp_path / f"raw/real{number}.mp4", 6 + 6 * number, gop=4)
        rows.append(index_row(tmp_path / "raw", f"real{number}.mp4"))
        for method in "ab":
            name = f"fake{number}{method}"
            write_video(tmp_path / f"raw/{name}.mp4", 6 + 6 * number, gop=4)
            rows.append(index_row(tmp_path / "raw", f"{name}.mp4", label=tables.FAKE, original=f"real{number}"))
    of = footage(tmp_path / "raw", rows, MTCNN, from_original=True)
    frames, cells = plan(rows)
    fakes_only = frames.video.astype(str).str.startswith("fake") | (frames.frame == 0)
    ranked = frames[fakes_only].reset_index(drop=True)
    write_params(tmp_path, tmp_path / "raw")
    for stage in ("index", "reduce"):
        (tmp_path / "data" / stage / KEY).mkdir(parents=True)
    monkeypatch.setattr(
        extraction_plan, "load", lambda key: extraction_plan.Plan(mock.Mock(timeout=60), ranked, cells, of)
    )
    monkeypatch.setattr(answers.faces, "detect", lambda pictures, *_: [[face(4, 4, 40, 40)] for _ in pictures])
    monkeypatch.setattr(answers.faces, "at_boxes", lambda _, boxes: [face(*box) for box in boxes])
    monkeypatch.setattr(answers.faces, "detector_version", lambda: "a stand-in")
    return of


def test_fakes_are_measured_with_their_originals(pairs: Footage, tmp_path: Path) -> None:
    with inside(tmp_path, VERIFRAME_DEVICE="cpu"):
        row = forecast.forecast([KEY], 0, None, False)["datasets"][KEY]
        # The originals' first frames are wanted, and all others as well, for the boxes.
        assert (row["videos"], row["frames"]) == (9, 3 + 2 * (3 + 6 + 9))
        assert row["measured_videos"] == 3  # one family
        assert row["left_videos"] == 6 and row["usable"] == 1
        measured = {name for name in pairs.videos if answer_store.known(pairs.store(name))}
        assert measured == {"real1", "fake1a", "fake1b"}
        assert row["left_frames"] == 3 * (3 + 9)
        # Groups of 4 frames, of which every second is wanted: 3 of 4 are decoded, 1 of the last 2.
        assert row["decoded_frames"] == 3 * ((3 + 1) + (4 * 3 + 1))
        whole = forecast.forecast([KEY], 60, None, False)["datasets"][KEY]
        assert whole["left_videos"] == whole["seconds"] == 0 and whole["measured_videos"] == 6
        assert whole["extract_bytes"] > 0


def test_frames_without_a_box_are_not_left(pairs: Footage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers.faces, "detect", lambda pictures, *_: [[] for _ in pictures])
    with inside(tmp_path, VERIFRAME_DEVICE="cpu"):
        row = forecast.forecast([KEY], 60, None, False)["datasets"][KEY]
        assert (row["left_videos"], row["usable"], row["extract_bytes"], row["measured_videos"]) == (0, 0, 0, 9)
        assert row["cached_frames"] == row["frames"]
        assert forecast.forecast([KEY], 60, None, False)["datasets"][KEY]["measured_videos"] == 0


# --- the parts -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(1, 40))
def test_a_sample_is_spread(length: int, number: int) -> None:
    chosen = estimates.spread(list(range(length)), number)
    assert len(chosen) == len(set(chosen)) == min(length, number)
    assert length // 4 <= chosen[0] <= 3 * length // 4
    gaps = np.diff(sorted(chosen))
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_prices_are_found() -> None:
    work = np.random.default_rng(5).uniform(1, 9, (12, 4))
    prices = [0.02, 0.001, 0.3, 0]
    assert estimates.prices(work, work @ prices) == pytest.approx(prices, abs=1e-9)
    assert (estimates.prices(work, work @ [0.02, 0.001, 0.3, -0.1]) >= 0).all()
    assert estimates.prices(work[:0], np.zeros(0)).tolist() == [0, 0, 0, 0]


def test_errors_of_a_mean() -> None:
    """For a mean, the jackknife is the textbook's standard error."""
    values = np.array([3.0, 5, 4, 9, 7])
    sample = pd.DataFrame({"value": values})
    errors = estimates.errors(sample, lambda part: np.array([part.value.mean(), 1.0]))
    assert errors == pytest.approx([2 * values.std(ddof=1) / np.sqrt(len(values)), 0])
    assert estimates.errors(sample.head(2), lambda part: np.array([part.value.mean()])) == [None]


@pytest.mark.parametrize(
    ("rule", "share", "tries", "kept"),
    [
        ("50", 1.0, 50, 50),
        ("50", 0.8, 62.5, 50),  # reserves fill it
        ("50", 0.4, 100, 40),  # and are not enough
        ("50", 0.0, 100, 0),
        ("none", 0.8, 50, 40),
        ("smallest_class", 0.8, 50, 40),
    ],
)
def test_reserves_fill_only_quotas_that_are_numbers(rule: str, share: float, tries: float, kept: float) -> None:
    cells = pd.DataFrame({"rule": [rule], "quota": [50], "candidates": [100]})
    assert estimates.outcome(cells, share) == pytest.approx((tries / 50, kept / 50))


@pytest.mark.parametrize("linked", [True, False])
def test_dvc_holds_everything_once_more_unless_it_can_link(tmp_path: Path, linked: bool) -> None:
    (tmp_path / "data/extract/a").mkdir(parents=True)
    (tmp_path / "data/extract/a/old.tar").write_bytes(bytes(30))
    rows = {
        "a": {"work_cache_bytes": 7, "extract_bytes": 100, "shard_bytes": 20},
        "b": {"work_cache_bytes": 5, "extract_bytes": 10, "shard_bytes": 2},
    }
    with inside(tmp_path):
        (disk,) = disk_space.demand(rows, tmp_path / ".dvc/cache", linked)
    workspace = 132 if linked else 132 - 30  # what is there goes before the stage writes
    dvc = 0 if linked else 132
    assert disk["places"] == {"work cache": 12, "workspace": workspace, "DVC's cache": dvc}
    assert disk["needed_bytes"] == 12 + workspace + dvc and disk["fits"] and disk["free_bytes"] > 0
