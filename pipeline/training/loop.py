"""Train a network on shard pictures as a recipe says, alone or with other processes, and go on after a kill.

A training that was killed and continued ends with the same weights as one that was not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from pipeline import guards, tables
from pipeline.errors import UserError
from pipeline.files import whole_or_absent
from pipeline.guards import Guards
from pipeline.metrics import binary
from pipeline.models import freezing, scoring, transforms
from pipeline.models.network import Network
from pipeline.models.transforms import Transform
from pipeline.reading import Samples, loader
from pipeline.training import distributed, losses, optimization
from pipeline.training.epoch import Learner, train_epoch
from pipeline.training.recipe import Recipe

Epoch = dict[str, float]  # figures of one epoch
State = dict[str, Any]

_HIGHER_IS_BETTER = ("auroc", "accuracy")


@dataclass
class Trained:
    """The weights of the epoch that is kept (`best_epoch`: by recipe.monitor, or the last), and all figures."""

    weights: dict[str, torch.Tensor]
    best_epoch: int
    history: list[Epoch]


def train(
    network: Network,
    transform: Transform,
    training: Samples,
    validation: Samples,
    recipe: Recipe,
    checkpoint: Path,
    on_epoch: Callable[[int, Epoch], None],
    guard: Guards,
    teacher: Network | None = None,
) -> Trained:
    """Train `network` until `recipe.epochs` are over or `recipe.monitor` has not got better for `recipe.patience`.

    After each epoch everything needed to go on is written to the file `checkpoint`, and a call that finds it goes on
    there. `on_epoch(epoch, figures)` is called for every epoch from 0, those before a kill included. Figures:
    `train/loss` and `train/accuracy` of the pictures as they were shown, while the weights moved; `val/loss`,
    `val/accuracy`, `val/precision`, `val/recall`, `val/f1` and `val/auroc` of frames at threshold 0.5. With the triplet
    loss there are the losses alone; precision is left out where nothing was called fake. `teacher`, with
    `recipe.distill`, adds to the loss of training, not to that of validation.

    Where several processes train together (pipeline.training.distributed), each calls this with the same arguments and
    gets the same result; a batch, `recipe.batch_size` pictures, is shared out among them.

    Raises UserError when training or validation lacks a class, the loss is no longer a number, a guard stops it, or the
    processes cannot share a batch evenly.
    """
    for name, samples in (("train", training), ("val", validation)):
        _require_both_classes(samples.table, name)
    learner = prepare(network, training, recipe, guard, teacher)
    _look_for_second_sigmoid(network, transform, training, recipe, guard)
    batches = loader(training, _share_of_batch(recipe.batch_size), recipe.seed)
    history: list[Epoch] = []
    best: State = {}
    saved = distributed.from_main(lambda: _read(checkpoint))
    if saved is not None:
        learner.restore(saved)
        history, best = saved["history"], saved["best"]
        for epoch, figures in enumerate(history):
            on_epoch(epoch, figures)
    for epoch in range(len(history), recipe.epochs):
        if recipe.patience and epoch - best.get("epoch", epoch) > recipe.patience:
            break
        figures = train_epoch(learner, transform, training, batches, recipe, epoch)
        distributed.share_buffers(learner.kept)
        outputs = scoring.outputs(learner.kept, transform, validation, recipe.batch_size)
        if not (math.isfinite(figures["train/loss"]) and np.isfinite(outputs).all()):
            raise UserError(f"the loss of epoch {epoch} is no number; lower train.learning_rate")
        figures |= _validate(learner, outputs, validation.table, recipe)
        history.append(figures)
        if not best or _is_better(recipe.monitor, figures, history[best["epoch"]]):
            best = {"epoch": epoch} | ({"weights": _copy(learner.kept)} if recipe.keep == "best" else {})
        if distributed.is_main():
            with whole_or_absent(checkpoint) as part:
                torch.save(learner.state() | {"history": history, "best": best}, part)
        on_epoch(epoch, figures)
    if recipe.keep == "last":
        return Trained(_copy(learner.kept), len(history) - 1, history)
    return Trained(best["weights"], best["epoch"], history)


def prepare(network: Network, training: Samples, recipe: Recipe, guard: Guards, teacher: Network | None) -> Learner:
    """Return all that a training of `network` needs besides pictures, on the device that this machine computes on.

    Its tensors are frozen as `recipe` says. Raises UserError where a guard stops it.
    """
    where = scoring.device()
    # A GPU lacks exact versions of some operations: there torch warns instead of stopping.
    torch.use_deterministic_algorithms(True, warn_only=where.type == "cuda")
    # Every tensor is written before it is read.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    network.to(where)
    network.to(memory_format=torch.channels_last if recipe.channels_last else torch.contiguous_format)
    freezing.freeze(network, recipe.trainable)
    optimizer = optimization.make_optimizer(network, recipe)
    guard.stop("optimizer_mismatch", guards.optimizer_mismatch(network, optimizer))
    labels = torch.from_numpy(training.table["label"].to_numpy(np.int64))
    return Learner(
        network,
        distributed.parallel(network),
        optimizer,
        optimization.make_scaler(recipe, where),
        optimization.make_average(network, recipe),
        None if teacher is None else teacher.to(where).eval(),
        losses.class_weights(labels, recipe).to(where),
    )


def _validate(learner: Learner, outputs: npt.NDArray[np.float64], table: pd.DataFrame, recipe: Recipe) -> Epoch:
    labels = torch.from_numpy(table["label"].to_numpy(np.int64))
    draws = torch.Generator().manual_seed(recipe.seed)  # the same triplets after every epoch
    found = torch.from_numpy(outputs)
    each = losses.against_labels(learner.network, found, labels, recipe, learner.class_weights.cpu(), draws)
    figures = {"val/loss": float(each.mean())}
    if recipe.loss != "triplet":
        scores = scoring.probability(learner.network.fake_logit(found).numpy())
        known = binary.binary_metrics(labels.numpy(), scores, 0.5)
        names = ("accuracy", "precision", "recall", "f1", "auroc")
        figures |= {f"val/{name}": known[name] for name in names if not math.isnan(known[name])}
    return figures


def _is_better(monitor: str, figures: Epoch, than: Epoch) -> bool:
    name = "train/loss" if monitor == "train_loss" else f"val/{monitor}"
    if monitor in _HIGHER_IS_BETTER:
        return figures[name] > than[name]
    return figures[name] < than[name]


def _share_of_batch(batch_size: int) -> int:
    ranks = distributed.ranks()
    if batch_size % ranks or batch_size < 2 * ranks:
        raise UserError(
            f"train.batch_size {batch_size} cannot be shared evenly by {ranks} processes, at least two pictures each; "
            "change it or torchrun's --nproc_per_node"
        )
    return batch_size // ranks


def _look_for_second_sigmoid(
    network: Network, transform: Transform, training: Samples, recipe: Recipe, guard: Guards
) -> None:
    pictures, _ = training[list(range(min(len(training), 8)))]
    inputs = transforms.for_evaluation(pictures, transform, torch.Generator().manual_seed(0))
    inputs = inputs.to(next(network.parameters()).device)
    guard.stop("double_sigmoid", guards.double_sigmoid(network, recipe.loss, inputs))


def _read(checkpoint: Path) -> State | None:
    return torch.load(checkpoint, map_location="cpu", weights_only=True) if checkpoint.exists() else None


def _copy(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _require_both_classes(table: pd.DataFrame, split: str) -> None:
    for label, name in ((tables.REAL, "real"), (tables.FAKE, "fake")):
        if not (table["label"] == label).any():
            datasets = ", ".join(sorted(set(table["dataset"]))) or "the chosen datasets"
            raise UserError(
                f"the split {split} of {datasets} has no {name} sample, so nothing can be learned or validated; "
                "add a dataset to train.datasets, or change split.validation or train.deal"
            )
