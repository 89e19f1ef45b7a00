"""Change training pictures at random, so that a network cannot hold on to what does not matter."""

from typing import Annotated

import torch
from pydantic import Field

from pipeline.params import Section

Share = Annotated[float, Field(ge=0, le=1)]


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


def augment(
    pictures: torch.Tensor, labels: torch.Tensor, how: Augmentation, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return changed pictures, uint8 RGB (n, 3, s, s), and their labels (n,), 0 = real, 1 = fake.

    A real picture that became a self-blended fake has the label 1. All chance comes from `generator` (a CPU
    generator), the same amount for each picture whatever comes out.
    """
    mirrored = torch.rand(len(pictures), generator=generator) < how.flip
    return torch.where(mirrored[:, None, None, None], pictures.flip(-1), pictures), labels
