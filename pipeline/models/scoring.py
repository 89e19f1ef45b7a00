"""Score pictures with a network, and videos by the mean of their frames."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from pipeline import machine
from pipeline.models import transforms
from pipeline.models.transforms import Transform
from pipeline.reading import Samples, loader


def device() -> torch.device:
    """Return the device to compute on: see VERIFRAME_DEVICE in pipeline.machine."""
    return torch.device(machine.device())


def logits(
    network: torch.nn.Module, transform: Transform, samples: Samples, batch_size: int
) -> npt.NDArray[np.float64]:
    """Return the logit of fake for every picture of `samples`, (n,), in the order of its table.

    `network` gives one output per picture and is put into evaluation mode; the work is done where its weights are.
    """
    where = next(network.parameters()).device
    network.eval()
    found = np.full(len(samples), np.nan)
    if not len(samples):
        return found
    with torch.inference_mode():
        for pictures, rows in loader(samples, batch_size, rank=0, ranks=1):
            inputs = transforms.for_evaluation(pictures.to(where, non_blocking=True), transform)
            found[rows.numpy()] = network(inputs)[:, 0].double().cpu().numpy()
    return found


def probability(logit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probability of fake, 0..1, for logits of any size (n,)."""
    return np.asarray(np.exp(-np.logaddexp(0, -logit)))


def video_scores(frames: pd.DataFrame) -> pd.DataFrame:
    """Return per video the mean of its frames' scores: index video (ascending), columns label, score, frames (number).

    `frames` has the columns video, label, score. A video is its full key (dataset/method/compression/name): two methods
    may well use the same file name, and are never merged.
    """
    return frames.groupby("video", sort=True).agg(
        label=("label", "first"), score=("score", "mean"), frames=("score", "size")
    )
