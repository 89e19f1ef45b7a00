"""Self-blended images: fakes made of one real picture (Shiohara and Yamasaki, CVPR 2022, arXiv 2204.08376).

A face swap leaves a border where two pictures meet that differ in colour, sharpness and position. Here both pictures
are versions of the same one, so that this border is all there is to learn, whatever method made the fake.

What differs from the paper:
- Its mask is the convex hull of 81 facial landmarks. Stored pictures have none, and how much room they leave around
  the face is known only roughly: the mask is an ellipse of a face's proportions about the middle of the upright
  square, of random size, shape and place.
- Its mask is deformed, blurred, cut off and blurred again, which shrinks or grows it; here the size is random anyway,
  and one blur is enough.
- The limits of the changes are our own where a constant below does not say otherwise, chosen by eye.
"""

import cv2
import numpy as np

from pipeline.models import colours

Picture = np.ndarray

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # how much of the source is seen; the paper's, each as likely
HEIGHTS = (0.24, 0.36)  # half the mask's height, as a share of the picture's side
WIDTHS = (0.65, 0.85)  # its width, as a share of its height
WAVES = 5  # points of the grid, across and down, that the mask's outline is pulled by
PULL = 0.03  # standard deviation of that pull, as a share of the side
EDGE = (0.01, 0.05)  # standard deviation of the mask's blur, as a share of the side
DRAWN = 64  # side that the mask is drawn at, pixels: its edge is soft enough to be scaled up to any picture
SCALES = (0.95, 1 / 0.95)  # of the source, across and down
OFFSET = 0.03  # of the source, at most, as a share of the side


def self_blended(picture: Picture, chance: np.random.Generator) -> Picture:
    """Return a fake made of the real `picture`: uint8 RGB (side, side, 3), with the face upright about the middle.

    One of two copies gets other colours and another sharpness; either the changed or the other copy is moved a little
    and put over the rest through a soft mask. `chance` is drawn from a number of times that nothing but the side
    decides.
    """
    changed = _resharpened(_recoloured(picture, chance), chance)
    source, target = (changed, picture) if chance.random() < 0.5 else (picture, changed)
    mask = mask_of_a_face(picture.shape[0], chance) * np.float32(RATIOS[chance.integers(len(RATIOS))])
    return cv2.blendLinear(_moved(source, chance), target, mask, 1 - mask)


def mask_of_a_face(side: int, chance: np.random.Generator) -> np.ndarray:
    """Return a soft, irregular ellipse: float32 (side, side), 1 well inside, 0 well outside."""
    height = chance.uniform(*HEIGHTS)
    width = height * chance.uniform(*WIDTHS)
    middle = 0.5 + chance.uniform(-0.04, 0.04, 2)
    grid = chance.normal(0, PULL, (WAVES, WAVES, 2)).astype(np.float32)
    pull = cv2.resize(grid, (DRAWN, DRAWN), interpolation=cv2.INTER_CUBIC)
    place = (np.arange(DRAWN, dtype=np.float32) + 0.5) / DRAWN
    x = (place[None, :] + pull[..., 0] - np.float32(middle[0])) / np.float32(width)
    y = (place[:, None] + pull[..., 1] - np.float32(middle[1])) / np.float32(height)
    inside = (x * x + y * y < 1).astype(np.float32)
    soft = cv2.GaussianBlur(inside, (0, 0), DRAWN * chance.uniform(*EDGE))
    return cv2.resize(soft, (side, side), interpolation=cv2.INTER_LINEAR)


def _recoloured(picture: Picture, chance: np.random.Generator) -> Picture:
    red, green, blue = chance.uniform(-10, 10, 3)
    picture = colours.shift(picture, (red, green, blue))
    picture = colours.saturation(picture, chance.uniform(0.85, 1.15))
    picture = colours.brightness(picture, chance.uniform(0.9, 1.1))
    return colours.contrast(picture, chance.uniform(0.9, 1.1))


def _resharpened(picture: Picture, chance: np.random.Generator) -> Picture:
    """Return the picture either scaled down and up again, or sharpened."""
    side = picture.shape[0]
    down, strength, coarser = chance.uniform(1.2, 2.2), chance.uniform(0.3, 1), chance.random() < 0.5
    if coarser:
        small = max(1, round(side / down))
        small_picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        return cv2.resize(small_picture, (side, side), interpolation=cv2.INTER_LINEAR)
    return cv2.addWeighted(picture, 1 + strength, cv2.GaussianBlur(picture, (0, 0), 1), -strength, 0)


def _moved(picture: Picture, chance: np.random.Generator) -> Picture:
    """Return the picture scaled and shifted about its middle."""
    side = picture.shape[0]
    wider, higher = chance.uniform(*SCALES, 2)
    right, down = chance.uniform(-OFFSET, OFFSET, 2) * side
    middle = (side - 1) / 2
    matrix = np.array([[wider, 0, middle * (1 - wider) + right], [0, higher, middle * (1 - higher) + down]])
    return cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
