"""Which part of a network learns: all of it, its head, its LayerNorms, or its last stages."""

from typing import Literal, TypeGuard

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.errors import UserError
from pipeline.models.network import Network

Trainable = Literal["all", "head", "layer_norm"] | int

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def freeze(network: Network, trainable: Trainable) -> None:
    """Set `requires_grad` of every parameter: the head always learns, of the backbone what `trainable` says.

    `all`; `head`: nothing; `layer_norm`: weights and biases of all LayerNorms (GenD, arXiv 2508.06248); a number: so
    many of its last stages. Raises UserError where there is no LayerNorm, or there are not that many stages.
    """
    network.requires_grad_(trainable == "all")
    network.head.requires_grad_(True)
    if trainable == "layer_norm":
        norms = [module for module in network.backbone.modules() if isinstance(module, nn.LayerNorm)]
        if not norms:
            raise UserError(f"train.trainable layer_norm: {network.spec.model} has no LayerNorm; choose a transformer")
        for norm in norms:
            norm.requires_grad_(True)
    elif isinstance(trainable, int):
        known = stages(network.backbone)
        if trainable > len(known):
            raise UserError(
                f"train.trainable {trainable}: {network.spec.model} has {len(known)} stages: "
                f"{', '.join(stage[0] for stage in known)}; set a smaller number, or all"
            )
        for stage in known[-trainable:]:
            for name in stage:
                network.backbone.get_submodule(name).requires_grad_(True)


def stages(backbone: nn.Module) -> list[list[str]]:
    """Return the names of the modules of each stage, from the input to the features.

    A stage is a child of the backbone that has parameters (layer1 of a ResNet, cell_17 of NASNet), and a normalisation
    belongs to the stage before it. A child without a number in its name that is a sequence, or holds one, is no stage:
    its children are (features.8 of EfficientNet, blocks.23 of a ViT in timm, encoder.layers.encoder_layer_11 of one in
    torchvision). Parameters of the backbone itself (class token, positions) belong to none.
    """
    found: list[list[str]] = []
    for name, module in _parts(backbone, ""):
        if found and _is_norm(module):
            found[-1].append(name)
        else:
            found.append([name])
    return found


def train_mode(network: Network, frozen_batchnorm: Literal["still", "moving"]) -> None:
    """Put `network` into training mode; BatchNorms that do not learn keep their running statistics where `still`.

    A BatchNorm without parameters of its own goes with the backbone.
    """
    network.train()
    if frozen_batchnorm == "moving":
        return
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            own = list(module.parameters()) or network.backbone.parameters()
            module.train(any(parameter.requires_grad for parameter in own))


def _parts(module: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        if not any(True for _ in child.parameters()):
            continue
        numbered = any(character.isdigit() for character in name)
        opened = not numbered and (_is_sequence(child) or any(map(_is_sequence, child.children())))
        found += _parts(child, f"{prefix}{name}.") if opened else [(prefix + name, child)]
    return found


def _is_sequence(module: nn.Module) -> TypeGuard[nn.Sequential | nn.ModuleList]:
    return isinstance(module, nn.Sequential | nn.ModuleList) and any(True for _ in module.parameters())


def _is_norm(module: nn.Module) -> bool:
    """Return whether all parameters of `module` are those of normalisations."""
    norms = {id(p) for m in module.modules() if isinstance(m, _NORMS) for p in m.parameters()}
    return all(id(parameter) in norms for parameter in module.parameters())
