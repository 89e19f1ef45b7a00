"""Claim: every network of the zoo learns at its own input size, and its outputs are the same after saving and loading.

Run it from the project's root: `.venv/bin/python benchmarks/zoo.py [--only NAME ...] [--folder FOLDER]`. Each network
has random weights and takes five steps of Adam on one batch of two pictures, whose brightness gives the label away; of
CLIP ViT-L/14 only the LayerNorms and the head learn. The loss is that of training mode, where dropout drops the same
each time. Then the network is stored, loaded again, and asked once more; the file, of CLIP 1.2 GB, is deleted. Seconds
per step are the median of five.
"""

import gc
import statistics
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import torch
from corpus import judge

from pipeline.models import freezing, stored, zoo
from pipeline.models.network import Head, Network, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform

NETWORKS = [
    "mesoinception4",
    "squeezenet1_0",
    "mobilenet_v2",
    "resnet18",
    "resnet50",
    "efficientnet_b0",
    "efficientnet_b4",
    "efficientnet_b7",
    "legacy_xception",
    "nasnetalarge",
    "vit_large_patch14_clip_quickgelu_224.openai",
    "reactnet_a_real",
    "reactnet_a_step1",
    "reactnet_a",
]
STEPS, PICTURES, RATE = 5, 2, 3e-4


def main() -> None:
    """Train, store and load each network, print a row for it, judge the claims."""
    parser = ArgumentParser(description="Every network of the zoo at its own input size.")
    parser.add_argument("--only", nargs="+", default=NETWORKS, metavar="NAME", help="networks; default: all of the zoo")
    parser.add_argument("--folder", type=Path, help="where networks are stored for a moment; default: a temporary one")
    options = parser.parse_args()
    claims = {}
    columns = f"{'network':44}{'input':>6}{'parameters':>13}{'loss before':>13}{'after':>9}{'s/step':>8}"
    print(columns, flush=True)
    for name in options.only:
        torch.manual_seed(0)
        head = Head(hidden=[], dropout=[], embedding=8, sigmoid=False)
        network, facts = zoo.build(Spec(model=name, outputs=2, head=head, labels=["real", "fake"]))
        freezing.freeze(network, "layer_norm" if "clip" in name else "all")
        inputs, labels = batch(facts.input_size)
        losses, seconds = learn(network, inputs, labels)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        figures = f"{losses[0]:13.3f}{losses[-1]:9.3f}{seconds:8.2f}"
        print(f"{name:44}{facts.input_size:6}{parameters:13,}{figures}", flush=True)
        claims[f"{name}: the loss falls"] = losses[-1] < losses[0]
        claims[f"{name}: the same outputs after loading"] = same_after_loading(network, facts, inputs, options.folder)
        del network
        gc.collect()
    judge(claims)


def batch(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normalised pictures (n, 3, side, side) of noise, brighter where the label (n,) is 1."""
    labels = torch.arange(PICTURES) % 2
    noise = torch.randn(PICTURES, 3, side, side, generator=torch.Generator().manual_seed(1))
    return noise / 2 + labels[:, None, None, None], labels


def learn(network: Network, inputs: torch.Tensor, labels: torch.Tensor) -> tuple[list[float], float]:
    """Return the loss before each step and after the last, and the median seconds of a step."""
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], RATE)
    freezing.train_mode(network, "still")
    losses, seconds = [], []
    for _ in range(STEPS):
        start = time.perf_counter()
        torch.manual_seed(2)
        loss = torch.nn.functional.cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        seconds.append(time.perf_counter() - start)
    torch.manual_seed(2)
    with torch.no_grad():
        losses.append(float(torch.nn.functional.cross_entropy(network(inputs), labels)))
    return losses, statistics.median(seconds)


def same_after_loading(network: Network, facts: zoo.Facts, inputs: torch.Tensor, folder: Path | None) -> bool:
    """Store the network below `folder`, load it, and say whether it gives the very same outputs."""
    transform = Transform(facts.input_size, facts.mean, facts.std, facts.interpolation)
    with tempfile.TemporaryDirectory(dir=folder) as place, torch.inference_mode():
        before = network.eval()(inputs)
        stored.save(Path(place), Stored(network, transform, {"frame": 0.5, "video": 0.5}, None), {})
        return torch.equal(stored.load(Path(place)).network(inputs), before)


if __name__ == "__main__":
    main()
