from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import machine
from pipeline.extracting import faces
from pipeline.extracting.faces import Box, Face

PEOPLE = {
    "asl_bird.mkv": 20,
    "asl_eat.mkv": 15,
    "head_pose_male.gif": 1,
    "office_720p.264": 6,
    "webcam_talking.mp4": 90,
}


def frames(path: Path, step: int, count: int) -> list[np.ndarray]:
    """Every `step`-th frame of a clip, RGB uint8."""
    with av.open(str(path)) as container:
        return [
            frame.to_ndarray(format="rgb24")
            for frame in islice(container.decode(video=0), step, step * (count + 1), step)
        ]


@pytest.fixture(scope="module")
def pictures(clips: Path) -> list[np.ndarray]:
    """Three frames of each of five people, one face in each; 400x300 to 1280x720."""
    return [picture for name, step in PEOPLE.items() for picture in frames(clips / "faces" / name, step, 3)]


@pytest.fixture(scope="module")
def found(pictures: list[np.ndarray]) -> list[list[Face]]:
    """What the detector finds in `pictures`."""
    return faces.detect(pictures, 40, 640)


def overlap(some: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    width = min(some[0] + some[2], other[0] + other[2]) - max(some[0], other[0])
    height = min(some[1] + some[3], other[1] + other[3]) - max(some[1], other[1])
    common = max(width, 0) * max(height, 0)
    return common / (some[2] * some[3] + other[2] * other[3] - common)


def furthest(some: list[Face], others: list[Face]) -> int:
    """The largest difference of boxes and landmarks, in pixels, of the same faces in the same order."""
    assert len(some) == len(others)
    values = [np.array([(*face.box, *face.landmarks) for face in both]) for both in (some, others)]
    return int(np.abs(values[0] - values[1]).max(initial=0))


# --- detection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (19, 200), (21, 21), (40, 40), (41, 41), (36, 1280), (2000, 25), (1, 2000)])
def test_a_picture_too_small_for_the_smallest_face(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    assert faces.detect([noise], 40, 640) == [[]]


@pytest.mark.parametrize("shape", [(50, 51), (97, 333), (360, 640), (1080, 1920)])
def test_where_nobody_is(shape: tuple[int, int]) -> None:
    assert faces.detect([np.full((*shape, 3), 90, np.uint8)], 40, 640) == [[]]
    assert faces.detect([], 40, 640) == []


def test_real_faces_are_found(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    for picture, (face,) in zip(pictures, found, strict=True):
        assert face.probability >= 0.99 and face.probability == round(face.probability, 3)
        assert all(type(value) is int for value in (*face.box, *face.landmarks)) and type(face.probability) is float
        x, y, width, height = face.box
        assert 0 < x < x + width < picture.shape[1] and 0 < y < y + height < picture.shape[0]
        left_eye, right_eye, nose, left_mouth, right_mouth = np.reshape(face.landmarks, (5, 2))
        assert x < left_eye[0] < right_eye[0] < x + width and left_mouth[0] < right_mouth[0]
        assert y < left_eye[1] < nose[1] < left_mouth[1] < y + height


def test_faces_are_those_of_facenet_pytorch(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    from facenet_pytorch import MTCNN

    for picture, (face,) in list(zip(pictures, found, strict=True))[::3]:
        boxes, probabilities, landmarks = MTCNN(min_face_size=40).detect(picture, landmarks=True)
        best = int(np.argmax(probabilities))
        left, top, right, bottom = boxes[best]
        assert overlap(face.box, (left, top, right - left, bottom - top)) > 0.8
        assert np.abs(np.reshape(face.landmarks, (5, 2)) - landmarks[best]).max() < 0.06 * max(face.box[2:])


def test_a_scaled_search_finds_the_same_faces(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    for picture, (face,) in list(zip(pictures, found, strict=True))[::3]:
        longer = max(picture.shape)
        for side in (longer, longer * 3 // 4, longer // 2):
            (again,) = faces.detect([picture], 40, side)[0]
            assert overlap(face.box, again.box) > 0.75
            assert np.abs(np.subtract(face.landmarks, again.landmarks)).max() < 0.08 * max(face.box[2:])


@pytest.mark.parametrize("side", [40, 60, 90, 140, 300])
def test_faces_from_the_smallest_size_on_are_found(
    pictures: list[np.ndarray], found: list[list[Face]], side: int
) -> None:
    for picture, (face,) in list(zip(pictures, found, strict=True))[::3]:
        scale = (side + 2) / max(face.box[2:])
        scaled = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        frame = np.full((720, 1280, 3), 127, np.uint8)
        x, y = (max(int(place * scale) - 200, 0) for place in face.box[:2])
        part = scaled[y : y + 720, x : x + 1280]
        frame[: part.shape[0], : part.shape[1]] = part
        (again,) = [one for one in faces.detect([frame], 40, 640)[0] if one.probability >= 0.9]
        assert overlap(again.box, np.multiply(face.box, scale) - (x, y, 0, 0)) > 0.6


def test_several_faces_the_most_probable_first(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    crowd = np.zeros((480, 1040, 3), np.uint8)
    crowd[:, :640], crowd[:300, 640:] = pictures[0], pictures[-1]
    crowd[:, :640] = cv2.GaussianBlur(crowd[:, :640], (0, 0), 3)
    both = faces.detect([crowd], 40, 1040)[0]
    assert len(both) == 2 and both[0].probability >= both[1].probability
    expected = [found[0][0].box, np.add(found[-1][0].box, (640, 0, 0, 0)).tolist()]
    assert all(max(overlap(face.box, box) for face in both) > 0.7 for box in expected)


def test_a_face_cut_off_by_the_edge(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    x, y, width, height = found[-1][0].box
    (face,) = faces.detect([pictures[-1][:, x + width // 5 :]], 40, 640)[0]
    assert overlap(face.box, (-(width // 5), y, width, height)) > 0.7


@pytest.mark.parametrize("side", [64, 128, 256])
def test_a_face_that_fills_the_picture(pictures: list[np.ndarray], found: list[list[Face]], side: int) -> None:
    for picture, (face,) in list(zip(pictures, found, strict=True))[::3]:
        x, y, width, height = face.box
        tight = cv2.resize(picture[y : y + height, x : x + width], (side, side), interpolation=cv2.INTER_AREA)
        (again,) = faces.detect([tight], 40, 640)[0]
        assert overlap(again.box, (0, 0, side, side)) > 0.6


def test_the_same_answer_each_time(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    assert faces.detect(pictures[::-1], 40, 640) == found[::-1]


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_finds_what_single_frames_give(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    for start in range(0, len(pictures), 3):
        batch = [*pictures[start : start + 3], np.zeros_like(pictures[start])]
        together = faces.detect_batch(batch, 40, 640, "cpu")
        for some, others in zip(together, [*found[start : start + 3], []], strict=True):
            assert furthest(some, others) <= 1


def test_a_gpu_gets_pictures_of_one_size_together(
    pictures: list[np.ndarray], found: list[list[Face]], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []

    def on_cpu(batch: Sequence[np.ndarray], min_face: int, detection_side: int, device: str) -> list[list[Face]]:
        batches.append((device, len(batch)))
        return search(batch, min_face, detection_side, "cpu")

    search = faces.detect_batch
    monkeypatch.setattr(machine, "device", lambda: "cuda")
    monkeypatch.setattr(faces, "detect_batch", on_cpu)
    mixed = list(range(0, 15, 2))  # of each clip one or two frames
    together = faces.detect([pictures[place] for place in mixed], 40, 640)
    assert all(furthest(some, found[place]) <= 1 for some, place in zip(together, mixed, strict=True))
    assert sorted(batches) == [("cuda", 1), ("cuda", 2), ("cuda", 2), ("cuda", 3)]  # two clips are of one size


# --- given boxes -----------------------------------------------------------------------------------------------------


def test_at_boxes_confirms_faces_and_rejects_other_places(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    for picture, (face,) in zip(pictures, found, strict=True):
        x, y, width, height = face.box
        beside: list[Box] = [
            (x - width, y, width, height),
            (x + width, y, width, height),
            (x, y + height, width, height),
        ]
        here, *others = faces.at_boxes(picture, [face.box, *beside])
        assert here.box == face.box and [other.box for other in others] == beside
        assert here.probability >= 0.95
        assert max(other.probability for other in others) < 0.8
        assert np.abs(np.subtract(here.landmarks, face.landmarks)).max() <= 0.08 * max(face.box[2:])


def test_at_boxes_is_told_by_the_box_alone(pictures: list[np.ndarray], found: list[list[Face]]) -> None:
    x, y, width, height = found[0][0].box
    boxes: list[Box] = [(x, y, width, height), (x + 5, y - 4, width + 6, height), (0, 0, 60, 60)]
    together = faces.at_boxes(pictures[0], boxes)
    single = [faces.at_boxes(pictures[0], [box])[0] for box in boxes]
    assert furthest(together, single) <= 1
    assert [face.probability for face in together] == pytest.approx([face.probability for face in single], abs=0.001)
    assert faces.at_boxes(pictures[0], []) == []


@pytest.mark.parametrize("cut", [0.1, 0.2])
def test_at_boxes_that_reach_beyond_the_picture(
    pictures: list[np.ndarray], found: list[list[Face]], cut: float
) -> None:
    for picture, (face,) in list(zip(pictures, found, strict=True))[::3]:
        x, y, width, height = face.box
        start = x + int(cut * width)
        box = (x - start, y, width, height)
        (there,) = faces.at_boxes(picture[:, start:], [box])
        assert there.box == box and there.probability >= 0.6
        moved = np.add(there.landmarks, (start, 0) * 5)
        assert np.abs(np.subtract(moved, face.landmarks)).max() <= 0.08 * max(face.box[2:])


@pytest.mark.parametrize("box", [(-200, 0, 60, 60), (0, 5000, 80, 90), (30, 30, 0, 0), (99, 99, 40, 40), (0, 0, 1, 1)])
def test_at_boxes_where_there_is_no_picture(box: Box) -> None:
    (face,) = faces.at_boxes(np.full((100, 100, 3), 200, np.uint8), [box])
    assert face.box == box and face.probability < 0.5


# --- usable ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "probability", "reason"),
    [
        (80, 80, 0.89, "improbable_face"),
        (39, 39, 0.99, "small_face"),
        (39, 39, 0.5, "improbable_face"),
        (30, 40, 0.9, ""),
        (40, 30, 1.0, ""),
    ],
)
def test_why_a_face_is_unusable(width: int, height: int, probability: float, reason: str) -> None:
    assert faces.why_unusable(Face((0, 0, width, height), (0,) * 10, probability), 40, 0.9) == reason


@given(side=st.integers(1, 300), probability=st.floats(0, 1), min_face=st.integers(20, 200), least=st.floats(0.5, 1))
def test_usable_is_large_and_probable(side: int, probability: float, min_face: int, least: float) -> None:
    reason = faces.why_unusable(Face((0, 0, side, side), (0,) * 10, probability), min_face, least)
    assert (reason == "") == (side >= min_face and probability >= least)


def test_the_version_names_what_makes_the_boxes() -> None:
    for name in ("facenet-pytorch 2", "torch 2", f"opencv {cv2.__version__}"):
        assert name in faces.detector_version()
