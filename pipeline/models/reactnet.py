"""ReActNet-A: a network whose convolutions take signs times signs (Liu et al., ECCV 2020, arXiv 2003.03488).

Written from the papers' formulas. The gradients through signs, which are zero almost everywhere, are replaced by those
of smoother functions (Liu et al., Bi-Real Net, ECCV 2018, arXiv 1808.00278). The sign of 0 is +1 everywhere.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_WIDTHS = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]  # of the stem, then of each block
_HALVING = {2, 4, 6, 12}  # the blocks, from 1, that halve the side
_BINARY_PER_WORD = 64  # binary multiplications and additions that one 64-bit operation does


def reactnet_a(classes: int, binary_weights: bool = True, binary_activations: bool = True) -> nn.Module:
    """Return ReActNet-A, or one of the two real-valued networks that it is trained from, with random weights.

    All three hold tensors of the same names and shapes, so that each starts from every weight of the one before:

    | binary_weights | binary_activations | network | in place of the sign of activations |
    |---|---|---|---|
    | False | False | real-valued twin | `soft_sign`, which the sign's gradient is taken from |
    | False | True | step 1 of the training | - |
    | True | True | step 2: ReActNet-A | - |

    The network takes float inputs (n, 3, side, side) of any side from 32 pixels and gives (n, classes). The stem and
    the last layer are real-valued in all of them. Raises ValueError for binary weights on real activations: no step of
    the training has them.
    """
    if binary_weights and not binary_activations:
        raise ValueError("binary weights need binary activations")
    return ReActNet(classes, binary_weights, binary_activations)


class ReActNet(nn.Module):
    """A real-valued stem, 13 blocks of width 64 to 1024 at 1/2 to 1/32 of the side, their mean, a linear layer."""

    def __init__(self, classes: int, binary_weights: bool, binary_activations: bool) -> None:
        super().__init__()
        convolution = BinaryConv2d if binary_weights else nn.Conv2d
        activation = sign if binary_activations else soft_sign
        stem = nn.Sequential(nn.Conv2d(3, _WIDTHS[0], 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(_WIDTHS[0]))
        blocks = [
            Block(_WIDTHS[number - 1], _WIDTHS[number], number in _HALVING, convolution, activation)
            for number in range(1, len(_WIDTHS))
        ]
        self.features = nn.Sequential(stem, *blocks)
        self.classifier = nn.Linear(_WIDTHS[-1], classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (n, classes)."""
        outputs: torch.Tensor = self.classifier(self.features(inputs).mean((2, 3)))
        return outputs


class Block(nn.Module):
    """A 3x3 and a 1x1 convolution, each of signs, with BatchNorm, a shortcut around it and RPReLU.

    `width` channels become `out`, the same number or twice as many: then two 1x1 convolutions stand side by side, and
    the shortcut is duplicated rather than convolved. A halving block averages its shortcut over 2 x 2 pixels; at an odd
    side the last window holds those that there are.
    """

    def __init__(
        self,
        width: int,
        out: int,
        halving: bool,
        convolution: type[nn.Conv2d],
        activation: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        super().__init__()
        self.sign1 = RSign(width, activation)
        self.conv3x3 = convolution(width, width, 3, stride=2 if halving else 1, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if halving else nn.Identity()
        self.act1 = RPReLU(width)
        self.sign2 = RSign(width, activation)
        self.conv1x1 = nn.ModuleList(convolution(width, width, 1, bias=False) for _ in range(out // width))
        self.norm2 = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(out // width))
        self.act2 = RPReLU(out)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (n, out, side, side), of half the side where the block halves."""
        spatial = self.act1(self.pool(inputs) + self.norm1(self.conv3x3(self.sign1(inputs))))
        signs = self.sign2(spatial)
        halves = [norm(conv(signs)) + spatial for conv, norm in zip(self.conv1x1, self.norm2, strict=True)]
        outputs: torch.Tensor = self.act2(torch.cat(halves, 1))
        return outputs


class RSign(nn.Module):
    """`activation(x + shift)` with a learned shift per channel: the paper's ReAct-Sign."""

    def __init__(self, channels: int, activation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.activation = activation

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the convolution is given, of the size of `inputs` (n, channels, h, w)."""
        return self.activation(inputs + self.shift[:, None, None])


class RPReLU(nn.Module):
    """`PReLU(x + before) + after`, all learned per channel: the paper's ReAct-PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.zeros(channels))
        self.prelu = nn.PReLU(channels)
        self.after = nn.Parameter(torch.zeros(channels))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what is activated, of the size of `inputs` (n, channels, h, w)."""
        outputs: torch.Tensor = self.prelu(inputs + self.before[:, None, None])
        return outputs + self.after[:, None, None]


class BinaryConv2d(nn.Conv2d):
    """A convolution with the scaled signs of its real-valued weights, which are what is learned.

    The weights start as those of any convolution, on both sides of zero: were they all positive, so would all signs be.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the convolution of `inputs` with `scaled_sign(weight)`."""
        return functional.conv2d(inputs, scaled_sign(self.weight), None, self.stride, self.padding)


def sign(values: torch.Tensor) -> torch.Tensor:
    """Return +1 where `values` >= 0, else -1; the gradient is that of `soft_sign` (Bi-Real Net)."""
    signs: torch.Tensor = _Sign.apply(values)
    return signs


def soft_sign(values: torch.Tensor) -> torch.Tensor:
    """Return what stands in for the sign: 2x + x^2 on [-1, 0), 2x - x^2 on [0, 1), -1 below, 1 above (Bi-Real Net).

    Its derivative is 2 - 2|x| between -1 and 1, else 0.
    """
    inside = values.clamp(-1, 1)
    return inside * (2 - inside.abs())


def scaled_sign(weight: torch.Tensor) -> torch.Tensor:
    """Return `scale(weight)` times the sign of `weight`, (out, in, h, w).

    The gradient is that of clamp(weight, -1, 1): it passes where |weight| <= 1, and the scale is taken as a constant.
    """
    scaled: torch.Tensor = _ScaledSign.apply(weight)
    return scaled


def scale(weight: torch.Tensor) -> torch.Tensor:
    """Return the mean of |weight| per output channel, (out, 1, 1, 1), for `weight` (out, in, h, w)."""
    return weight.abs().mean((1, 2, 3), keepdim=True)


def signs_of(values: torch.Tensor) -> torch.Tensor:
    """Return +1 where `values` >= 0, else -1, without a gradient."""
    one = values.new_ones(())
    return torch.where(values >= 0, one, -one)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return signs_of(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (values,) = ctx.saved_tensors
        slope: torch.Tensor = (2 - 2 * values.abs()).clamp(min=0)
        return gradient * slope


class _ScaledSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        return scale(weight) * signs_of(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (weight,) = ctx.saved_tensors
        return gradient * (weight.abs() <= 1)


def operations(network: nn.Module, side: int) -> float:
    """Return how many operations one picture of `side` pixels takes: real multiply-adds + binary ones / 64.

    Counted are convolutions and linear layers, as the papers do; BatchNorm, RPReLU and shortcuts come on top.
    `network` is called once, in evaluation mode, on a picture of zeros.
    """
    total = 0.0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], outputs: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        additions = outputs[0].numel() * layer.weight[0].numel()  # each output sums over one row of the weights
        total += additions / _BINARY_PER_WORD if isinstance(layer, BinaryConv2d) else additions

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, side, side, device=next(network.parameters()).device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
