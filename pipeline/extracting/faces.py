"""Find faces in a frame with MTCNN, and say which of them are usable.

The detector's boxes move by up to 6e-5 pixels with threads, batch size and processor features. So on the CPU it runs
on one thread and one frame, and what it says is rounded (boxes and landmarks to whole pixels, probabilities to three
digits) before anything uses it.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import cv2
import numpy as np

from pipeline import machine

if TYPE_CHECKING:
    from pipeline.extracting.mtcnn import Found

Box = tuple[int, int, int, int]  # x, y, width, height, pixels of the upright frame

# MTCNN's first network sees 12 pixels; below 20 it finds little but noise.
SMALLEST_DETECTABLE = 20

# The smallest square that is looked at, as a multiple of the smallest face: it finds faces from 0.7 of its side on.
WINDOW = 1.4


@dataclass(frozen=True)
class Face:
    """A face in pixels of the frame it was found in.

    `landmarks` are x, y of left eye, right eye, nose, left and right mouth corner, as seen in the picture.
    """

    box: Box
    landmarks: tuple[int, ...]
    probability: float


def detector_version() -> str:
    """Return what decides the detector's answers, as text."""
    return f"mtcnn of facenet-pytorch {version('facenet-pytorch')}, torch {version('torch')}, opencv {cv2.__version__}"


def detect(pictures: Sequence[np.ndarray], min_face: int, detection_side: int) -> list[list[Face]]:
    """Return the faces in each of `pictures` (RGB uint8 (height, width, 3)), most probable first, in its own pixels.

    A picture whose longer side exceeds `detection_side` pixels is scaled down to it for the search, so that
    `min_face` pixels may become too few to find: then the smallest detectable size is searched for.
    On the CPU pictures are searched one by one; on a GPU those of equal size together, so that it must hold them all.
    """
    device = machine.device()
    batches: dict[Hashable, list[int]] = defaultdict(list)
    for place, picture in enumerate(pictures):
        batches[place if device == "cpu" else picture.shape].append(place)
    found: dict[int, list[Face]] = {}
    for places in batches.values():
        batch = [pictures[place] for place in places]
        found |= zip(places, detect_batch(batch, min_face, detection_side, device), strict=True)
    return [found[place] for place in range(len(pictures))]


def detect_batch(pictures: Sequence[np.ndarray], min_face: int, detection_side: int, device: str) -> list[list[Face]]:
    """Return what `detect` does, for pictures of one size, in one batch on `device` (cpu or cuda)."""
    from pipeline.extracting import mtcnn

    height, width = pictures[0].shape[:2]
    scale = min(1.0, detection_side / max(height, width))
    smaller = pictures
    if scale < 1:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        smaller = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    shorter_side = min(smaller[0].shape[:2])
    if shorter_side <= max(SMALLEST_DETECTABLE, int(min_face * scale)):  # no room for the smallest face
        return [[] for _ in pictures]
    window = min(max(SMALLEST_DETECTABLE, WINDOW * min_face * scale), shorter_side)
    return [_by_probability(_faces(found)) for found in mtcnn.search(pictures, smaller, window, device)]


def at_boxes(picture: np.ndarray, boxes: Sequence[Box]) -> list[Face]:
    """Return for each of `boxes` in `picture` (RGB uint8 (height, width, 3)) how probable a face there is.

    The boxes stay as they are; probability and landmarks are those of MTCNN's last network, which looks at the square
    around each box. A box may reach beyond the picture.
    """
    if not boxes:
        return []
    from pipeline.extracting import mtcnn

    corners = np.array([(x, y, x + width, y + height) for x, y, width, height in boxes], np.float32)
    return _faces(mtcnn.confirm(picture, corners, machine.device()))


def _faces(found: "Found") -> list[Face]:
    """Return what the detector found, rounded, in its order."""
    corners = np.rint(found.boxes).astype(int)
    points = np.rint(found.landmarks).astype(int).reshape(-1, 10)
    return [
        Face((x, y, right - x, bottom - y), tuple(landmarks), round(probability, 3))
        for (x, y, right, bottom), landmarks, probability in zip(
            corners.tolist(), points.tolist(), found.probabilities.tolist(), strict=True
        )
    ]


def _by_probability(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: (-face.probability, face.box))


def why_unusable(face: Face, min_face: int, min_probability: float) -> str:
    """Return why a face does not count, improbable_face or small_face (longer side, in pixels), or ""."""
    if face.probability < min_probability:
        return "improbable_face"
    if max(face.box[2:]) < min_face:
        return "small_face"
    return ""
