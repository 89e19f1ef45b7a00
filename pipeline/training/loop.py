"""Fine-tune a network on shard pictures: AdamW, a cosine to zero, early stopping, and going on after a kill.

An epoch's chance (order, crops, mirroring, dropout) is seeded from (seed, epoch), so that a training that was killed
and continued ends with the same weights as one that was not.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.utils.data import DataLoader

from pipeline import metrics, tables
from pipeline.errors import UserError
from pipeline.files import sha256_of_text, whole_or_absent
from pipeline.guards import Guards
from pipeline.models import scoring, transforms
from pipeline.models.network import Network
from pipeline.models.transforms import Transform
from pipeline.reading import Samples, loader
from pipeline.training.recipe import Recipe

Epoch = dict[str, float]  # figures of one epoch
State = dict[str, Any]


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
    """Train `network` (one output: the logit of fake) until the validation loss stops falling.

    After each epoch everything needed to go on is written to the file `checkpoint`, and a call that finds it goes on
    there. `on_epoch(epoch, figures)` is called for every epoch from 0, those before a kill included. Figures:
    `train/loss`, `val/loss`, `val/auroc`, `val/accuracy` (of frames at threshold 0.5).

    The loss is binary cross-entropy with fakes weighted by reals / fakes of the training pictures. Raises UserError
    when training or validation lacks a class, or the loss is no longer a number.
    """
    for name, samples in (("train", training), ("val", validation)):
        _require_both_classes(samples.table, name)
    where = scoring.device()
    network.to(where)
    # A GPU lacks exact versions of some operations: there torch warns instead of stopping.
    torch.use_deterministic_algorithms(True, warn_only=where.type == "cuda")
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    fake_weight = _fake_weight(training.table)
    batches = loader(training, recipe.batch_size, recipe.seed, rank=0, ranks=1)
    history: list[Epoch] = []
    best: State = {"loss": math.inf}
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        history, best = saved["history"], saved["best"]
        for epoch, figures in enumerate(history):
            on_epoch(epoch, figures)
    for epoch in range(len(history), recipe.epochs):
        if recipe.patience and epoch - best.get("epoch", epoch) > recipe.patience:
            break
        train_loss = _train_epoch(network, transform, training.table, batches, recipe, epoch, optimizer, fake_weight)
        logits = scoring.logits(network, transform, validation, recipe.batch_size)
        if not (math.isfinite(train_loss) and np.isfinite(logits).all()):
            raise UserError(f"the loss of epoch {epoch} is no number; lower train.learning_rate")
        figures = {"train/loss": train_loss} | _validate(logits, validation.table, fake_weight)
        history.append(figures)
        if figures["val/loss"] < best["loss"]:
            weights = copy.deepcopy(network.state_dict())
            best = {"loss": figures["val/loss"], "epoch": epoch, "weights": weights, "logits": torch.tensor(logits)}
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        with whole_or_absent(checkpoint) as part:
            torch.save(state | {"history": history, "best": best}, part)
        on_epoch(epoch, figures)
    return Trained(best["weights"], best["epoch"], history)


def choose_thresholds(table: pd.DataFrame, logits: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the thresholds of the levels frame and video, chosen on validation samples by metrics.THRESHOLD_RULE."""
    frames = table.assign(score=scoring.probability(logits))
    videos = scoring.video_scores(frames)
    return {
        level: metrics.best_threshold(items["label"].to_numpy(), items["score"].to_numpy())
        for level, items in (("frame", frames), ("video", videos))
    }


def _train_epoch(
    network: Network,
    transform: Transform,
    table: pd.DataFrame,
    batches: DataLoader[Any],
    recipe: Recipe,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    fake_weight: float,
) -> float:
    """Show every picture of `table`, which `batches` reads, once and return the mean loss per picture."""
    where = next(network.parameters()).device
    seed = int(sha256_of_text("train", recipe.seed, epoch)[:15], 16)
    torch.manual_seed(seed)  # dropout and the like
    generator = torch.Generator().manual_seed(seed)
    labels = torch.from_numpy(table["label"].to_numpy(np.float32))
    batches.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # it is a reading.EpochBatches
    steps = len(batches)
    network.train()
    total = 0.0
    for step, (pictures, rows) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _cosine((epoch * steps + step) / (recipe.epochs * steps))
        inputs, targets = transforms.for_training(pictures, labels[rows], transform, recipe.augment, generator)
        loss = _loss(network(inputs.to(where))[:, 0], targets.to(where), fake_weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(table)


def _validate(logits: npt.NDArray[np.float64], table: pd.DataFrame, fake_weight: float) -> Epoch:
    labels = table["label"].to_numpy()
    loss = _loss(torch.from_numpy(logits), torch.from_numpy(labels.astype(np.float64)), fake_weight)
    figures = metrics.binary_metrics(labels, scoring.probability(logits), 0.5)
    return {"val/loss": float(loss), "val/auroc": figures["auroc"], "val/accuracy": figures["accuracy"]}


def _loss(logits: torch.Tensor, labels: torch.Tensor, fake_weight: float) -> torch.Tensor:
    weight = torch.tensor(fake_weight, dtype=logits.dtype, device=logits.device)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight)


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _fake_weight(table: pd.DataFrame) -> float:
    fakes = int((table["label"] == tables.FAKE).sum())
    return (len(table) - fakes) / fakes


def _require_both_classes(table: pd.DataFrame, split: str) -> None:
    for label, name in ((tables.REAL, "real"), (tables.FAKE, "fake")):
        if not (table["label"] == label).any():
            datasets = ", ".join(sorted(set(table["dataset"]))) or "the chosen datasets"
            raise UserError(
                f"the split {split} of {datasets} has no {name} sample, so nothing can be learned or validated; "
                "add a dataset to train.datasets or change split.validation"
            )
