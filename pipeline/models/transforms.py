"""From shard pictures to a network's input: the same steps in training, evaluation and use, stored with the weights.

A square of `crop` of the picture's side is cut out (training: anywhere, of a picture changed at random; otherwise: the
middle), scaled to the input size where that differs, and normalised. Cutting, rather than shrinking the whole picture,
keeps the pixels as they were wherever crop x side = input size: grain and blending edges survive.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from pipeline.models import augmentation
from pipeline.models.augmentation import Augmentation

CROP = 0.875  # the share that ImageNet networks are commonly evaluated with (224 of 256)


@dataclass(frozen=True)
class Transform:
    """What a network expects: side in pixels, mean and standard deviation of RGB in 0..1, how to scale.

    `augment` is None, or what published systems did to evaluation pictures as well (guard augmented_evaluation).
    """

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]
    crop: float = CROP
    augment: Augmentation | None = None

    def stored_side(self) -> int:
        """Return the side that pictures need, in pixels, to be cut without scaling: the `size` to read them with."""
        return round(self.input_size / self.crop)


def for_evaluation(
    pictures: torch.Tensor, transform: Transform, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return the network's input, float32 (n, 3, input_size, input_size), for uint8 RGB `pictures` (n, 3, s, s).

    Deterministic: equal pictures give equal inputs; but for `transform.augment`, whose chance comes from `generator`.
    Pictures keep their class: nothing is self-blended here.
    """
    if transform.augment is not None:
        assert generator is not None
        as_fakes = torch.ones(len(pictures))  # of which none is self-blended: that would make fakes of reals
        pictures, _ = augmentation.augment(pictures, as_fakes, transform.augment, generator)
    side = pictures.shape[-1]
    crop = _crop_side(side, transform)
    start = (side - crop) // 2
    return _finish(pictures[..., start : start + crop, start : start + crop], transform)


def for_training(
    pictures: torch.Tensor,
    labels: torch.Tensor,
    transform: Transform,
    augment: Augmentation,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `for_evaluation` does, but of a crop anywhere and changed as `augment` says, and the labels (n,).

    All chance comes from `generator` (a CPU generator), the same amount for every picture: the order of the pictures
    decides, not the number of workers that read them.
    """
    pictures, labels = augmentation.augment(pictures, labels, augment, generator)
    side, count = pictures.shape[-1], len(pictures)
    crop = _crop_side(side, transform)
    tops = torch.randint(side - crop + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(side - crop + 1, (count,), generator=generator).tolist()
    crops = [
        picture[:, top : top + crop, left : left + crop]
        for picture, top, left in zip(pictures, tops, lefts, strict=True)
    ]
    return _finish(torch.stack(crops), transform), labels


def _crop_side(side: int, transform: Transform) -> int:
    return max(1, round(side * transform.crop))


def _finish(crops: torch.Tensor, transform: Transform) -> torch.Tensor:
    pixels = crops.float() / 255
    size = (transform.input_size, transform.input_size)
    if pixels.shape[-2:] != size:
        pixels = torch.nn.functional.interpolate(pixels, size, mode=transform.interpolation, antialias=True).clamp(0, 1)
    mean = torch.tensor(transform.mean, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(transform.std, device=pixels.device).view(3, 1, 1)
    return (pixels - mean) / std
