"""Change training pictures at random, so that a network cannot hold on to what does not matter.

The order is that of a picture's life: what is in front of the camera (a fake or not, which way round, how it is
held), its colours, the lens (blur), the sensor (noise), the file (JPEG), and what covers it at last (erasing).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import Field

from pipeline.models import colours
from pipeline.models.self_blending import self_blended
from pipeline.params import Section

Share = Annotated[float, Field(ge=0, le=1)]
Picture = np.ndarray  # uint8 RGB (side, side, 3)

ERASED = (0.02, 0.4)  # share of the picture's area that is erased, and
ASPECTS = (0.3, 1 / 0.3)  # height / width of the rectangle: as in Zhong et al., section 3.2
_SEEDS = 2**53  # as many as a draw in double precision can tell apart


class Augmentation(Section):
    """What is done to a picture, drawn anew each time: `train.augment` of params.yaml explains each knob."""

    flip: Share
    rotation: Annotated[float, Field(ge=0, le=180)]
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    noise: Share
    salt_and_pepper: Share
    jpeg: Annotated[int, Field(ge=1, le=100)] | None
    blur: Annotated[float, Field(ge=0, le=10)]
    erase: Share
    self_blend: Share


KNOBS = tuple(Augmentation.model_fields)


def augment(
    pictures: torch.Tensor, labels: torch.Tensor, how: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return changed pictures, uint8 RGB (n, 3, s, s), and their labels (n,), 0 = real, 1 = fake.

    A real picture that became a self-blended fake has the label 1; fakes are never blended. All chance comes from
    `generator` (a CPU generator), the same amount for each picture whatever comes out: what is done to a picture
    depends on how many were drawn for before it, not on batches, other pictures or the number of threads; and what
    one knob does depends on no other knob. With all knobs at 0 (jpeg: None) the result is what was given, not copied.
    """
    draws = torch.rand(len(pictures), 3, dtype=torch.float64, generator=generator)
    if how.flip:
        mirrored = draws[:, 0] < how.flip
        pictures = torch.where(mirrored[:, None, None, None], pictures.flip(-1), pictures)
    if not any(value for knob, value in how if knob != "flip"):
        return pictures, labels
    blended = (labels == 0) & (draws[:, 1] < how.self_blend)
    seeds = (draws[:, 2] * _SEEDS).long()
    changed = np.empty(pictures.shape, np.uint8)

    def change(given: np.ndarray, result: np.ndarray, blend: bool, seed: int) -> None:
        cv2.split(_changed(cv2.merge(list(given)), how, blend, seed), list(result))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # OpenCV and NumPy let other threads run meanwhile
        list(pool.map(change, pictures.numpy(), changed, blended.tolist(), seeds.tolist()))
    return torch.from_numpy(changed), labels.masked_fill(blended, 1)


def _changed(picture: Picture, how: Augmentation, blend: bool, seed: int) -> Picture:
    def chance(knob: str) -> np.random.Generator:
        return np.random.default_rng((seed, KNOBS.index(knob)))

    def between(knob: str, low: float, high: float) -> float:
        return chance(knob).uniform(low, high)

    if blend:
        picture = self_blended(picture, chance("self_blend"))
    if how.rotation:
        picture = rotated(picture, between("rotation", -how.rotation, how.rotation))
    for knob, adjust in FACTORS.items():
        if strength := getattr(how, knob):
            picture = adjust(picture, between(knob, 1 - strength, 1 + strength))
    if how.hue:
        picture = colours.hue(picture, between("hue", -how.hue, how.hue))
    if how.blur:
        picture = blurred(picture, between("blur", 0, how.blur))
    if how.noise:
        picture = noisy(picture, how.noise, chance("noise"))
    if how.salt_and_pepper:
        picture = salted(picture, how.salt_and_pepper, chance("salt_and_pepper"))
    if how.jpeg:
        picture = compressed(picture, int(chance("jpeg").integers(how.jpeg, 101)))
    if how.erase:
        picture = erased(picture, how.erase, chance("erase"))
    return picture


FACTORS: dict[str, Callable[[Picture, float], Picture]] = {
    "brightness": colours.brightness,
    "contrast": colours.contrast,
    "saturation": colours.saturation,
}


def rotated(picture: Picture, degrees: float) -> Picture:
    """Turn the picture about its middle, anticlockwise, bilinearly; corners are filled with its mirror image.

    Black corners, or repeated edge pixels, would tell the angle.
    """
    side = picture.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)


def blurred(picture: Picture, deviation: float) -> Picture:
    """Smooth the picture with a Gaussian of `deviation` pixels, 0 or more."""
    if deviation < 0.05:  # no neighbour would be seen, and OpenCV refuses 0
        return picture
    return cv2.GaussianBlur(picture, (0, 0), deviation)


def noisy(picture: Picture, most: float, chance: np.random.Generator) -> Picture:
    """Add Gaussian noise to each value, of a standard deviation drawn from 0 to `most`, a share of white."""
    deviation = 255 * chance.uniform(0, most)
    noise = chance.standard_normal(picture.shape, np.float32) * np.float32(deviation)
    return cv2.add(picture, noise, dtype=cv2.CV_8U)


def salted(picture: Picture, share: float, chance: np.random.Generator) -> Picture:
    """Make each pixel, with the probability `share`, black or white, either as likely."""
    draw = chance.random(picture.shape[:2], np.float32)
    picture = picture.copy()
    picture[draw < share / 2] = 0
    picture[draw >= 1 - share / 2] = 255
    return picture


def compressed(picture: Picture, quality: int) -> Picture:
    """Compress the picture as JPEG of `quality`, 1 to 100, and open it again."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    opened = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
    assert opened is not None
    return opened


def erased(picture: Picture, probability: float, chance: np.random.Generator) -> Picture:
    """Random erasing (Zhong et al., arXiv 1708.04896): a rectangle anywhere becomes noise, with `probability`.

    Where the rectangle drawn is higher or wider than the picture it is cut off, and not drawn again as in the paper.
    """
    if chance.random() >= probability:
        return picture
    side = picture.shape[0]
    area, aspect = side**2 * chance.uniform(*ERASED), chance.uniform(*ASPECTS)
    height, width = (
        int(np.clip(round(length), 1, side)) for length in ((area * aspect) ** 0.5, (area / aspect) ** 0.5)
    )
    top, left = chance.integers(side - height + 1), chance.integers(side - width + 1)
    picture = picture.copy()
    picture[top : top + height, left : left + width] = chance.integers(0, 256, (height, width, 3), np.uint8)
    return picture
