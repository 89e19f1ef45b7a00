"""A training small enough for a test: made-up shards, a network of a few layers, the recipe of params.yaml."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from ruamel.yaml import YAML

from fabricated_shards import write_dataset
from pipeline.guards import Guards
from pipeline.models.network import Head, Network, Spec
from pipeline.models.transforms import Transform
from pipeline.reading import Samples
from pipeline.training import loop
from pipeline.training.loop import Trained
from pipeline.training.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
SECTION = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["train"]
TRANSFORM = Transform(28, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")
SMALL = {"epochs": 4, "patience": None, "batch_size": 8, "learning_rate": 0.01, "class_weights": "balanced"}
STILL = {"augment": SECTION["augment"] | {"flip": 0.0}}  # pictures as they are
OUTPUTS = {"bce": 1, "cross_entropy": 2, "triplet": 6}


def recipe(**changes: Any) -> Recipe:
    """Return the recipe of params.yaml, of few epochs, with `changes`."""
    return Recipe.model_validate({name: SECTION[name] for name in Recipe.model_fields} | SMALL | changes)


def network(loss: str = "bce", labels: tuple[str, str] = ("real", "fake"), sigmoid: bool = False) -> Network:
    """Return a few layers with everything that has state or chance of its own: BatchNorm and dropout."""
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, stride=2),
        torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Dropout(0.1),
    )  # fmt: skip
    head = Head(hidden=[], dropout=[], embedding=6, sigmoid=sigmoid)
    return Network(backbone, 8, Spec(model="small", outputs=OUTPUTS[loss], head=head, labels=list(labels)))


def plain(loss: str = "bce") -> Network:
    """Return `network` without BatchNorm and dropout: what a picture gives depends on that picture alone."""
    found = network(loss)
    found.backbone[1], found.backbone[7] = torch.nn.Identity(), torch.nn.Identity()
    return found


def splits(train: dict[str, int] | None = None, val: dict[str, int] | None = None) -> list[Samples]:
    """Return the training and the validation pictures: 60 and 36 of them, half fake, unless said otherwise."""
    videos = {"train": train or {"real": 10, "swap": 10}, "val": val or {"real": 6, "mask": 6}}
    folder, table = _written(json.dumps(videos))
    shards = {"one": Path(folder.name) / "shard/one"}
    return [Samples(table[table["split"] == split], shards) for split in ("train", "val")]


@cache
def _written(videos: str) -> "tuple[TemporaryDirectory[str], pd.DataFrame]":
    """Return the folder, which goes with the process, and the samples: nobody changes them, so once is enough."""
    folder = TemporaryDirectory()
    return folder, write_dataset(Path(folder.name), "one", json.loads(videos), side=32)


def fit(folder: Path, how: Recipe | None = None, of: Network | None = None, **more: Any) -> Trained:
    """Train in `folder`; `more`: on_epoch, guard and teacher of loop.train, train and val of `splits`."""
    how = how or recipe()
    videos = {name: more.pop(name) for name in ("train", "val") if name in more}
    arguments = {"on_epoch": lambda epoch, figures: None, "guard": Guards([])} | more
    return loop.train(of or network(how.loss), TRANSFORM, *splits(**videos), how, folder / "state.pt", **arguments)
