"""MesoInception-4, a small detector of forged faces: Afchar et al. 2018, arXiv 1809.00888, section 2.2 and figure 5."""

import torch
from torch import nn

GRID = 8  # cells a side that the dense layers look at: a picture of 256 pixels after poolings of 2, 2, 2 and 4


def mesoinception4(classes: int) -> nn.Sequential:
    """Return MesoInception-4 with `classes` outputs (n, classes) for float32 pictures (n, 3, side, side) in 0..1.

    With one class it has the 28,615 trainable parameters of the paper, whose last layer is a sigmoid on that output.
    It was made for pictures of 256 pixels; features of others are averaged to the same grid.
    """
    return nn.Sequential(
        nn.Sequential(
            _Inception(3, (1, 4, 4, 2)),
            nn.BatchNorm2d(11),
            nn.MaxPool2d(2, ceil_mode=True),
        ),
        nn.Sequential(
            _Inception(11, (2, 4, 4, 2)),
            nn.BatchNorm2d(12),
            nn.MaxPool2d(2, ceil_mode=True),
        ),
        nn.Sequential(nn.Conv2d(12, 16, 5, padding=2), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(2, ceil_mode=True)),
        nn.Sequential(nn.Conv2d(16, 16, 5, padding=2), nn.ReLU(), nn.BatchNorm2d(16), nn.MaxPool2d(4, ceil_mode=True)),
        nn.AdaptiveAvgPool2d(GRID),  # at 256 pixels the identity
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(16 * GRID * GRID, 16),
        nn.LeakyReLU(0.1),
        nn.Dropout(0.5),
        nn.Linear(16, classes),
    )


class _Inception(nn.Module):
    """Four branches side by side: 1x1, and 1x1 before a 3x3 of dilation 1, 2 and 3 in place of larger kernels."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Sequential(nn.Conv2d(channels, widths[0], 1), nn.ReLU())])
        for dilation, width in enumerate(widths[1:], start=1):
            self.branches.append(
                nn.Sequential(
                    nn.Conv2d(channels, width, 1),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
                    nn.ReLU(),
                )
            )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the branches' features side by side, (n, sum of widths, side, side)."""
        return torch.cat([branch(inputs) for branch in self.branches], dim=1)
