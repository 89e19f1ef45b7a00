"""Claim: our training loop shows no fewer pictures per second than the structure of torchvision's reference loop.

Run it from the project's root, after the stage shard: `.venv/bin/python benchmarks/training.py [--folder FOLDER]`. The
training pictures of data/shard/synthetic_celeb_df, repeated to 2,000, are learned by mobilenet_v2 at 112 pixels in
batches of 32, SGD with momentum, on two cores: by our loop from the shards, and from the same pictures as loose files
by what references/classification/train.py of torchvision does (github.com/pytorch/vision): ImageFolder, PIL pictures
through RandomCrop, RandomHorizontalFlip, PILToTensor, ConvertImageDtype and Normalize in two worker processes, and for
each batch a step and smoothed figures of loss, accuracy and speed. Epochs take turns; each figure is the median of the
rounds, of whole epochs with their start. Waiting for data is the share of an epoch that the loop spent on getting the
next batch.

Where there is a GPU, reported apart: pictures per second of resnet50 and efficientnet_b7 at 224 pixels in bfloat16, of
made-up JPEGs of 256 pixels.
"""

import io
import re
import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from corpus import ROOT, judge, working_folder
from loading import write_pictures
from ruamel.yaml import YAML
from torch.utils.data import DataLoader
from torchvision import models
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from pipeline import reading
from pipeline.guards import Guards
from pipeline.models import zoo
from pipeline.models.network import Head, Spec
from pipeline.models.transforms import Transform
from pipeline.reading import Samples
from pipeline.training import loop
from pipeline.training.epoch import train_epoch
from pipeline.training.recipe import Recipe

SHARDS = Path("data/shard/synthetic_celeb_df")
MODEL, SIDE, PICTURES, BATCH, ROUNDS, WORKERS = "mobilenet_v2", 112, 2000, 32, 3, 2
RATE, MOMENTUM = 0.01, 0.9
ON_GPU = {"resnet50": 256, "efficientnet_b7": 64}  # batch sizes
GPU_PICTURES, GPU_SIDE = 6000, 224

Epoch = Callable[[], float]  # trains once over the pictures; gives the share of the time that it waited for them


def main() -> None:
    """Compare the loops, judge the claim, and measure the GPU where there is one."""
    with working_folder("Pictures per second of our training loop and of torchvision's.") as folder:
        samples = training_pictures(PICTURES)
        if not (folder / "loose").exists():
            write_loose(samples, folder / "loose")
        torch.set_num_threads(2)
        loops = {"ours": ours(samples, MODEL, SIDE, BATCH), "torchvision": theirs(folder / "loose")}
        rates: dict[str, list[float]] = {name: [] for name in loops}
        waits: dict[str, list[float]] = {name: [] for name in loops}
        for number in range(ROUNDS + 1):
            for name, epoch in loops.items():
                start = time.perf_counter()
                waited = epoch()
                if number:  # the first round warms up
                    rates[name].append(len(samples) / (time.perf_counter() - start))
                    waits[name].append(waited)
                    print(f"round {number} {name:12}{rates[name][-1]:7.1f} pictures/s", flush=True)
        for name in loops:
            rate, wait = statistics.median(rates[name]), statistics.median(waits[name])
            print(f"{name:12}{rate:7.1f} pictures/s, {wait:.1%} waiting for data", flush=True)
        ratio = statistics.median(rates["ours"]) / statistics.median(rates["torchvision"])
        if torch.cuda.is_available():
            measure_gpu(folder)
    judge({f"{ratio:.2f} times the pictures per second of torchvision's loop (1.0)": ratio >= 1})


# --- the same pictures, in shards and loose --------------------------------------------------------------------------


def training_pictures(count: int) -> Samples:
    """Return the training pictures, repeated to `count`."""
    table = reading.open_dataset(SHARDS, "train").table
    repeated = pd.concat([table] * -(-count // len(table)), ignore_index=True)[:count]
    return Samples(repeated, dict.fromkeys(table["dataset"].unique(), SHARDS))


def write_loose(samples: Samples, folder: Path) -> None:
    """Write the JPEGs as `folder`/<class>/<number>.jpg; whole or absent."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for number, row in enumerate(samples.table.itertuples()):
        target = part / ("fake" if row.label else "real") / f"{number:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        with (SHARDS / str(row.shard)).open("rb") as shard:
            shard.seek(int(row.offset))  # type: ignore[call-overload]
            target.write_bytes(shard.read(int(row.bytes)))  # type: ignore[call-overload]
    part.rename(folder)


# --- the loops -------------------------------------------------------------------------------------------------------


def ours(samples: Samples, model: str, side: int, batch: int, **changes: Any) -> Epoch:
    """Return an epoch of our loop; the first process' own report says how long it waited."""
    section = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["train"]
    asked = {"loss": "cross_entropy", "optimizer": "sgd", "momentum": MOMENTUM, "schedule": "constant"}
    asked |= {"learning_rate": RATE, "weight_decay": 0.0, "class_weights": None, "batch_size": batch, "epochs": 500}
    recipe = Recipe.model_validate({name: section[name] for name in Recipe.model_fields} | asked | changes)
    head = Head(hidden=[], dropout=[], embedding=128, sigmoid=False)
    network, facts = zoo.build(Spec(model=model, outputs=2, head=head, labels=["real", "fake"]))
    transform = Transform(side, facts.mean, facts.std, facts.interpolation)
    learner = loop.prepare(network, samples, recipe, Guards([]), None)
    batches = reading.loader(samples, batch, seed=0)
    number = iter(range(500))

    def epoch() -> float:
        torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
        with redirect_stderr(io.StringIO()) as told:
            train_epoch(learner, transform, samples, batches, recipe, next(number))
        return float(re.findall(r"data wait (\d+)%", told.getvalue())[-1]) / 100

    return epoch


def theirs(folder: Path) -> Epoch:
    """Return an epoch as torchvision's references/classification/train.py trains it."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = [v2.RandomCrop(SIDE), v2.RandomHorizontalFlip(), v2.PILToTensor()]
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std), v2.ToPureTensor()]
    pictures = ImageFolder(folder, v2.Compose(steps))
    batches = DataLoader(pictures, BATCH, shuffle=True, num_workers=WORKERS)
    network = models.get_model(MODEL, num_classes=2)
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM)

    def epoch() -> float:
        torch.use_deterministic_algorithms(False)
        figures = {name: deque[float](maxlen=20) for name in ("loss", "acc1", "img/s")}
        network.train()
        begun = ended = time.perf_counter()
        waited = 0.0
        for inputs, target in batches:
            started = time.perf_counter()
            waited += started - ended
            outputs = network(inputs)
            loss = criterion(outputs, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right = (outputs.argmax(1) == target).sum() * 100 / len(target)
            figures["loss"].append(loss.item())
            figures["acc1"].append(right.item())
            figures["img/s"].append(len(target) / (time.perf_counter() - started))
            _ = {name: (np.median(known), sum(known) / len(known)) for name, known in figures.items()}
            ended = time.perf_counter()
        return waited / (time.perf_counter() - begun)

    return epoch


def measure_gpu(folder: Path) -> None:
    """Print what the GPU trains per second in bfloat16, and how long it waits."""
    if not (folder / "gpu").exists():
        write_pictures(folder / "gpu", GPU_PICTURES, round(GPU_SIDE / 0.875))
    samples = reading.open_dataset(folder / "gpu/shards", "train")
    for model, batch in ON_GPU.items():
        epoch = ours(samples, model, GPU_SIDE, batch, precision="bfloat16", channels_last=True)
        epoch()
        start = time.perf_counter()
        waited = epoch()
        rate = len(samples) / (time.perf_counter() - start)
        print(f"{model} in bfloat16: {rate:.0f} pictures/s, {waited:.0%} waiting for data", flush=True)


if __name__ == "__main__":
    main()
