"""train: fine-tune a network on the train shards, stop by the validation shards. `python -m stages.train`."""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import pyarrow.compute as pc
from pydantic import Field

from pipeline import machine, params, tables
from pipeline.errors import UserError, exit_on_user_error
from pipeline.files import folder_of_each, sha256_of_file, sha256_of_text
from pipeline.sharding import manifests

if TYPE_CHECKING:
    from dvclive.live import Live

SHARDS = Path("data/shard")
OUT = Path("data/train")
CURVES = Path("reports/train")


class Params(params.Section):
    """The section `train` of params.yaml."""

    datasets: Annotated[list[str], Field(min_length=1)]
    model: str
    pretrained: str
    input_size: Annotated[int, Field(ge=32, le=600)]
    epochs: Annotated[int, Field(ge=1, le=500)]
    patience: Annotated[int, Field(ge=1, le=100)]
    batch_size: Annotated[int, Field(ge=2, le=1024)]
    learning_rate: Annotated[float, Field(ge=0.00001, le=0.1)]
    weight_decay: Annotated[float, Field(ge=0, le=0.5)]
    flip: Annotated[float, Field(ge=0, le=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


def main() -> None:
    """Write data/train/model.safetensors and model.json, and the curves in reports/train."""
    if len(sys.argv) != 1:
        raise UserError("usage: python -m stages.train")
    knobs = params.load_section(Params, "train")
    samples = read_samples(knobs.datasets)

    import torch

    from pipeline import training
    from pipeline.metrics import THRESHOLD_RULE
    from pipeline.models import stored, zoo
    from pipeline.models.transforms import Transform
    from pipeline.reading import Samples

    torch.manual_seed(knobs.seed)  # the head's weights, and all of them without pretrained
    network, facts = zoo.build(knobs.model, knobs.pretrained, num_outputs=1)
    zoo.check_input(network, knobs.model, knobs.input_size)
    transform = Transform(knobs.input_size, *facts)
    folders = {key: SHARDS / key for key in knobs.datasets}
    split = {
        name: Samples(samples[samples["split"] == name], folders, transform.stored_side()) for name in ("train", "val")
    }
    recipe = training.Recipe(**knobs.model_dump(exclude={"datasets", "model", "pretrained", "input_size"}))
    work = work_folder(knobs)
    with curves() as live:

        def on_epoch(epoch: int, figures: dict[str, float]) -> None:
            print(f"epoch {epoch + 1}/{knobs.epochs}: {rounded(figures)}", file=sys.stderr, flush=True)
            for name, value in rounded(figures).items():
                live.log_metric(name, value)
            live.next_step()

        trained = training.train(network, transform, split["train"], split["val"], recipe, work / "state.pt", on_epoch)
        best = rounded(trained.history[trained.best_epoch])
        live.summary = nested(best) | {"step": trained.best_epoch}
    facts_for_readers = {
        "datasets": knobs.datasets,
        "threshold_rule": THRESHOLD_RULE,
        "best_epoch": trained.best_epoch,
        "best_epoch_figures": nested(best),
        "samples": counts(samples),
        "params": knobs.model_dump(),
    }
    stored.save(OUT, trained.weights, knobs.model, transform, trained.thresholds, facts_for_readers)
    shutil.rmtree(work)


def read_samples(keys: list[str]) -> pd.DataFrame:
    """Return the samples of train and val of the datasets `keys`, one table; UserError where shards are not whole."""
    known = params.load_datasets()
    for key in keys:
        if key not in known:
            raise UserError(
                f"params.yaml: train.datasets names {key!r}, which is not under `datasets`; known: {', '.join(known)}"
            )
    if len(set(keys)) < len(keys):
        raise UserError(f"params.yaml: train.datasets names a dataset twice: {', '.join(keys)}")
    folders = folder_of_each(SHARDS, known)
    learned = pc.field("split").isin(["train", "val"])
    found = []
    for key in keys:
        manifests.require_whole(folders[key], manifests.read(folders[key] / manifests.NAME)["files"])
        found.append(tables.read(folders[key] / "samples.parquet", tables.SAMPLES, where=learned))
    return pd.concat(found, ignore_index=True)


def work_folder(knobs: Params) -> Path:
    """Return the folder that keeps the state after each epoch: its name holds all that decides the result."""
    from pipeline import metrics, reading, training
    from pipeline.models import scoring, transforms, zoo

    tables_read = [sha256_of_file(SHARDS / key / "samples.parquet") for key in knobs.datasets]
    modules = (metrics, reading, training, scoring, transforms, zoo)
    code = [sha256_of_file(Path(str(module.__file__))) for module in modules]
    versions = [version(library) for library in ("torch", "torchvision", "timm")]
    given = Path(knobs.pretrained)
    weights = sha256_of_file(given) if given.is_file() else knobs.pretrained
    content = sha256_of_text(knobs.model_dump_json(), *tables_read, *code, *versions, weights)
    return machine.cache_folder() / "train" / content


def curves() -> "Live":
    """Return DVCLive writing reports/train afresh: files only, no experiment, no dvc.yaml, no page."""
    from dvclive.live import Live

    class Curves(Live):
        """DVCLive without its look at Git, which fails in a repository that has no commit yet."""

        def _init_dvc(self) -> None:
            pass

    return Curves(dir=str(CURVES), dvcyaml=False, save_dvc_exp=False, report=None)


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Return the figures to 5 digits after the point."""
    return {name: round(value, 5) for name, value in figures.items()}


def nested(figures: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return {"a/b": value} as {"a": {"b": value}}."""
    found: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        outer, inner = name.split("/")
        found.setdefault(outer, {})[inner] = value
    return found


def counts(samples: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Return how many real and fake pictures each dataset gave to train and to val."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for dataset in samples["dataset"].unique():
        for split in ("train", "val"):
            labels = samples.loc[(samples["dataset"] == dataset) & (samples["split"] == split), "label"]
            fakes = int((labels == tables.FAKE).sum())
            found.setdefault(dataset, {})[split] = {"real": len(labels) - fakes, "fake": fakes}
    return found


if __name__ == "__main__":
    exit_on_user_error(main)
