from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import faces, video
from pipeline.faces import Face

sides = st.integers(20, 300)
boxes = st.tuples(st.integers(-100, 400), st.integers(-100, 400), sides, sides)
margins = st.floats(0, 1)


# --- geometry --------------------------------------------------------------------------------------------------------


@given(box=boxes, margin=margins)
def test_the_square_holds_the_box_in_its_middle(box: tuple[int, int, int, int], margin: float) -> None:
    x, y, width, height = box
    left, top, side = faces.square_around(box, margin)
    assert side == round(max(width, height) * (1 + 2 * margin))
    assert left <= x and top <= y and left + side >= x + width and top + side >= y + height
    assert abs((left + side / 2) - (x + width / 2)) <= 1
    assert abs((top + side / 2) - (y + height / 2)) <= 1


@given(box=boxes, small=margins, large=margins)
def test_a_smaller_margin_lies_within_a_larger_one(box: tuple[int, int, int, int], small: float, large: float) -> None:
    """So shard.margin up to extract.margin can be cut out of the loose crop."""
    small, large = sorted((small, large))
    x, y, side = faces.square_around(box, small)
    outer_x, outer_y, outer_side = faces.square_around(box, large)
    assert outer_x <= x and outer_y <= y and x + side <= outer_x + outer_side and y + side <= outer_y + outer_side


@given(box=boxes, margin=margins, width=st.integers(20, 300), height=st.integers(20, 300))
def test_the_part_within_the_frame(box: tuple[int, int, int, int], margin: float, width: int, height: int) -> None:
    square = faces.square_around(box, margin)
    x, y, part_width, part_height = faces.clip_to_frame(square, width, height)
    inside = np.zeros((height, width), bool)
    rows, columns = np.ogrid[:height, :width]
    inside[
        (rows >= square[1])
        & (rows < square[1] + square[2])
        & (columns >= square[0])
        & (columns < square[0] + square[2])
    ] = True
    if not inside.any():
        assert part_width <= 0 or part_height <= 0
        return
    assert x >= 0 and y >= 0 and x + part_width <= width and y + part_height <= height
    assert inside[y : y + part_height, x : x + part_width].all() and inside.sum() == part_width * part_height


@given(
    box=st.tuples(st.integers(-20, 90), st.integers(-20, 70), st.integers(21, 80), st.integers(21, 80)),
    margin=st.floats(0, 0.5),
    size=st.sampled_from([16, 32, 57]),
)
def test_the_final_picture_is_the_same_from_frame_and_loose_crop(
    box: tuple[int, int, int, int], margin: float, size: int
) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (80, 100, 3)).astype(np.uint8)
    x, y, width, height = faces.clip_to_frame(faces.square_around(box, 0.5), 100, 80)
    loose = frame[y : y + height, x : x + width]
    from_loose = faces.final_picture(loose, (x, y), box, margin, size)
    assert from_loose.shape == (size, size, 3) and from_loose.dtype == np.uint8
    assert np.array_equal(from_loose, faces.final_picture(frame, (0, 0), box, margin, size))


def test_the_final_picture_repeats_the_edge_beyond_the_frame() -> None:
    frame = np.zeros((40, 40, 3), np.uint8)
    frame[:, 0] = 255
    picture = faces.final_picture(frame, (0, 0), (-20, 0, 40, 40), 0, 40)
    assert (picture[:, :21] == 255).all() and (picture[:, 21:] == 0).all()


def test_the_final_picture_of_equal_size_is_a_plain_cut() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (60, 60, 3)).astype(np.uint8)
    assert np.array_equal(faces.final_picture(frame, (0, 0), (10, 20, 32, 32), 0, 32), frame[20:52, 10:42])


def test_sharpness_falls_with_blur() -> None:
    sharp = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    blurred = sharp.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    assert faces.sharpness(sharp) > faces.sharpness(blurred) > faces.sharpness(np.full_like(sharp, 7)) == 0


# --- choice ----------------------------------------------------------------------------------------------------------


def face(side: int, probability: float, x: int = 0) -> Face:
    return Face(box=(x, 0, side, side), landmarks=(0,) * 10, probability=probability)


@pytest.mark.parametrize(
    ("found", "side", "reason"),
    [
        ([], None, "no_face"),
        ([face(80, 0.89)], None, "improbable_face"),
        ([face(39, 0.99)], None, "small_face"),
        ([face(39, 0.99), face(80, 0.5)], None, "small_face"),
        ([face(40, 0.9)], 40, ""),
        ([face(50, 0.99), face(60, 0.91), face(90, 0.8)], 60, ""),
    ],
)
def test_the_largest_usable_face_is_chosen(found: list[Face], side: int | None, reason: str) -> None:
    chosen, why = faces.choose(found, 40, 0.9)
    assert (chosen.box[2] if chosen else None, why) == (side, reason)


def test_the_choice_does_not_depend_on_the_order() -> None:
    twins = [face(50, 0.95, x=10), face(50, 0.95, x=90), face(50, 0.94, x=200)]
    assert {faces.choose(order, 40, 0.9)[0] for order in (twins, twins[::-1])} == {twins[1]}


# --- detection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (19, 200), (21, 21), (40, 40), (41, 41), (36, 1280), (2000, 25)])
def test_a_picture_too_small_for_the_smallest_face(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert faces.detect(noise, 40, 640) == []


def test_real_faces_are_found_and_scaled_back(clips: Path) -> None:
    path = clips / "faces/webcam_talking.mp4"
    facts = video.scan(path)
    _, picture, _ = next(iter(video.decode(path, [facts["pts"][100]], [facts["pts"][0]])))
    assert picture is not None
    (found,) = faces.detect(picture, 40, 640)
    assert found.probability >= 0.99 and found.probability == round(found.probability, 3)
    x, y, width, height = found.box
    height_of_frame, width_of_frame = picture.shape[:2]
    assert 0 < x < x + width < width_of_frame and 0 < y < y + height < height_of_frame
    left_eye, right_eye, nose, left_mouth, right_mouth = zip(found.landmarks[::2], found.landmarks[1::2], strict=True)
    assert left_eye[0] < nose[0] < right_eye[0] and left_eye[1] < nose[1] < left_mouth[1]
    assert left_mouth[0] < right_mouth[0]
    assert found == faces.detect(picture, 40, 640)[0]

    (small,) = faces.detect(picture, 40, 240)  # searched at 0.6 of the size
    near = np.array([small.box[0] - x, small.box[1] - y, small.box[2] - width, small.box[3] - height])
    assert np.abs(near).max() < 0.25 * width
