"""How weights move: the optimizer, its learning rate at every moment, and the precision it is computed in."""

import math

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.models.network import Network
from pipeline.training.recipe import Recipe

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def make_optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of the tensors that need a gradient, or of the head's alone (`train.optimize: head`).

    Weight decay is decoupled in adamw (Loshchilov and Hutter, arXiv 1711.05101), added to the gradient in adam and sgd.
    """
    part = network.head if recipe.optimize == "head" else network
    tensors = [tensor for tensor in part.parameters() if tensor.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(tensors, lr=rate, momentum=recipe.momentum, weight_decay=decay)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimizer]
    return kind(tensors, lr=rate, weight_decay=decay)


def learning_rate(recipe: Recipe, epochs_done: float) -> float:
    """Return the learning rate after `epochs_done` epochs, fractions of one included; it has no memory.

    After the warm-up, in which it rises from zero in a straight line: constant; cosine or linear, to zero at the end of
    the last epoch; or step, which multiplies it by `step_factor` every `step_epochs` epochs, counted from the start.
    """
    if epochs_done < recipe.warmup:
        return recipe.learning_rate * epochs_done / recipe.warmup
    if recipe.schedule == "step":
        return recipe.learning_rate * recipe.step_factor ** math.floor(epochs_done / recipe.step_epochs)
    if recipe.schedule == "constant" or epochs_done == recipe.warmup:
        return recipe.learning_rate
    progress = (epochs_done - recipe.warmup) / (recipe.epochs - recipe.warmup)
    share = 1 - progress if recipe.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.learning_rate * share


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all that `optimizer` holds."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """Return the context in which `train.precision` holds: matrix products and convolutions are computed in it."""
    dtype = PRECISIONS[recipe.precision]
    return torch.autocast(device.type, dtype if dtype != torch.float32 else None, enabled=dtype != torch.float32)


def make_scaler(recipe: Recipe, device: torch.device) -> torch.amp.GradScaler:
    """Return what keeps small gradients from vanishing in float16 on a GPU; elsewhere it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16" and device.type == "cuda")


def make_average(network: Network, recipe: Recipe) -> AveragedModel | None:
    """Return the exponential moving average of all weights and of BatchNorm's statistics, where `train.ema` asks."""
    if recipe.ema is None:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
