"""Geometry of crops: the loose crop around a face, and the final picture that is made from it alone.

A loose crop holds more than any final picture needs, at native size. So another margin, size or alignment is derived
from it without touching video again. Boxes and points are in pixels of the upright frame.
"""

from collections.abc import Sequence
from math import ceil
from typing import Literal

import cv2
import numpy as np

Alignment = Literal["none", "margin", "similarity"]

# Where ArcFace and InsightFace put left eye, right eye, nose, left and right mouth corner in a picture of 112 x 112.
TEMPLATE_SIDE = 112
TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))


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
    edges = cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    return round(float(cv2.meanStdDev(edges)[1].item()) ** 2, 2)


def encode(picture: np.ndarray, quality: int | None) -> bytes:
    """Return `picture` (RGB uint8 (height, width, 3)) as PNG, or as JPEG of `quality` (1 to 100) where one is given.

    The JPEG's Huffman tables are fitted to the picture: some percent smaller, the same pixels.
    """
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    jpeg = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return bytes(cv2.imencode(".png" if quality is None else ".jpg", bgr, jpeg)[1].tobytes())


def final_picture(
    loose: np.ndarray,
    at: tuple[int, int],
    box: tuple[int, int, int, int] | None,
    landmarks: Sequence[int],
    *,
    alignment: Alignment,
    margin: float,
    size: int,
) -> np.ndarray:
    """Make the final picture, uint8 (size, size, 3), out of a loose crop.

    `loose` is uint8 (height, width, 3) with its upper left corner at `at` of the frame; `box` is the face and
    `landmarks` are x, y of left eye, right eye, nose, left and right mouth corner; None and empty without a face.
    `alignment` says what the picture shows:
    none: the loose crop itself, squeezed into the square; so is what has no face, whatever the alignment;
    margin: the square around the box with `margin` times the box's longer side added on each side;
    similarity: the face turned, scaled and moved so that its landmarks lie on TEMPLATE, with `margin` times the
    template's side added on each side.
    Where this reaches beyond the loose crop, the edge pixels are repeated.
    Raises ValueError where similarity is asked for and all landmarks lie on one point.
    """
    if alignment == "none" or box is None or not landmarks:
        return _scaled(loose, size, size)
    if alignment == "margin":
        return _scaled(_square(loose, at, square_around(box, margin)), size, size)
    return _aligned(loose, at, landmarks, margin, size)


def _square(loose: np.ndarray, at: tuple[int, int], square: tuple[int, int, int]) -> np.ndarray:
    """Cut `square` (x, y, side in the frame) out of the loose crop at `at`; edge pixels are repeated beyond it."""
    x, y, side = square[0] - at[0], square[1] - at[1], square[2]
    left, top, width, height = clip_to_frame((x, y, side), loose.shape[1], loose.shape[0])
    return cv2.copyMakeBorder(
        loose[top : top + height, left : left + width],
        top - y,
        side - height - (top - y),
        left - x,
        side - width - (left - x),
        cv2.BORDER_REPLICATE,
    )


def _aligned(loose: np.ndarray, at: tuple[int, int], landmarks: Sequence[int], margin: float, size: int) -> np.ndarray:
    """Bring the landmarks onto TEMPLATE by the least-squares similarity (Umeyama, 1991, without mirroring).

    Points of the plane are complex numbers, so that a similarity is z -> turn * z + shift.
    """
    seen = _points(np.reshape(landmarks, (5, 2)) - at)
    wanted = (_points(np.array(TEMPLATE)) / TEMPLATE_SIDE + margin * (1 + 1j)) * (size / (1 + 2 * margin))
    spread = seen - seen.mean()
    if not spread.any():
        raise ValueError(f"no similarity: all landmarks lie on one point, {landmarks[0]}, {landmarks[1]}")
    turn = (spread.conj() @ wanted) / (spread.conj() @ spread).real
    shift = wanted.mean() - turn * seen.mean()

    # The warp takes single points of the loose crop, which would alias where it shrinks. So it makes a picture that is
    # whole times finer, and areas of that are averaged. Only of landmarks that are nonsense is more than twice the
    # crop's side too little.
    finer = max(1, ceil(min(1 / abs(turn), 2 * max(loose.shape[:2]) / size)))
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]]) * finer
    # OpenCV counts from the centre of the first pixel, not from its corner.
    move = np.array([shift.real, shift.imag]) * finer + linear @ [0.5, 0.5] - 0.5
    side = size * finer
    fine = cv2.warpAffine(
        loose, np.column_stack([linear, move]), (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return _scaled(fine, size, size)


def _points(pixels: np.ndarray) -> np.ndarray:
    """Return the centres of `pixels` (points, 2) as complex numbers."""
    return (pixels[:, 0] + 0.5) + 1j * (pixels[:, 1] + 0.5)


def _scaled(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale to `width` x `height` pixels: averaged over areas where that shrinks, cubic where it enlarges."""
    less = (min(width, picture.shape[1]), min(height, picture.shape[0]))
    picture = cv2.resize(picture, less, interpolation=cv2.INTER_AREA)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
