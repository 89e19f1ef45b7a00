"""A trained network on disk: `model.safetensors` (weights) and `model.json` (all that is needed to use them)."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pipeline.errors import UserError
from pipeline.files import whole_or_absent
from pipeline.models import zoo
from pipeline.models.transforms import Transform

LABELS = {"0": "real", "1": "fake"}


class Stored(NamedTuple):
    """A network ready to score, its transform, and the decision thresholds of each level."""

    network: torch.nn.Module
    transform: Transform
    thresholds: dict[str, float]


def save(
    folder: Path,
    weights: dict[str, torch.Tensor],
    name: str,
    transform: Transform,
    thresholds: dict[str, float],
    facts: dict[str, Any],
) -> None:
    """Write model.safetensors, then model.json: where the second is found, both are whole and belong together.

    `weights` is the state of zoo.build(name, ..., num_outputs=1); `thresholds` has the keys frame and video;
    `facts` (how it was trained) is kept for readers and must be plain JSON.
    """
    from safetensors.torch import save_file

    (folder / "model.json").unlink(missing_ok=True)
    with whole_or_absent(folder / "model.safetensors") as part:
        save_file({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, part)
    card = {
        "model": name,
        "labels": LABELS,
        "output": "logit of the probability that the picture is fake",
        "transform": dataclasses.asdict(transform),
        "thresholds": thresholds,
        **facts,
    }
    with whole_or_absent(folder / "model.json") as part:
        part.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> Stored:
    """Read what `save` wrote: the network in evaluation mode on the CPU.

    Raises UserError when a file is missing or the two do not belong together.
    """
    from safetensors.torch import load_file

    for name in ("model.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing; run `dvc repro train` (or `dvc pull`) first")
    card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    network, _ = zoo.build(card["model"], pretrained="none", num_outputs=1)
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{folder}: model.safetensors is not of the network in model.json: {reason}") from None
    known = card["transform"]
    transform = Transform(**known | {"mean": tuple(known["mean"]), "std": tuple(known["std"])})
    return Stored(network.eval(), transform, card["thresholds"])
