"""Change the colours of a picture: uint8 RGB (height, width, 3) in and out, values cut off at 0 and 255.

Each function does what the torchvision function `adjust_<name>` does, to one level; OpenCV does it in a fraction of
the time, and its whole-number sums do not depend on the number of threads.
"""

import cv2
import numpy as np

Picture = np.ndarray


def brightness(picture: Picture, factor: float) -> Picture:
    """Multiply all values by `factor`, 0 or more: 0 gives black, 1 the picture."""
    return cv2.addWeighted(picture, factor, picture, 0, 0)


def contrast(picture: Picture, factor: float) -> Picture:
    """Move all values away from the mean grey by `factor`, 0 or more: 0 gives an even grey, 1 the picture."""
    grey = cv2.mean(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[0]
    return cv2.addWeighted(picture, factor, picture, 0, grey * (1 - factor))


def saturation(picture: Picture, factor: float) -> Picture:
    """Move each pixel away from its grey by `factor`, 0 or more: 0 gives a grey picture, 1 the picture."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(picture, factor, grey, 1 - factor, 0)


def hue(picture: Picture, turn: float) -> Picture:
    """Turn the circle of hues (of HSV) by `turn`, a share of the whole circle, either way."""
    hsv = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2HSV)  # not in uint8: it knows 180 hues only
    hsv[..., 0] = hsv[..., 0] + 360 * (turn % 1)  # cvtColor takes hues beyond 360 degrees as well
    return cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def shift(picture: Picture, levels: tuple[float, float, float]) -> Picture:
    """Add `levels`, each -255 to 255, to red, green and blue."""
    return cv2.add(picture, np.array([*levels, 0]))  # four numbers: OpenCV's kind of scalar
