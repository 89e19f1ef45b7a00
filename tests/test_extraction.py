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
from footage_of import COLUMNS, MTCNN, WHOLE_FRAME, counting, extract, face, footage, index_row, plan
from pipeline import answer_store, answers, extraction, selection
from pipeline.answers import Request
from pipeline.engines import local_engine
from pipeline.errors import UserError
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


def searching(monkeypatch: pytest.MonkeyPatch, find: Callable[[np.ndarray], list[Any]]) -> list[int]:
    """Put `find` in place of the detector; return a list that grows by one entry per picture searched."""
    searched: list[int] = []

    def detect(pictures: list[np.ndarray], min_face: int, detection_side: int) -> list[list[Any]]:
        searched.extend(1 for _ in pictures)
        return [find(one) for one in pictures]

    monkeypatch.setattr(answers.faces, "detect", detect)
    monkeypatch.setattr(answers.faces, "detector_version", lambda: "a stand-in")
    monkeypatch.setenv("VERIFRAME_DEVICE", "cpu")
    return searched


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


# --- which face ------------------------------------------------------------------------------------------------------


def two_people(one: np.ndarray) -> list[Any]:
    return [face(4, 6), face(36, 6, 22, 26)]


def forged(tmp_path: Path, at: slice, **clue: Any) -> Rows:
    """An original, a fake that differs from it in the columns `at`, and its mask."""
    root = tmp_path / "raw"
    pixels = [picture(number, 64, 48) for number in range(8)]
    swapped = [one.copy() for one in pixels]
    marks = [np.zeros_like(one) for one in pixels]
    for one, mark in zip(swapped, marks, strict=True):
        one[8:30, at] = 255 - one[8:30, at]
        mark[8:30, at] = 255
    write_video(root / "original.mp4", pixels=pixels)
    write_video(root / "fake.mp4", pixels=swapped)
    write_video(root / "mask.mp4", pixels=marks)
    mask = index_row(root, "mask.mp4")
    known = {"mask": "mask.mp4", "mask_frames": 8, "mask_sha256": mask["sha256"], "original": "original"}
    fake = index_row(root, "fake.mp4", label=1, **{name: known[name] for name in known if name.split("_")[0] in clue})
    return [index_row(root, "original.mp4"), fake]


@pytest.mark.parametrize("clue", ["mask", "original"])
@pytest.mark.parametrize(("at", "left"), [(slice(4, 24), 4), (slice(36, 58), 36)])
def test_the_forged_of_two_faces_is_taken(
    tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch, clue: str, at: slice, left: int
) -> None:
    searching(monkeypatch, two_people)
    rows = forged(tmp_path, at, **{clue: True})
    recipe = dataclasses.replace(MTCNN, min_face=20)
    frames = extract(footage(tmp_path / "raw", rows, recipe), rows, in_process)
    fakes, reals = frames[frames.label == 1], frames[frames.label == 0]
    assert set(fakes.chosen_by) == {clue} and set(fakes.box_x) == {left}
    assert set(reals.chosen_by) == {"track"} and set(reals.box_x) == {36}  # the larger one


def test_a_fake_with_two_faces_and_no_clue_is_flagged(
    tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, two_people)
    rows = forged(tmp_path, slice(4, 24))
    frames = extract(footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20)), rows, in_process)
    fakes = frames[frames.label == 1]
    assert set(fakes.chosen_by) == {"ambiguous_face"} and set(fakes.status) == {"kept"} and set(fakes.box_x) == {36}


def test_a_mask_that_changed_loses_the_fake(tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, two_people)
    rows = forged(tmp_path, slice(4, 24), mask=True)
    write_video(tmp_path / "raw/mask.mp4", 8)
    frames = extract(footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20)), rows, in_process)
    assert set(frames.reason[frames.label == 1]) == {"changed_since_index"} and set(
        frames.reason[frames.label == 0]
    ) == {""}


def test_a_clue_that_went_is_not_remembered(tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, two_people)
    rows = forged(tmp_path, slice(4, 24), mask=True)
    mask = tmp_path / "raw/mask.mp4"
    content = mask.read_bytes()
    mask.unlink()
    of = footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20))
    assert set(extract(of, rows, in_process).query("label == 1").reason) == {"missing"}
    mask.write_bytes(content)
    assert set(extract(of, rows, in_process).query("label == 1").chosen_by) == {"mask"}


def test_whom_other_frames_clear_is_not_taken_for_the_forged(
    tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one frame only the bystander, on the right, is found; the next frame in rank takes its place."""

    def find(one: np.ndarray) -> list[Any]:
        people = two_people(one)
        return people[1:] if np.abs(one[:8].astype(int) - picture(4, 64, 48)[:8]).mean() < 4 else people

    searching(monkeypatch, find)
    rows = forged(tmp_path, slice(4, 24), mask=True)
    of = footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20))
    frames = extract(of, rows, in_process)
    fakes = frames[frames.label == 1].set_index("frame")
    assert fakes.reason.to_dict() == {0: "", 2: "", 4: "not_the_forged_face", 6: ""}
    assert fakes.status[4] == "failed" and set(fakes.box_x[[0, 2, 6]]) == {4} and pd.isna(fakes.sha256[4])
    assert set(frames[frames.label == 0].reason) == {""}


def test_only_a_real_counts_as_original(tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, lambda one: [face(10, 6)])
    boxed(monkeypatch)
    rows = forged(tmp_path, slice(4, 24), original=True)
    rows.append(rows[1] | {"video": "of a fake", "original": "fake"})
    of = footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20), from_original=True)
    assert [of.box_original(row["video"]) for row in rows] == [None, "original", None]
    assert set(extract(of, rows, in_process).reason) == {""}


# --- boxes of the original -------------------------------------------------------------------------------------------


def boxed(monkeypatch: pytest.MonkeyPatch, probability: float = 0.95) -> None:
    """Put a stand-in in place of the check whether a face is at a box."""

    def at_boxes(one: np.ndarray, boxes: Any) -> list[Any]:
        return [face(*box, probability) for box in boxes]

    monkeypatch.setattr(answers.faces, "at_boxes", at_boxes)


def test_fakes_take_the_boxes_of_their_original(
    tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the original is searched, at the frames that it or the fake wants; where it has no face, neither has one."""

    def find(one: np.ndarray) -> list[Any]:
        return [] if np.abs(one.astype(int) - picture(4, 64, 48)).mean() < 4 else [face(int(one[0, 0, 2]) % 30, 6)]

    searched = searching(monkeypatch, find)
    boxed(monkeypatch)
    rows = forged(tmp_path, slice(4, 24), original=True)
    of = footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20), from_original=True)
    frames = extract(of, rows, in_process).set_index(["video", "frame"])
    assert len(searched) == 4
    original, fake = frames.loc["original"], frames.loc["fake"]
    assert original.reason.to_dict() == {0: "", 2: "", 4: "no_face", 6: ""}
    assert fake.reason.to_dict() == {0: "", 2: "", 4: "no_box_of_original", 6: ""}
    sides = [f"{kind}_{side}" for kind in ("box", "crop") for side in ("x", "y", "width", "height")]
    there = [0, 2, 6]
    assert original.loc[there, sides].equals(fake.loc[there, sides])
    assert original.box_x[there].nunique() > 1
    # Warm: nothing is asked for again.
    counts: dict[str, int] = {}
    extract(of, rows, counting(in_process, counts))
    assert counts == {}


def test_a_face_that_is_not_at_the_box(tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, lambda one: [face(10, 6)])
    boxed(monkeypatch, probability=0.2)
    rows = forged(tmp_path, slice(4, 24), original=True)
    of = footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20), from_original=True)
    frames = extract(of, rows, in_process)
    assert set(frames.reason[frames.label == 1]) == {"face_not_at_box"}


def test_an_original_that_lies_elsewhere_or_has_another_size(
    tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such fakes are searched by themselves; one that does not say what shape its pixels have is not such a one."""
    searched = searching(monkeypatch, lambda one: [face(10, 6)])
    boxed(monkeypatch)
    rows = forged(tmp_path, slice(4, 24), original=True)
    silent = rows[1] | {"video": "silent", "sample_aspect": None}
    rows[0]["sample_aspect"] = "1:1"
    write_video(tmp_path / "raw/large.mp4", 8, size=(128, 96))
    rows[1]["original"] = "?/elsewhere.mp4"
    rows.append(index_row(tmp_path / "raw", "large.mp4", label=1, original="original"))
    of = footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20), from_original=True)
    frames = extract(of, rows, in_process)
    assert set(frames.reason) == {""} and len(searched) == len(frames)
    extract(
        dataclasses.replace(of, videos={**of.videos, "silent": footage(tmp_path / "raw", [silent]).videos["silent"]}),
        [*rows, silent],
        in_process,
    )
    assert len(searched) == len(frames)


def test_what_the_machine_lost_of_the_original_is_lost_of_the_fake(
    tmp_path: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searching(monkeypatch, lambda one: [face(10, 6)])
    rows = forged(tmp_path, slice(4, 24), original=True)
    (tmp_path / "raw/original.mp4").unlink()
    of = footage(tmp_path / "raw", rows, dataclasses.replace(MTCNN, min_face=20), from_original=True)
    assert set(extract(of, rows, in_process).reason) == {"missing"}


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
