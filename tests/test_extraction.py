import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from fabricated_videos import all_frames, write_video
from pipeline import extraction, faces, selection, video
from pipeline.engines import local_engine
from pipeline.errors import UserError
from pipeline.extraction import Recipe, Request
from pipeline.files import sha256_of_bytes, sha256_of_file

WHOLE_FRAME = Recipe(faces="none", detection_side=640, min_face=40, min_probability=0.9, margin=0.5)
NAMES = ["a", "b", "victim"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_video(tmp_path / f"raw/{name}.mp4", 10 + number, gop=4)
    return tmp_path / "raw"


def facts_of(root: Path) -> pd.DataFrame:
    rows = []
    for name in NAMES:
        path = root / f"{name}.mp4"
        facts = video.scan(path)
        row = {
            "video": name,
            "media": "video",
            "path": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256_of_file(path),
        }
        rows.append(row | {"pts": np.array(facts["pts"]), "key_frames": np.array(facts["key_frames"]), "facts": facts})
    return pd.DataFrame(rows).set_index("video")


def plan(videos: pd.DataFrame, quota: int | str = "none") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank every second frame of the videos, as one class of one split."""
    table = pd.DataFrame({"video": videos.index, "split": "train", "label": 0, "method": "m", "pts": list(videos.pts)})
    table["frames"], table["time_base"] = table.pts.map(len), 0.04
    frames = selection.candidates(table, 2, None)
    frames["key"] = frames.video + "__f" + frames.frame.astype(str)
    ranked = selection.rank(frames, 0).reset_index(drop=True)
    return ranked, selection.quotas(ranked, {"train": quota}, {"train": 0})


def counting(run: Any, counts: dict[str, int]) -> Any:
    """Wrap an engine: how many frames it is asked for, per video."""

    def counted(function: Callable[[Any], Any], jobs: Iterable[Request]) -> Iterator[tuple[Any, Any]]:
        jobs = list(jobs)
        for job in jobs:
            counts[job.video] = counts.get(job.video, 0) + len(job.frames)
        yield from run(function, jobs)

    return counted


def extract(
    root: Path, videos: pd.DataFrame, run: Any, quota: int | str = "none", recipe: Recipe = WHOLE_FRAME
) -> pd.DataFrame:
    ranked, cells = plan(videos, quota)
    frames, stores = extraction.extract(ranked, cells, videos, root, recipe, root.parent / "cache", run)
    assert len(frames) == len(ranked) and frames.key.tolist() == ranked.key.tolist()
    frames["status"], _ = selection.settle(frames, cells)
    for name, rows in frames[frames.status == "kept"].groupby("video"):
        crops = extraction.read_crops(stores[str(name)], rows.frame.tolist())
        assert sorted(crops) == sorted(rows.frame)
        assert [sha256_of_bytes(crops[frame]) for frame in rows.frame] == rows.sha256.tolist()
    return frames


def test_crops_are_the_frames_themselves(root: Path, in_process: Any) -> None:
    videos = facts_of(root)
    ranked, cells = plan(videos)
    frames, stores = extraction.extract(ranked, cells, videos, root, WHOLE_FRAME, root.parent / "cache", in_process)
    assert set(frames.state) == {"good"} and set(frames.reason) == {""}
    for name in NAMES:
        whole = all_frames(root / f"{name}.mp4")
        rows = frames[frames.video == name]
        crops = extraction.read_crops(stores[name], rows.frame.tolist())
        for row in rows.itertuples():
            decoded = cv2.imdecode(np.frombuffer(crops[row.frame], np.uint8), cv2.IMREAD_COLOR)
            assert np.array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), whole[row.pts])
            assert (row.crop_x, row.crop_y, row.crop_width, row.crop_height) == (0, 0, 64, 48)
            assert row.faces is None and row.probability is None and row.bytes == len(crops[row.frame])


def test_a_second_run_finds_everything_in_the_cache(root: Path, in_process: Any) -> None:
    videos = facts_of(root)
    first = extract(root, videos, in_process)
    for name in NAMES:
        (root / f"{name}.mp4").unlink()
    counts: dict[str, int] = {}
    pd.testing.assert_frame_equal(first, extract(root, videos, counting(in_process, counts)))
    assert counts == {}


def test_a_larger_quota_decodes_only_what_is_new(root: Path, in_process: Any) -> None:
    videos, counts = facts_of(root), {}
    extract(root, videos, counting(in_process, counts), quota=6)
    assert sum(counts.values()) == 6
    frames = extract(root, videos, counting(in_process, counts), quota=10)
    assert sum(counts.values()) == 10 and (frames.status == "kept").sum() == 10
    pd.testing.assert_frame_equal(frames, extract(root, videos, counting(in_process, counts), quota=10))
    assert sum(counts.values()) == 10


def test_a_video_more_costs_one_video(root: Path, in_process: Any) -> None:
    videos, counts = facts_of(root), {}
    extract(root, videos.loc[["a", "b"]], in_process)
    extract(root, videos, counting(in_process, counts))
    assert counts == {"victim": 6}


@pytest.mark.parametrize("change", [{"margin": 0.4}, {"min_face": 41}])
def test_another_recipe_is_another_answer(root: Path, in_process: Any, change: dict[str, Any]) -> None:
    videos, counts = facts_of(root), {}
    extract(root, videos, in_process)
    extract(root, videos, counting(in_process, counts), recipe=dataclasses.replace(WHOLE_FRAME, **change))
    assert sum(counts.values()) == len(plan(videos)[0])


def test_a_file_that_changed_or_went(root: Path, in_process: Any) -> None:
    videos = facts_of(root)
    write_video(root / "a.mp4", 12, gop=4)
    content = bytearray((root / "b.mp4").read_bytes())
    content[-1] ^= 1  # same length
    (root / "b.mp4").write_bytes(content)
    (root / "victim.mp4").unlink()
    frames = extract(root, videos, in_process)
    assert {name: set(rows.reason) for name, rows in frames.groupby("video")} == {
        "a": {"changed_since_index"},
        "b": {"changed_since_index"},
        "victim": {"missing"},
    }
    assert set(frames.status) == {"failed"}
    # Nothing of it is remembered: the right file is taken as soon as it is back.
    write_video(root / "victim.mp4", 12, gop=4)
    frames = extract(root, facts_of(root), in_process)
    assert set(frames.status) == {"kept"}


def test_frames_that_fail_are_replaced_by_the_next_in_rank(
    root: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def detect(picture: np.ndarray, min_face: int, detection_side: int) -> list[faces.Face]:
        """A face in every third picture only, as its content decides."""
        if int(picture.astype(np.int64).sum()) % 3:
            return []
        return [faces.Face(box=(10, 5, 30, 40), landmarks=tuple(range(10)), probability=0.95)]

    monkeypatch.setattr(extraction.faces, "detect", detect)
    monkeypatch.setattr(extraction.faces, "detector_version", lambda: "a stand-in")
    recipe = dataclasses.replace(WHOLE_FRAME, faces="mtcnn", margin=0.25)
    videos = facts_of(root)
    frames = extract(root, videos, in_process, quota=3, recipe=recipe).sort_values("rank")
    usable = [
        int(all_frames(root / f"{row.video}.mp4")[row.pts].astype(np.int64).sum()) % 3 == 0
        for row in frames.itertuples()
    ]
    assert 3 <= sum(usable) < len(usable)
    kept = frames[frames.status == "kept"]
    assert kept.key.tolist() == frames.key[usable].tolist()[:3]
    failed = frames[frames.status == "failed"]
    assert set(failed.reason) == {"no_face"} and set(failed.faces) == {0} and failed.sha256.isna().all()
    for row in kept.itertuples():
        assert (row.box_x, row.box_y, row.box_width, row.box_height) == (10, 5, 30, 40)
        # 40 pixels and a quarter of it on each side make 60; the frame is 64 x 48.
        assert (row.crop_x, row.crop_y, row.crop_width, row.crop_height) == (0, 0, 55, 48)
        assert (row.faces, round(row.probability, 3), list(row.landmarks)) == (1, 0.95, list(range(10)))
    untried = frames[frames.status == "unused"]
    assert (untried.reason == "").all() and untried["rank"].min() > kept["rank"].max()


def test_faces_are_cut_out_of_real_footage(clips: Path, tmp_path: Path, in_process: Any) -> None:
    """A person talking, and two videos without anybody: faces are found, all else fails with its reason."""
    talking = list(all_frames(clips / "faces/webcam_talking.mp4").values())[:20:4]
    write_video(tmp_path / "raw/a.mp4", pixels=talking)
    write_video(tmp_path / "raw/b.mp4", 3, size=(400, 300))
    write_video(tmp_path / "raw/victim.mp4", 3, size=(32, 32))
    videos = facts_of(tmp_path / "raw")
    frames = extract(tmp_path / "raw", videos, in_process, recipe=dataclasses.replace(WHOLE_FRAME, faces="mtcnn"))
    person, empty, tiny = (frames[frames.video == name] for name in NAMES)
    assert set(person.status) == {"kept"} and (person.faces >= 1).all() and (person.probability >= 0.9).all()
    for row in person.itertuples():
        left, top, right, bottom = row.crop_x, row.crop_y, row.crop_x + row.crop_width, row.crop_y + row.crop_height
        assert 0 <= left <= row.box_x and row.box_x + row.box_width <= right <= 400
        assert 0 <= top <= row.box_y and row.box_y + row.box_height <= bottom <= 300
    assert set(empty.reason) <= {"no_face", "improbable_face", "small_face"} and set(empty.status) == {"failed"}
    assert set(tiny.reason) == {"no_face"} and set(tiny.status) == {"failed"}


# --- workers that die ------------------------------------------------------------------------------------------------


def kills_one_and_trips_over_another(request: Request) -> str | None:
    time.sleep(0.3)  # see test_engines.py
    if request.video == "victim":
        os.kill(os.getpid(), signal.SIGKILL)
    tripped = Path(request.path + ".tripped")
    if request.video == "b" and not tripped.exists():
        tripped.touch()
        os._exit(3)
    return extraction.extract_video(request)


def test_a_worker_that_dies_loses_one_video_after_a_second_try(root: Path) -> None:
    with local_engine(1) as run:
        frames = extract(root, facts_of(root), lambda _, jobs: run(kills_one_and_trips_over_another, jobs))
    assert {name: set(rows.reason) for name, rows in frames.groupby("video")} == {
        "a": {""},
        "b": {""},
        "victim": {"worker_died"},
    }
    assert set(frames.status[frames.video != "victim"]) == {"kept"}
    assert set(frames.status[frames.video == "victim"]) == {"failed"}


def test_a_video_that_hangs_is_given_up(root: Path) -> None:
    def run(function: Callable[[Any], Any], jobs: Iterable[Request]) -> Iterator[tuple[Any, Any]]:
        for job in jobs:
            yield job, TimeoutError() if job.video == "victim" else function(job)

    frames = extract(root, facts_of(root), run)
    assert {name: set(rows.reason) for name, rows in frames.groupby("video")} == {
        "a": {""},
        "b": {""},
        "victim": {"timeout"},
    }


def test_a_work_cache_that_cannot_be_written_stops_with_a_message(root: Path) -> None:
    def run(function: Callable[[Any], Any], jobs: Iterable[Request]) -> Iterator[tuple[Any, Any]]:
        yield from ((job, OSError(28, "No space left on device")) for job in jobs)

    with pytest.raises(UserError, match="No space left on device"):
        extract(root, facts_of(root), run)
