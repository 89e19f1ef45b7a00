"""Swap a face between two photographs: aligned by landmarks, colour-transferred, blended by a feathered mask.

Points are (5, 2) float64 arrays of x, y in pixels: left eye, right eye, nose, left and right mouth corner.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = np.ndarray  # RGB uint8 (height, width, 3)
Points = NDArray[np.float64]

RESOLUTION = 56  # pixels that the forged face's height is worth, as of a generator's small output


def fill_gaps(points: Points) -> Points:
    """Interpolate missing landmarks over time, and smooth the detector's jitter.

    `points` is (frames, 5, 2), NaN where a frame has none; at least one frame must have some. Before the first and
    after the last known frame the nearest known one stands.
    """
    known = np.flatnonzero(~np.isnan(points[:, 0, 0]))
    tracks = points.reshape(len(points), -1).T
    filled = np.array([np.interp(np.arange(len(points)), known, track[known]) for track in tracks])
    padded = np.pad(filled, ((0, 0), (2, 2)), mode="edge")
    smooth = np.array([np.convolve(track, (0.1, 0.2, 0.4, 0.2, 0.1), mode="valid") for track in padded])
    return smooth.T.reshape(points.shape)


def swap_face(target: Image, target_points: Points, donor: Image, donor_points: Points) -> Image:
    """Return `target` with the face of `donor`; pictures are RGB (height, width, 3)."""
    height, width = target.shape[:2]
    mask, (left, top, right, bottom) = _mask(target_points, height, width)
    if right - left < 4 or bottom - top < 4:
        return target
    turn = _similarity(donor_points, target_points - (left, top))
    size = (right - left, bottom - top)
    face = cv2.warpAffine(donor, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    share = min(1.0, RESOLUTION / size[1])
    small = (max(round(size[0] * share), 2), max(round(size[1] * share), 2))
    face = cv2.resize(cv2.resize(face, small, interpolation=cv2.INTER_AREA), size, interpolation=cv2.INTER_LINEAR)
    area = target[top:bottom, left:right]
    weight = mask[top:bottom, left:right].astype(np.float32)[..., None] / 255
    face = _recoloured(face, area, weight[..., 0] > 0.5)
    swapped = target.copy()
    swapped[top:bottom, left:right] = np.rint(area + (face.astype(np.float32) - area) * weight).astype(np.uint8)
    return swapped


def _mask(points: Points, height: int, width: int) -> tuple[Image, tuple[int, int, int, int]]:
    """Return a feathered oval from the brows to the chin, 0 to 255, and the left, top, right, bottom of its box."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    down = mouth - eyes
    length = float(np.hypot(*down))
    across = max(float(np.hypot(*(points[1] - points[0]))), 0.6 * length)
    middle = eyes + 0.5 * down
    axes = (round(1.0 * across), round(1.15 * length))
    angle = float(np.degrees(np.arctan2(-down[0], down[1])))
    mask: Image = np.zeros((height, width), np.uint8)
    centre = (round(float(middle[0])), round(float(middle[1])))
    cv2.ellipse(mask, centre, axes, angle, 0, 360, 255, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.16 * length, 1.0))
    reach = round(max(axes) + 0.5 * length) + 2
    box = (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
    return mask, (max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height))


def _similarity(source: Points, to: Points) -> NDArray[np.float64]:
    """Return the 2x3 matrix of the turn, scale and shift that brings `source` closest to `to` (least squares).

    With points as complex numbers this is the regression of one centred set on the other.
    """
    a, b = source[:, 0] + 1j * source[:, 1], to[:, 0] + 1j * to[:, 1]
    a0, b0 = a - a.mean(), b - b.mean()
    turn = (a0.conj() * b0).sum() / max(float((abs(a0) ** 2).sum()), 1e-9)
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def _recoloured(face: Image, like: Image, inside: NDArray[np.bool_]) -> Image:
    """Give `face` the mean and spread that `like` has `inside`, per channel of Lab (Reinhard et al., 2001)."""
    if not inside.any():
        return face
    own = cv2.cvtColor(face, cv2.COLOR_RGB2LAB).astype(np.float32)
    other = cv2.cvtColor(np.ascontiguousarray(like), cv2.COLOR_RGB2LAB).astype(np.float32)
    gain = np.clip(other[inside].std(axis=0) / np.maximum(own[inside].std(axis=0), 1), 0.6, 1.6)
    own = (own - own[inside].mean(axis=0)) * gain + other[inside].mean(axis=0)
    return cv2.cvtColor(np.clip(np.rint(own), 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
