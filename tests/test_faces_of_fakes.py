"""Which of several faces is taken, and fakes that take the boxes of their originals."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fabricated_videos import picture, write_video
from footage_of import MTCNN, counting, extract, face, footage, index_row, searching
from pipeline.extracting import answers

Rows = list[dict[str, Any]]


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
