"""A trained network on disk: `model.safetensors` (weights) and `model.json` (all that is needed to use them)."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import UserError
from pipeline.files import whole_or_absent
from pipeline.models import zoo
from pipeline.models.augmentation import Augmentation
from pipeline.models.neighbours import Classifier, Kind
from pipeline.models.network import Network, Spec
from pipeline.models.transforms import Transform

LABELS = {"0": "real", "1": "fake"}


class Stored(NamedTuple):
    """A network ready to score, its transform, the decision thresholds of each level, and what stands on it, if any."""

    network: Network
    transform: Transform
    thresholds: dict[str, float]
    classifier: Classifier | None


def save(folder: Path, stored: Stored, facts: dict[str, Any]) -> None:
    """Write model.safetensors, then model.json: where the second is found, both are whole and belong together.

    `stored.thresholds` has the keys frame and video; `facts` (how it was trained) is kept for readers and must be plain
    JSON. The arrays of a classifier go into classifier.safetensors.
    """
    from safetensors.numpy import save_file as save_arrays
    from safetensors.torch import save_file

    (folder / "model.json").unlink(missing_ok=True)
    with whole_or_absent(folder / "model.safetensors") as part:
        weights = stored.network.state_dict()
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, part)
    if stored.classifier is not None:
        with whole_or_absent(folder / "classifier.safetensors") as part:
            save_arrays(stored.classifier.arrays, part)
    transform = dataclasses.asdict(stored.transform)
    if stored.transform.augment is not None:
        transform["augment"] = stored.transform.augment.model_dump()
    card = {
        "model": stored.network.spec.model,
        "labels": LABELS,
        "score": "probability that the picture is fake",
        "network": stored.network.spec.model_dump(),
        "classifier": None if stored.classifier is None else {"kind": stored.classifier.kind} | stored.classifier.facts,
        "transform": transform,
        "thresholds": stored.thresholds,
        **facts,
    }
    with whole_or_absent(folder / "model.json") as part:
        part.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Stored:
    """Read what `save` wrote: the network in evaluation mode on the CPU.

    Raises UserError when a file is missing or they do not belong together.
    """
    from safetensors.torch import load_file

    for name in ("model.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing; run `dvc repro train` (or `dvc pull`) first")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    network, _ = zoo.build(Spec.model_validate(card["network"]))
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{folder}: model.safetensors is not of the network in model.json: {reason}") from None
    known = dict(card["transform"])
    augment = None if known["augment"] is None else Augmentation.model_validate(known["augment"])
    transform = Transform(**known | {"mean": tuple(known["mean"]), "std": tuple(known["std"]), "augment": augment})
    return Stored(network.eval(), transform, card["thresholds"], _load_classifier(folder, card["classifier"]))


def _load_classifier(folder: Path, facts: dict[str, Any] | None) -> Classifier | None:
    from safetensors.numpy import load_file

    if facts is None:
        return None
    path = folder / "classifier.safetensors"
    if not path.is_file():
        raise UserError(f"{path} is missing; run `dvc repro train` (or `dvc pull`) first")
    kind: Kind = facts["kind"]
    return Classifier(kind, load_file(path), {name: value for name, value in facts.items() if name != "kind"})
