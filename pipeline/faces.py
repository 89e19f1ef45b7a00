"""Find the face in a frame with MTCNN (Zhang et al., 2016, as shipped in facenet-pytorch) and cut it out.

The detector's boxes move by up to 6e-5 pixels with threads, batch size and processor features. So it runs on one
thread and one frame, and what it says is rounded (boxes and landmarks to whole pixels, probabilities to three digits)
before anything uses it.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np

# MTCNN's first network sees 12 pixels; below 20 it finds little but noise.
SMALLEST_DETECTABLE = 20


@dataclass(frozen=True)
class Face:
    """A detected face in pixels of the frame it was found in.

    `box` is x, y, width, height; `landmarks` are x, y of left eye, right eye, nose, left and right mouth corner.
    """

    box: tuple[int, int, int, int]
    landmarks: tuple[int, ...]
    probability: float


def detector_version() -> str:
    """Return what decides the detector's answers, as text."""
    return f"mtcnn of facenet-pytorch {version('facenet-pytorch')}, torch {version('torch')}, opencv {cv2.__version__}"


@lru_cache(maxsize=4)
def _mtcnn(smallest: int) -> Any:
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(1)
    return MTCNN(keep_all=True, device="cpu", min_face_size=smallest)


def detect(picture: np.ndarray, min_face: int, detection_side: int) -> list[Face]:
    """Return the faces in `picture` (RGB uint8 (height, width, 3)), most probable first, in its own pixels.

    A picture whose longer side exceeds `detection_side` pixels is scaled down to it for the search, so that
    `min_face` pixels may become too few to find: then the smallest detectable size is searched for.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, detection_side / max(height, width))
    small = picture
    if scale < 1:
        size = (round(width * scale), round(height * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    smallest = max(SMALLEST_DETECTABLE, int(min_face * scale))
    if min(small.shape[:2]) <= smallest:  # MTCNN raises on a picture that cannot hold the smallest face
        return []
    boxes, probabilities, landmarks = _mtcnn(smallest).detect(small, landmarks=True)
    if boxes is None:
        return []
    to_frame = np.array([width / small.shape[1], height / small.shape[0]])
    corners = np.rint(np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2) * to_frame).astype(int)
    points = np.rint(np.asarray(landmarks, dtype=np.float64) * to_frame).astype(int)
    return [
        Face(
            box=(int(x), int(y), int(right - x), int(bottom - y)),
            landmarks=tuple(map(int, face_points.ravel())),
            probability=round(float(probability), 3),
        )
        for ((x, y), (right, bottom)), probability, face_points in zip(corners, probabilities, points, strict=True)
    ]


def choose(faces: list[Face], min_face: int, min_probability: float) -> tuple[Face | None, str]:
    """Return the largest face that is probable and large enough and "", or None and the reason why there is none."""
    if not faces:
        return None, "no_face"
    probable = [face for face in faces if face.probability >= min_probability]
    if not probable:
        return None, "improbable_face"
    large = [face for face in probable if max(face.box[2:]) >= min_face]
    if not large:
        return None, "small_face"
    return max(large, key=lambda face: (face.box[2] * face.box[3], face.probability, face.box)), ""


def square_around(box: tuple[int, int, int, int], margin: float) -> tuple[int, int, int]:
    """Return x, y, side of the square centred on `box` with `margin` times its longer side added on each side."""
    x, y, width, height = box
    side = round(max(width, height) * (1 + 2 * margin))
    return x + (width - side) // 2, y + (height - side) // 2, side


def clip_to_frame(square: tuple[int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the part of `square` (x, y, side) that lies in a frame of width x height."""
    x, y, side = square
    left, top = max(x, 0), max(y, 0)
    return left, top, min(x + side, width) - left, min(y + side, height) - top


def sharpness(picture: np.ndarray) -> float:
    """Return the variance of the Laplacian of the grey picture (Pech-Pacheco et al., 2000), two digits."""
    return round(float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_16S).astype(np.int64).var()), 2)


def final_picture(
    loose: np.ndarray, at: tuple[int, int], box: tuple[int, int, int, int], margin: float, size: int
) -> np.ndarray:
    """Cut the final square out of a loose crop and scale it.

    `loose` is uint8 (height, width, 3) with its upper left corner at `at` of the frame; `box` is the face in pixels of
    the frame. Where the square reaches beyond the frame, the edge pixels are repeated.
    Returns uint8 (size, size, 3).
    """
    x, y, side = square_around(box, margin)
    x, y = x - at[0], y - at[1]
    left, top, width, height = clip_to_frame((x, y, side), loose.shape[1], loose.shape[0])
    square = cv2.copyMakeBorder(
        loose[top : top + height, left : left + width],
        top - y,
        side - height - (top - y),
        left - x,
        side - width - (left - x),
        cv2.BORDER_REPLICATE,
    )
    shrinking = side > size
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
