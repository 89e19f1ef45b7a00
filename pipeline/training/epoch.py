"""One epoch: show every training picture once, and move the weights.

All chance of an epoch (crops, augmentation, dropout, triplets) is seeded from (seed, epoch, process): a training that
goes on after a kill draws the same.
"""

import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from pipeline import progress, tables
from pipeline.files import sha256_of_text
from pipeline.models import freezing, transforms
from pipeline.models.network import Network
from pipeline.models.transforms import Transform
from pipeline.reading import EpochBatches, Samples
from pipeline.training import distributed, losses, optimization
from pipeline.training.recipe import Recipe

T = TypeVar("T")


@dataclass
class Learner:
    """A network and all that moves its weights; `parallel` is what to call for outputs that gradients are taken of."""

    network: Network
    parallel: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: AveragedModel | None
    teacher: Network | None
    class_weights: torch.Tensor

    @property
    def kept(self) -> Network:
        """The network whose weights are validated and kept: the averaged one where there is one."""
        return self.network if self.average is None else self.average.module  # type: ignore[return-value]

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        parts = {"network": self.network, "optimizer": self.optimizer}
        parts |= {"scaler": self.scaler} if self.scaler.is_enabled() else {}
        return parts | ({"average": self.average} if self.average is not None else {})


def train_epoch(
    learner: Learner,
    transform: Transform,
    training: Samples,
    batches: DataLoader[Any],
    recipe: Recipe,
    epoch: int,
) -> dict[str, float]:
    """Show every picture of `training`, which `batches` reads, once; return loss and accuracy, means over pictures."""
    where = next(learner.network.parameters()).device
    counts, steps = _pictures_of_each_step(len(training), recipe), len(batches)
    shown = counts.cumsum()
    freezing.train_mode(learner.network, recipe.frozen_batchnorm)
    sums = torch.zeros(2, dtype=torch.float64, device=where)  # loss and right answers; read once, at the end
    start, waited = time.perf_counter(), 0.0
    batches.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # it is a reading.EpochBatches
    read = iter(batches)
    torch.manual_seed(_seed_of(recipe, epoch, "network"))  # after the loader, which takes chance as it starts
    draws = torch.Generator().manual_seed(_seed_of(recipe, epoch, "triplets"))
    with (
        closing(_ahead(_inputs(read, training, transform, recipe, epoch))) as ready,
        _told(epoch, recipe, len(training)) as show,
    ):
        for step in range(steps):
            asked = time.perf_counter()
            inputs, labels = (tensor.to(where, non_blocking=True) for tensor in next(ready))
            waited += time.perf_counter() - asked
            begin = step - step % recipe.accumulate
            end = min(begin + recipe.accumulate, steps)
            if step == begin:
                optimization.set_learning_rate(
                    learner.optimizer, optimization.learning_rate(recipe, epoch + step / steps)
                )
                learner.optimizer.zero_grad()
            with distributed.gradients_kept_apart(learner.parallel, step + 1 < end):
                each, right = _forward(learner, inputs, labels, recipe, draws)
                # The processes' gradients are averaged: their sum over the group's pictures is the mean over all.
                share = distributed.ranks() / int(counts[begin:end].sum())
                learner.scaler.scale(each.sum() * share).backward()
            if step + 1 == end:
                learner.scaler.step(learner.optimizer)
                learner.scaler.update()
                if learner.average is not None:
                    learner.average.update_parameters(learner.network)
            sums += torch.stack([each.detach().double().sum(), right.double().sum()])
            show(int(shown[step]), f"data wait {waited / (time.perf_counter() - start):.0%}")
    loss, accuracy = (distributed.add_up(sums) / len(training)).tolist()
    return {"train/loss": loss} | ({} if recipe.loss == "triplet" else {"train/accuracy": accuracy})


def _forward(
    learner: Learner, inputs: torch.Tensor, labels: torch.Tensor, recipe: Recipe, draws: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of each picture, (n,), and whether each was told right, bool (n,)."""
    network = learner.network
    if recipe.channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    with optimization.autocast(recipe, inputs.device):
        outputs = learner.parallel(inputs).float()
    each = losses.against_labels(network, outputs, labels, recipe, learner.class_weights, draws)
    if recipe.loss == "triplet":
        return each, torch.zeros_like(labels, dtype=torch.bool)
    logits = network.fake_logit(outputs)
    if recipe.distill is not None and learner.teacher is not None:
        with torch.no_grad(), optimization.autocast(recipe, inputs.device):
            expected = learner.teacher.fake_logit(learner.teacher(inputs).float())
        weight = recipe.distill.weight
        each = (1 - weight) * each + weight * losses.against_teacher(logits, expected, recipe.distill.temperature)
    return each, (logits.detach() > 0) == (labels == tables.FAKE)


def _inputs(
    read: Iterator[tuple[torch.Tensor, torch.Tensor]],
    training: Samples,
    transform: Transform,
    recipe: Recipe,
    epoch: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches that are `read` as a network takes them, with their labels."""
    labels = torch.from_numpy(training.table["label"].to_numpy(np.int64))
    generator = torch.Generator().manual_seed(_seed_of(recipe, epoch, "pictures"))
    for pictures, rows in read:
        inputs, shown = transforms.for_training(pictures, labels[rows], transform, recipe.augment, generator)
        yield (inputs.pin_memory(), shown) if torch.cuda.is_available() else (inputs, shown)


def _ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield `items`, each of which a thread of its own makes while the one before it is used."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]  # not the end


def _told(epoch: int, recipe: Recipe, pictures: int) -> AbstractContextManager[progress.Show]:
    """Return the context whose `show` tells how the epoch goes on, in the first process."""
    if not distributed.is_main():
        return nullcontext(_say_nothing)
    return progress.counting(f"epoch {epoch + 1} of {recipe.epochs}", pictures, "picture")


def _say_nothing(done: int, besides: str) -> None:
    pass


def _pictures_of_each_step(samples: int, recipe: Recipe) -> npt.NDArray[np.int64]:
    """Return how many pictures all processes together show in each step of an epoch, (steps,)."""
    ranks = distributed.ranks()
    samplers = [EpochBatches(samples, recipe.batch_size // ranks, None, rank, ranks) for rank in range(ranks)]
    return np.array([[len(rows) for rows in sampler] for sampler in samplers]).sum(axis=0)


def _seed_of(recipe: Recipe, epoch: int, what: str) -> int:
    """Return the seed of one kind of chance in an epoch; each process has its own."""
    return int(sha256_of_text("train", recipe.seed, epoch, what, distributed.rank())[:15], 16)
