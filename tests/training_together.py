"""What `torchrun tests/training_together.py SHARDS OUT` does in each process of test_distributed_training.py."""

import sys
from pathlib import Path

import torch

from pipeline import tables
from pipeline.guards import Guards
from pipeline.models import scoring
from pipeline.models.network import Network
from pipeline.models.transforms import Transform
from pipeline.reading import Samples
from pipeline.training import distributed, loop
from pipeline.training.recipe import Recipe
from small_training import STILL, network, plain, recipe

WHOLE_PICTURE = Transform(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear", crop=1.0)


class Killed(Exception):
    """The training is cut off."""


def trainings() -> dict[str, tuple[Recipe, Network]]:
    """Return what is trained: `plain` may not depend on the number of processes, `normalised` does."""
    exact = {"epochs": 3, "optimizer": "sgd", "learning_rate": 0.2, "keep": "last", **STILL}
    return {
        "plain": (recipe(batch_size=12, accumulate=2, **exact), plain()),
        "normalised": (recipe(batch_size=12, epochs=2, ema=0.9), network()),
    }


def learn(shards: Path, out: Path) -> None:
    """Do all trainings and write what this process got: weights, figures, scores of validation by those weights."""
    table = tables.read(shards / "shard/one/samples.parquet", tables.SAMPLES)
    train, val = (Samples(table[table["split"] == split], {"one": shards / "shard/one"}) for split in ("train", "val"))

    def done(name: str, state: str, die_after: int | None = None) -> dict[str, object]:
        how, learning = trainings()[name]

        def on_epoch(epoch: int, figures: loop.Epoch) -> None:
            if epoch == die_after:
                raise Killed

        trained = loop.train(learning, WHOLE_PICTURE, train, val, how, out / state, on_epoch, Guards([]))
        learning.load_state_dict(trained.weights)
        scores = torch.from_numpy(scoring.logits(learning, WHOLE_PICTURE, val, 5))
        return {"weights": trained.weights, "history": trained.history, "scores": scores}

    found = {name: done(name, f"{name}.state") for name in trainings()}
    try:
        done("normalised", "cut.state", die_after=0)
    except Killed:
        found["resumed"] = done("normalised", "cut.state")
    torch.save(found, out / f"{distributed.rank()}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.together():
        learn(Path(sys.argv[1]), Path(sys.argv[2]))
