"""A network with binary weights in one small file: a bit for each binary weight, and all else as it is.

A .safetensors file: of each binary convolution `<name>.bits` (uint8, eight weights a byte, in the order of the weights,
1 = +1) and `<name>.scale` (float32, one per output channel), and all other tensors under their own names. Its metadata
hold the network's Spec and the SHA-256 of the tensors.
"""

from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from pipeline.errors import UserError
from pipeline.files import sha256_of_bytes, whole_or_absent
from pipeline.models import zoo
from pipeline.models.network import Network, Spec
from pipeline.models.reactnet import BinaryConv2d, scale

Tensors = dict[str, torch.Tensor]


def is_binary(network: nn.Module) -> bool:
    """Whether the network has binary weights, so that `save` makes it smaller."""
    return bool(_binary_layers(network))


def save(network: Network, path: Path) -> None:
    """Write `network` to the .safetensors file `path`, whole or not at all; ValueError where nothing is binary."""
    from safetensors.torch import save as serialised
    from safetensors.torch import save_file

    if not is_binary(network):
        raise ValueError(f"{network.spec.model} has no binary weights")
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    for name in _binary_layers(network):
        weight = tensors.pop(f"{name}.weight")
        tensors[f"{name}.bits"] = torch.from_numpy(np.packbits(weight.numpy() >= 0))
        tensors[f"{name}.scale"] = scale(weight).flatten()
    facts = {"spec": network.spec.model_dump_json(), "sha256": sha256_of_bytes(serialised(tensors))}
    with whole_or_absent(path) as part:
        save_file(tensors, part, metadata=facts)


def load(path: Path) -> Network:
    """Return the network that `save` wrote, on the CPU and in evaluation mode, for use but not for training.

    Its outputs are those of the network that was saved, bit for bit, where the same machine computes them of the same
    batch. Raises UserError where the file is missing, damaged, or not one that `save` wrote.
    """
    tensors, spec = _read(path)
    network, _ = zoo.build(spec)
    try:
        for name, layer in _binary_layers(network).items():
            bits, scales = tensors.pop(f"{name}.bits"), tensors.pop(f"{name}.scale")
            network.set_submodule(name, _real_valued(layer))
            tensors[f"{name}.weight"] = _unpacked(bits, scales, layer.weight.shape)
        network.load_state_dict(tensors)
    except (KeyError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{path} holds other tensors than {spec.model} has: {reason}; pack the network again") from None
    return network.eval().requires_grad_(False)


def _read(path: Path) -> tuple[Tensors, Spec]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save as serialised

    if not path.is_file():
        raise UserError(f"{path} is missing; it is what training a network with binary weights writes")
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as a packed network: {error}; copy or pack it again") from None
    try:
        spec = Spec.model_validate_json(facts.get("spec", ""))
    except ValidationError:
        raise UserError(f"{path} is no packed network: its metadata do not say which network it is of") from None
    if facts.get("sha256") != sha256_of_bytes(serialised(tensors)):
        raise UserError(f"{path} is damaged: its tensors are not those that were written; copy or pack it again")
    return tensors, spec


def _binary_layers(network: nn.Module) -> dict[str, BinaryConv2d]:
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, BinaryConv2d)}


def _real_valued(layer: BinaryConv2d) -> nn.Conv2d:
    """Return a plain convolution like `layer`: the scale of weights that are all alike need not come out the same."""
    width, out, kernel = layer.in_channels, layer.out_channels, layer.weight.shape[-1]
    return nn.Conv2d(width, out, kernel, stride=layer.stride[0], padding=int(layer.padding[0]), bias=False)


def _unpacked(bits: torch.Tensor, scales: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return the weights, float32 of `shape`, that the packed `bits` and the `scales` of the output channels mean."""
    positive = np.unpackbits(bits.numpy(), count=shape.numel()).reshape(shape)
    return scales[:, None, None, None] * torch.from_numpy(np.where(positive, np.float32(1), np.float32(-1)))
