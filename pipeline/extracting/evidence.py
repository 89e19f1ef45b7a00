"""Evidence of which face of a fake was forged: what its mask marks there, or how it differs from the original."""

import cv2
import numpy as np

from pipeline.extracting.faces import Box

PATCH = 64  # pixels; side of the grey picture of a face in which a fake is held against its original
MARKED = 64  # grey level from which a mask marks; compression leaves lower ones around it


def share_marked(mask: np.ndarray, box: Box, size: tuple[int, int]) -> float | None:
    """Return the share of `box` that a mask marks, 0 to 1; None for a box beyond the frame.

    `mask` is the mask's picture, RGB uint8 (height, width, 3); the box is in pixels of the fake's frame, which has
    `size` (height, width), and the mask is scaled to that.
    """
    marked = (mask.max(axis=2) >= MARKED).astype(np.uint8)
    if marked.shape != size:
        marked = cv2.resize(marked, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    inside = _cut(marked, box)
    return round(float(inside.mean()), 3) if inside.size else None


def difference(original: np.ndarray, box: Box, size: tuple[int, int], face: np.ndarray) -> float | None:
    """Return the mean absolute difference of a fake's face from the original there, grey levels, 0 to 255.

    `original` is the original's picture of this frame, RGB uint8 (height, width, 3), `face` the `patch` of the fake at
    `box`. None where the original has another size than the fake's, `size` (height, width).
    """
    if original.shape[:2] != size:
        return None
    return round(float(np.abs(patch(original, box).astype(np.int16) - face).mean()), 3)


def patch(picture: np.ndarray, box: Box) -> np.ndarray:
    """Return the face in `box` of an RGB picture as a small grey one, uint8 (PATCH, PATCH)."""
    grey = cv2.cvtColor(_cut(picture, box), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (PATCH, PATCH), interpolation=cv2.INTER_AREA)


def _cut(picture: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of `box` that lies in the picture."""
    x, y, width, height = box
    return picture[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
