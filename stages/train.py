"""train: train a network on the train shards, stop by the validation shards. `python -m stages.train`."""

import json
import shutil
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline import dealing, guards, machine, models, params, reading, tables, training
from pipeline.cards.model import model_card
from pipeline.errors import UserError, exit_on_user_error
from pipeline.evaluation import decisions
from pipeline.files import folder_of_each, sha256_of_file, sha256_of_text, whole_or_absent
from pipeline.guards import Guards
from pipeline.metrics import binary
from pipeline.models import neighbours, packed, scoring, stored
from pipeline.models.stored import Stored
from pipeline.reading import Samples
from pipeline.sharding import manifests
from pipeline.training import distributed, phases
from pipeline.training.loop import Epoch
from pipeline.training.phases import Done, Phase

if TYPE_CHECKING:
    from dvclive.live import Live

SHARDS = Path("data/shard")
OUT = Path("data/train")
CURVES = Path("reports/train")
DRAWN = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/auroc")
COLUMNS = ("phase", "epoch", *DRAWN, "val/precision", "val/recall", "val/f1")  # of epochs.csv


class Params(Phase):
    """The section `train` of params.yaml: what every phase starts from, and what is said of the data once for all."""

    datasets: Annotated[list[str], Field(min_length=1)]
    validate_on: Literal["val", "test"]
    deal: dealing.Deal | None
    classifier: Literal["network", "knn", "svm"]
    threshold: Literal["best"] | Annotated[float, Field(ge=0, le=1)]
    phases: list[dict[str, Any]]


def main() -> None:
    """Write data/train (weights, model.json, README.md, samples.parquet, validation.parquet, epochs.csv) and the curves
    in reports/train."""
    if len(sys.argv) != 1:
        raise UserError("usage: python -m stages.train")
    knobs = params.load_section(Params, "train")
    guard = Guards(params.load_section(guards.Params, "guards").allow)
    plan = phases.phases_of(knobs.model_dump(include=set(Phase.model_fields)), knobs.phases)
    if plan[-1].loss == "triplet" and knobs.classifier == "network":
        raise UserError("params.yaml: train.loss triplet gives embeddings; set train.classifier to knn or svm")
    learned = dealing.parts(read_samples(knobs), knobs.deal, knobs.validate_on)
    guard.stop("test_as_validation", guards.test_as_validation(knobs.validate_on))
    guard.stop("frame_split", guards.frame_split(learned))
    for phase in plan:
        guard.stop("label_polarity", guards.declared_labels(phase.labels))
    part = {name: rows.reset_index(drop=True) for name, rows in learned.groupby("part")}
    folders = {key: SHARDS / key for key in knobs.datasets}

    def open_part(name: str, side: int) -> Samples:
        return Samples(part.get(name, learned.iloc[:0]), folders, side)

    if len(plan) > 1:
        phases.require_sound(plan)
    work = work_folder(knobs, plan)
    with distributed.together():
        done, epochs = fit(plan, open_part, work, guard)
        last = done[-1]
        classifier, logits = finish(knobs, last, open_part)
        labels, groups = part["val"]["label"].to_numpy(np.int64), part["val"]["group"].to_numpy()
        guard.stop("label_polarity", guards.reversed_scores(labels, logits, groups))
        if not distributed.is_main():
            return
        validation = part["val"].assign(score=scoring.probability(logits))
        given = None if knobs.threshold == "best" else float(knobs.threshold)
        decided = decisions.from_validation(validation, "mean", given)
        facts = {
            "datasets": knobs.datasets,
            "threshold_rule": decided.chosen,
            "best_epoch": last.trained.best_epoch,
            "best_epoch_figures": nested(rounded(last.trained.history[last.trained.best_epoch])),
            "weights_read": {name: sha256_of_file(Path(name)) for name in weights_read(plan)},
            "guards_lifted": guard.lifted,
            "samples": counts(learned),
            "params": knobs.model_dump(exclude={"start"}),
        }
        used = learned[tables.LEARNED.names]
        tables.write(OUT / "samples.parquet", used, tables.LEARNED, order=["dataset", "key", "copy"])
        scored = validation[tables.VALIDATION.names]
        tables.write(OUT / "validation.parquet", scored, tables.VALIDATION, order=["dataset", "key"])
        with whole_or_absent(OUT / "epochs.csv") as path:
            known = [name for name in COLUMNS if any(name in row for row in epochs)]
            pd.DataFrame(epochs, columns=known).to_csv(path, index=False, lineterminator="\n")
        for stale in ("classifier.safetensors", "packed.safetensors"):  # of a run by hand: DVC clears its outputs
            (OUT / stale).unlink(missing_ok=True)
        stored.save(OUT, Stored(last.network, last.transform, decided.thresholds, classifier), facts)
        if packed.is_binary(last.network):
            packed.save(last.network, OUT / "packed.safetensors")
        with whole_or_absent(OUT / "README.md") as path:
            path.write_text(model_card(json.loads((OUT / "model.json").read_text(encoding="utf-8"))), encoding="utf-8")
        shutil.rmtree(work)


def fit(
    plan: list[Phase], open_part: phases.OpenPart, work: Path, guard: Guards
) -> tuple[list[Done], list[dict[str, Any]]]:
    """Train every phase, writing the curves as it goes; return what each gave, and all epochs' figures as rows."""
    epochs: list[dict[str, Any]] = []
    total = sum(phase.epochs for phase in plan)
    live: Live | None = None
    with ExitStack() as opened:

        def on_epoch(phase: int, epoch: int, figures: Epoch) -> None:
            nonlocal live
            epochs.append({"phase": phase, "epoch": epoch} | rounded(figures))
            if not distributed.is_main():
                return
            # Not before: opening clears the curves of the training before, and much may still be refused.
            live = live or opened.enter_context(curves())
            print(f"epoch {len(epochs)}/{total}: {rounded(figures)}", file=sys.stderr, flush=True)
            for name in [name for name in DRAWN if name in figures]:
                live.log_metric(name, rounded(figures)[name])
            live.next_step()

        done = phases.run(plan, open_part, work, guard, on_epoch)
        if live is not None:
            last = done[-1].trained
            step = len(epochs) - len(last.history) + last.best_epoch
            best = rounded(last.history[last.best_epoch])
            live.summary = nested({name: best[name] for name in DRAWN if name in best}) | {"step": step}
    return done, epochs


def finish(
    knobs: Params, last: Done, open_part: phases.OpenPart
) -> tuple[neighbours.Classifier | None, "np.ndarray[Any, np.dtype[np.float64]]"]:
    """Return the classifier on the embeddings, where one is asked for, and the validation pictures' logits of fake."""
    validation = open_part("val", last.transform.stored_side())
    if knobs.classifier == "network":
        return None, scoring.logits(last.network, last.transform, validation, knobs.batch_size)
    learned = open_part("train", last.transform.stored_side())
    train, val = (
        (
            scoring.outputs(last.network, last.transform, samples, knobs.batch_size, embed=True),
            samples.table["label"].to_numpy(np.int64),
        )
        for samples in (learned, validation)
    )
    classifier = neighbours.fit(knobs.classifier, train, val)
    return classifier, neighbours.logits(classifier, val[0])


def read_samples(knobs: Params) -> pd.DataFrame:
    """Return the samples of the datasets that are learned from, one table; UserError where shards are not whole."""
    keys, known = knobs.datasets, params.load_datasets()
    for key in keys:
        if key not in known:
            raise UserError(
                f"params.yaml: train.datasets names {key!r}, which is not under `datasets`; known: {', '.join(known)}"
            )
    if len(set(keys)) < len(keys):
        raise UserError(f"params.yaml: train.datasets names a dataset twice: {', '.join(keys)}")
    folders = folder_of_each(SHARDS, known)
    found = []
    for key in keys:
        manifests.require_whole(folders[key], manifests.read(folders[key] / manifests.NAME)["files"])
        found.append(tables.read(folders[key] / "samples.parquet", tables.SAMPLES))
    return pd.concat(found, ignore_index=True)


def work_folder(knobs: Params, plan: list[Phase]) -> Path:
    """Return the folder that keeps the state after each epoch: its name holds all that decides the result."""
    tables_read = [sha256_of_file(SHARDS / key / "samples.parquet") for key in knobs.datasets]
    rooms = [Path(str(room.__file__)).parent for room in (models, training)]
    files = [path for room in rooms for path in sorted(room.glob("*.py"))]
    files += [Path(str(module.__file__)) for module in (dealing, binary, reading)]
    code = [sha256_of_file(path) for path in files]
    versions = [version(library) for library in ("torch", "torchvision", "timm")]
    named = [phase.pretrained for phase in plan]
    read = [sha256_of_file(Path(name)) for name in weights_read(plan)]
    content = sha256_of_text(knobs.model_dump_json(), *tables_read, *code, *versions, *named, *read)
    return machine.cache_folder() / "train" / content


def weights_read(plan: list[Phase]) -> list[str]:
    """Return the files of weights that the phases start from or learn from."""
    teachers = [phase.distill.teacher for phase in plan if phase.distill]
    named = [phase.pretrained for phase in plan]
    named += [f"{teacher}/model.safetensors" for teacher in teachers if isinstance(teacher, str)]
    return sorted({name for name in named if Path(name).is_file()})


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


def counts(learned: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Return how many real and fake pictures each dataset gave to each part."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (dataset, part), rows in learned.groupby(["dataset", "part"]):
        fakes = int((rows["label"] == tables.FAKE).sum())
        found.setdefault(str(dataset), {})[str(part)] = {"real": len(rows) - fakes, "fake": fakes}
    return found


if __name__ == "__main__":
    exit_on_user_error(main)
