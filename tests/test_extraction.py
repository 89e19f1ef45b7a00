import dataclasses
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from fabricated_videos import all_frames, picture, write_video
from footage_of import COLUMNS, MTCNN, WHOLE_FRAME, counting, extract, face, footage, index_row, plan, searching
from pipeline import selection
from pipeline.engines import local_engine
from pipeline.errors import UserError
from pipeline.extracting import answer_store, answers, extraction
from pipeline.extracting.answers import Request
from pipeline.files import sha256_of_file

NAMES = ["a", "b", "victim"]
Rows = list[dict[str, Any]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        write_video(tmp_path / f"raw/{name}.mp4", 10 + number, gop=4)
    return tmp_path / "raw"


@pytest.fixture
def rows(root: Path) -> Rows:
    return [index_row(root, f"{name}.mp4") for name in NAMES]


def test_crops_are_the_frames_themselves(root: Path, rows: Rows, in_process: Any) -> None:
    frames = extract(footage(root, rows), rows, in_process)
    assert set(frames.state) == {"good"} and set(frames.reason) == {""} and set(frames.chosen_by) == {""}
    for name in NAMES:
        whole = all_frames(root / f"{name}.mp4")
        of_video = frames[frames.video == name]
        crops = answer_store.read_crops(zip(of_video.crops, of_video.start, of_video.bytes, strict=True))
        for row, crop in zip(of_video.itertuples(), crops, strict=True):
            decoded = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR)
            assert np.array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), whole[row.pts])
            assert (row.crop_x, row.crop_y, row.crop_width, row.crop_height) == (0, 0, 64, 48)
            assert pd.isna(row.faces) and pd.isna(row.face) and pd.isna(row.probability)


def test_crops_may_be_jpeg(root: Path, rows: Rows, in_process: Any) -> None:
    png = extract(footage(root, rows), rows, in_process)
    recipe = dataclasses.replace(WHOLE_FRAME, crop_quality=95)
    jpeg = extract(footage(root, rows, recipe), rows, in_process)
    assert jpeg.bytes.sum() < png.bytes.sum()
    (crop,) = answer_store.read_crops([(jpeg.crops[0], jpeg.start[0], jpeg.bytes[0])])
    assert crop.startswith(b"\xff\xd8\xff")


# --- the work cache --------------------------------------------------------------------------------------------------


def test_a_second_run_finds_everything_in_the_cache(root: Path, rows: Rows, in_process: Any) -> None:
    first = extract(footage(root, rows), rows, in_process)
    for name in NAMES:
        (root / f"{name}.mp4").unlink()
    counts: dict[str, int] = {}
    pd.testing.assert_frame_equal(first, extract(footage(root, rows), rows, counting(in_process, counts)))
    assert counts == {}


def test_a_larger_quota_decodes_only_what_is_new(root: Path, rows: Rows, in_process: Any) -> None:
    of, counts = footage(root, rows), {}
    run = counting(in_process, counts)
    extract(of, rows, run, quota=6)
    assert sum(counts.values()) == 6
    frames = extract(of, rows, run, quota=10)
    assert sum(counts.values()) == 10 and (frames.status == "kept").sum() == 10
    pd.testing.assert_frame_equal(frames, extract(of, rows, run, quota=10))
    smaller = extract(of, rows, run, quota=6)  # back to the earlier branch
    assert sum(counts.values()) == 10 and (smaller.status == "kept").sum() == 6
    assert (smaller.state == "untried").sum() == len(smaller) - 6


def test_a_video_more_costs_one_video(root: Path, rows: Rows, in_process: Any) -> None:
    counts: dict[str, int] = {}
    extract(footage(root, rows[:2]), rows[:2], in_process)
    extract(footage(root, rows), rows, counting(in_process, counts))
    assert counts == {"victim": 6}


@pytest.mark.parametrize("change", [{"margin": 0.4}, {"min_face": 41}, {"min_sharpness": 1.0}, {"crop_quality": 90}])
def test_another_recipe_is_another_answer(root: Path, rows: Rows, in_process: Any, change: dict[str, Any]) -> None:
    counts: dict[str, int] = {}
    extract(footage(root, rows), rows, in_process)
    extract(footage(root, rows, dataclasses.replace(WHOLE_FRAME, **change)), rows, counting(in_process, counts))
    assert sum(counts.values()) == len(plan(rows)[0])


def test_a_half_written_answer_is_none(root: Path, rows: Rows, in_process: Any) -> None:
    """Killed after the crops were in place and before the table was."""
    of, counts = footage(root, rows), {}
    first = extract(of, rows, in_process)
    (answer,) = Path(of.store("b")).glob("*.json")
    answer.unlink()
    pd.testing.assert_frame_equal(first, extract(of, rows, counting(in_process, counts)))
    assert counts == {"b": 6}


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b""), lambda path: path.with_suffix(".crops").unlink()]
)
def test_a_spoiled_answer_is_none(root: Path, rows: Rows, in_process: Any, spoil: Callable[[Path], Any]) -> None:
    """As a power cut may leave it."""
    of, counts = footage(root, rows), {}
    first = extract(of, rows, in_process)
    (answer,) = Path(of.store("b")).glob("*.json")
    spoil(answer)
    pd.testing.assert_frame_equal(first, extract(of, rows, counting(in_process, counts)))
    assert counts == {"b": 6}


def test_crops_that_go_while_they_are_read(root: Path, rows: Rows, in_process: Any) -> None:
    frames = extract(footage(root, rows), rows, in_process)
    Path(frames.crops[0]).unlink()
    with pytest.raises(UserError, match="has gone from the work cache; run extract again"):
        list(answer_store.read_crops([(frames.crops[0], 0, 1)]))


def test_a_part_whose_frames_have_no_answer_says_so(root: Path, rows: Rows, in_process: Any) -> None:
    (root / "a.mp4").unlink()
    ranked, cells = plan(rows)
    with pytest.raises(UserError, match=r"5 of 17 frames have no answer: missing 5; all others have"):
        extraction.fill_cache(ranked, cells, footage(root, rows), in_process, 0, 1)


def test_the_parts_of_a_cluster_fill_the_cache(root: Path, rows: Rows, in_process: Any) -> None:
    of, counts = footage(root, rows), {}
    ranked, cells = plan(rows, quota=10)
    run = counting(in_process, counts)
    done = [extraction.fill_cache(ranked, cells, of, run, part, 3) for part in range(3)]
    assert sum(videos for videos, _ in done) == 3
    assert sum(frames for _, frames in done) == sum(counts.values()) == 11  # the quota, and a tenth in reserve
    filled = dict(counts)
    frames = extract(of, rows, run, quota=10)
    assert counts == filled and (frames.status == "kept").sum() == 10
    elsewhere = dataclasses.replace(of, cache=root.parent / "another")
    pd.testing.assert_frame_equal(
        frames.drop(columns=["crops", "start"]),
        extract(elsewhere, rows, in_process, quota=10).drop(columns=["crops", "start"]),
    )


def test_the_first_round_is_what_is_asked_for_first(root: Path, rows: Rows, in_process: Any) -> None:
    counts: dict[str, int] = {}
    ranked, cells = plan(rows, quota=7)
    first = extraction.first_round(ranked, cells)
    extract(footage(root, rows), rows, counting(in_process, counts), quota=7)
    assert {video: len(asked) for video, asked in first.items()} == counts
    assert sum(counts.values()) == 7 == int(selection.targets(cells, cells.candidates).sum())


# --- frames that fail ------------------------------------------------------------------------------------------------


def test_a_file_that_changed_or_went(root: Path, rows: Rows, in_process: Any) -> None:
    write_video(root / "a.mp4", 12, gop=4)
    content = bytearray((root / "b.mp4").read_bytes())
    content[-1] ^= 1  # same length
    (root / "b.mp4").write_bytes(content)
    (root / "victim.mp4").unlink()
    frames = extract(footage(root, rows), rows, in_process)
    assert {name: set(part.reason) for name, part in frames.groupby("video")} == {
        "a": {"changed_since_index"},
        "b": {"changed_since_index"},
        "victim": {"missing"},
    }
    assert set(frames.status) == {"failed"}
    # Nothing of it is remembered: the right file is taken as soon as it is back.
    write_video(root / "victim.mp4", 12, gop=4)
    rows = [index_row(root, f"{name}.mp4") for name in NAMES]
    assert set(extract(footage(root, rows), rows, in_process).status) == {"kept"}


def test_an_image_that_went_is_not_remembered(tmp_path: Path, in_process: Any) -> None:
    pictures = [tmp_path / f"raw/{number}.png" for number in range(4)]
    pictures[0].parent.mkdir()
    for number, path in enumerate(pictures):
        cv2.imwrite(str(path), picture(number, 64, 48))
    row = dict.fromkeys(COLUMNS) | {
        "video": "a",
        "media": "images",
        "label": 0,
        "path": "0.png",
        "frames": 4,
        "bytes": 1,
    }
    row |= {"images": [path.name for path in pictures], "image_sha256": [sha256_of_file(path) for path in pictures]}
    rows = [row | {"sha256": "0" * 64, "pts": np.arange(4), "key_frames": np.arange(4)}]
    content = pictures[2].read_bytes()
    pictures[2].unlink()
    counts: dict[str, int] = {}
    for there, reason in ((False, "missing"), (True, "")):
        if there:
            pictures[2].write_bytes(content)
        frames = extract(footage(tmp_path / "raw", rows), rows, counting(in_process, counts)).set_index("frame")
        assert frames.reason.to_dict() == {0: "", 2: reason}
    assert counts == {"a": 3}  # both, and the one that had gone


def test_one_error_in_every_worker_stops_with_a_message(root: Path, rows: Rows) -> None:
    def run(function: Callable[[Any], Any], jobs: Iterable[Request], watch: Any = None) -> Iterator[tuple[Any, Any]]:
        yield from ((job, ImportError("no module named cv2")) for job in jobs)

    with pytest.raises(UserError, match="not read a single one of 3 videos: ImportError: no module named cv2"):
        extract(footage(root, rows), rows, run)


def test_an_unexpected_error_in_one_video_is_told(
    root: Path, rows: Rows, in_process: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(function: Callable[[Any], Any], jobs: Iterable[Request], watch: Any = None) -> Iterator[tuple[Any, Any]]:
        for job in jobs:
            yield job, ZeroDivisionError("odd video") if job.video == "b" else function(job)

    frames = extract(footage(root, rows), rows, run)
    assert set(frames.reason[frames.video == "b"]) == {"worker_died"}
    assert "extract: b: ZeroDivisionError: odd video" in capsys.readouterr().err


def test_frames_that_fail_are_replaced_by_the_next_in_rank(
    root: Path, rows: Rows, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(one: np.ndarray) -> list[Any]:
        """A face in every third picture only, as its content decides."""
        return [] if int(one.astype(np.int64).sum()) % 3 else [face(10, 5, 30, 40)]

    searching(monkeypatch, find)
    recipe = dataclasses.replace(MTCNN, margin=0.25)
    frames = extract(footage(root, rows, recipe), rows, in_process, quota=3).sort_values("rank")
    usable = [
        int(all_frames(root / f"{row.video}.mp4")[row.pts].astype(np.int64).sum()) % 3 == 0
        for row in frames.itertuples()
    ]
    assert 3 <= sum(usable) < len(usable)
    kept = frames[frames.status == "kept"]
    assert kept.key.tolist() == frames.key[usable].tolist()[:3] and set(kept.chosen_by) == {"only"}
    failed = frames[frames.status == "failed"]
    assert set(failed.reason) == {"no_face"} and set(failed.faces) == {0} and failed.sha256.isna().all()
    for row in kept.itertuples():
        assert (row.box_x, row.box_y, row.box_width, row.box_height) == (10, 5, 30, 40)
        # 40 pixels and a quarter of it on each side make 60; the frame is 64 x 48.
        assert (row.crop_x, row.crop_y, row.crop_width, row.crop_height) == (0, 0, 55, 48)
        assert (row.faces, row.face, round(row.probability, 3), list(row.landmarks)) == (1, 0, 0.95, list(range(10)))
    untried = frames[frames.status == "unused"]
    assert (untried.reason == "").all() and untried["rank"].min() > kept["rank"].max() and untried.faces.isna().all()


def test_every_face_is_kept_as_a_row_and_the_best_of_the_useless_gives_the_reason(
    root: Path, rows: Rows, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [face(2, 2, 42, 42, 0.99), face(20, 2, 10, 10, 0.97), face(30, 30, 41, 12, 0.5)]
    searching(monkeypatch, lambda one: found)
    ranked, cells = plan(rows[:1])
    recipe = dataclasses.replace(MTCNN, min_sharpness=1e9)
    for sharpness, reason in ((0, ""), (1e9, "blurred_face")):
        of = footage(root, rows[:1], dataclasses.replace(recipe, min_sharpness=sharpness))
        frames, faces = extraction.extract(ranked, cells, of, in_process)
        assert set(frames.reason) == {reason} and set(frames.faces) == {3}
        assert len(faces) == 3 * len(frames)
        verdicts = faces.groupby("face").unusable.unique().map(list).tolist()
        assert verdicts == [[reason], ["small_face"], ["improbable_face"]]
        assert (faces.sharpness.notna() == (faces.face == 0)).all()


def test_faces_are_cut_out_of_real_footage(clips: Path, tmp_path: Path, in_process: Any) -> None:
    """A person talking, and two videos without anybody: faces are found, all else fails with its reason."""
    talking = list(all_frames(clips / "faces/webcam_talking.mp4").values())[:20:4]
    write_video(tmp_path / "raw/a.mp4", pixels=talking)
    write_video(tmp_path / "raw/b.mp4", 3, size=(400, 300))
    write_video(tmp_path / "raw/victim.mp4", 3, size=(32, 32))
    rows = [index_row(tmp_path / "raw", f"{name}.mp4") for name in NAMES]
    frames = extract(footage(tmp_path / "raw", rows, MTCNN), rows, in_process)
    person, empty, tiny = (frames[frames.video == name] for name in NAMES)
    assert set(person.status) == {"kept"} and (person.faces >= 1).all() and (person.probability >= 0.9).all()
    for row in person.itertuples():
        left, top, right, bottom = row.crop_x, row.crop_y, row.crop_x + row.crop_width, row.crop_y + row.crop_height
        assert 0 <= left <= row.box_x and row.box_x + row.box_width <= right <= 400
        assert 0 <= top <= row.box_y and row.box_y + row.box_height <= bottom <= 300
    assert set(empty.reason) <= {"no_face", "improbable_face", "small_face"} and set(empty.status) == {"failed"}
    assert set(tiny.reason) == {"no_face"} and set(tiny.status) == {"failed"}


def test_batches_for_a_gpu_give_the_same(
    root: Path, rows: Rows, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(one: np.ndarray) -> list[Any]:
        return [] if int(one.astype(np.int64).sum()) % 3 else [face(10, 5, 30, 40)]

    searching(monkeypatch, find)
    one_by_one = extract(footage(root, rows, MTCNN), rows, in_process)
    monkeypatch.setattr(answers.machine, "device", lambda: "cuda")
    monkeypatch.setattr(answers, "BATCH_BYTES", 64 * 48 * 3 * 2)  # two pictures at a time
    of = footage(root, rows, MTCNN)
    assert "cuda" in of.recipe.versions()
    pd.testing.assert_frame_equal(
        one_by_one.drop(columns=["crops", "start"]), extract(of, rows, in_process).drop(columns=["crops", "start"])
    )


# --- workers that die ------------------------------------------------------------------------------------------------


def kills_one_and_trips_over_another(request: Request) -> str | None:
    if request.video == "victim":
        os.kill(os.getpid(), signal.SIGKILL)
    tripped = Path(request.source.path + ".tripped")
    if request.video == "b" and not tripped.exists():
        tripped.touch()
        os._exit(3)
    return answers.extract_video(request)


def test_a_worker_that_dies_loses_one_video_after_a_second_try(root: Path, rows: Rows) -> None:
    with local_engine(1) as run:
        frames = extract(
            footage(root, rows), rows, lambda _, jobs, watch=None: run(kills_one_and_trips_over_another, jobs, watch)
        )
    assert {name: set(part.reason) for name, part in frames.groupby("video")} == {
        "a": {""},
        "b": {""},
        "victim": {"worker_killed"},
    }
    assert set(frames.status[frames.video != "victim"]) == {"kept"}
    assert set(frames.status[frames.video == "victim"]) == {"failed"}


def test_a_video_that_hangs_is_given_up(root: Path, rows: Rows) -> None:
    def run(function: Callable[[Any], Any], jobs: Iterable[Request], watch: Any = None) -> Iterator[tuple[Any, Any]]:
        for job in jobs:
            yield job, TimeoutError() if job.video == "victim" else function(job)

    frames = extract(footage(root, rows), rows, run)
    assert {name: set(part.reason) for name, part in frames.groupby("video")} == {
        "a": {""},
        "b": {""},
        "victim": {"timeout"},
    }


def test_a_work_cache_that_cannot_be_written_stops_with_a_message(root: Path, rows: Rows) -> None:
    def run(function: Callable[[Any], Any], jobs: Iterable[Request], watch: Any = None) -> Iterator[tuple[Any, Any]]:
        yield from ((job, OSError(28, "No space left on device")) for job in jobs)

    with pytest.raises(UserError, match="No space left on device"):
        extract(footage(root, rows), rows, run)
