"""Claim: ReActNet-A learns on the built-in data, and is packed into less than 4 MB without changing an output.

Run it from the project's root after `make repro`: `.venv/bin/python benchmarks/reactnet.py [--folder FOLDER]`. It
trains the three networks one after the other on `data/shard/synthetic_celeb_df` (210 pictures) as the stage train does:
the real-valued twin, step 1 with binary activations, step 2 with binary weights too; the steps learn from the labels
and from the twin. The figures are no measure of what ReActNet can do: no ImageNet weights, few pictures, few epochs.
"""

from pathlib import Path
from typing import Any

import torch
from corpus import judge, working_folder

from pipeline import params
from pipeline.guards import Guards
from pipeline.metrics import binary
from pipeline.models import packed, scoring, transforms
from pipeline.reading import Samples, open_dataset
from pipeline.training import phases
from pipeline.training.loop import Epoch
from pipeline.training.phases import Done, Phase
from stages import train

SHARDS = Path("data/shard/synthetic_celeb_df")
SIDE, CROP = 96, 0.75  # of the stored 128 pixels: nothing is scaled
ABOVE_CHANCE, SMALL = 0.7, 4_000_000  # AUROC, 2 standard errors above 0.5 on 19 reals and 19 fakes; bytes

# As in the paper, but for the labels beside the teacher: Adam, a linear descent to zero, no decay in step 2.
COMMON = {
    "input_size": SIDE,
    "crop": CROP,
    "batch_size": 16,
    "optimizer": "adam",
    "learning_rate": 0.001,
    "weight_decay": 0.00001,
    "schedule": "linear",
    "patience": None,
    "keep": "last",
}
TAUGHT = {"distill": {"teacher": 0, "temperature": 1.0, "weight": 0.5}}
STEPS: list[dict[str, Any]] = [
    {"model": "reactnet_a_real", "epochs": 8},
    {"model": "reactnet_a_step1", "epochs": 6} | TAUGHT,
    {"model": "reactnet_a", "epochs": 8, "weight_decay": 0.0} | TAUGHT,
]


def main() -> None:
    """Train the three, print what each has learned, pack the last, judge the claims."""
    with working_folder("What ReActNet-A learns in its three steps, and its packed size.") as folder:
        knobs = params.load_section(train.Params, "train").model_dump(include=set(Phase.model_fields))
        plan = phases.phases_of(params.overlay(knobs, COMMON), STEPS)
        done = phases.run(plan, open_part, folder / "work", Guards([]), say)
        print(f"{'network':20}{'train loss':>12}{'val accuracy':>14}{'val AUROC':>11}")
        scored = [figures(phase, result) for phase, result in zip(plan, done, strict=True)]
        last = done[-1]
        packed.save(last.network, folder / "packed.safetensors")
        size = (folder / "packed.safetensors").stat().st_size
        pictures, _ = open_part("val", SIDE)[list(range(8))]
        inputs = transforms.for_evaluation(pictures, last.transform)
        with torch.inference_mode():
            same = torch.equal(packed.load(folder / "packed.safetensors")(inputs), last.network.eval().cpu()(inputs))
    judge(
        {
            f"AUROC of ReActNet-A {scored[-1]:.3f} (at least {ABOVE_CHANCE})": scored[-1] >= ABOVE_CHANCE,
            f"packed: {size / 1e6:.2f} MB (less than {SMALL / 1e6:.0f})": size < SMALL,
            "the packed network gives the same outputs, bit for bit": same,
        }
    )


def open_part(part: str, side: int) -> Samples:
    """Return the pictures of a split."""
    return open_dataset(SHARDS, part, size=side)


def say(phase: int, epoch: int, found: Epoch) -> None:
    """Print an epoch's figures."""
    shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    print(f"{STEPS[phase]['model']} epoch {epoch}: {shown}", flush=True)


def figures(phase: Phase, done: Done) -> float:
    """Print what a network has learned; return its AUROC on validation."""
    samples = open_part("val", done.transform.stored_side())
    score = scoring.probability(scoring.logits(done.network, done.transform, samples, phase.batch_size))
    found = binary.binary_metrics(samples.table["label"].to_numpy(), score, 0.5)
    loss = done.trained.history[done.trained.best_epoch]["train/loss"]
    print(f"{phase.model:20}{loss:12.3f}{found['accuracy']:14.3f}{found['auroc']:11.3f}")
    return found["auroc"]


if __name__ == "__main__":
    main()
