"""Score pictures with a network."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline import machine
from pipeline.models import neighbours, transforms
from pipeline.models.network import Network
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform
from pipeline.reading import Samples, loader


def device() -> torch.device:
    """Return the device to compute on: see VERIFRAME_DEVICE in pipeline.machine."""
    return torch.device(machine.device())


def outputs(
    network: Network, transform: Transform, samples: Samples, batch_size: int, *, embed: bool = False
) -> npt.NDArray[np.float64]:
    """Return the network's raw outputs (or embeddings) for every picture of `samples`, (n, outputs), in its order.

    `network` is put into evaluation mode; the work is done where its weights are, and shared out when several
    processes train together: each of them gets all rows. No pictures give no rows.
    """
    if not len(samples):
        return np.empty((0, network.spec.outputs))
    where = next(network.parameters()).device
    network.eval()
    found: list[torch.Tensor] = []
    order: list[torch.Tensor] = []
    generator = torch.Generator().manual_seed(0)  # for transform.augment, which chance has to come from somewhere
    with torch.inference_mode():
        for pictures, rows in loader(samples, batch_size):
            if transform.augment is None:  # bytes are moved sooner than floats; to change pictures takes the CPU
                pictures = pictures.to(where, non_blocking=True)
            inputs = transforms.for_evaluation(pictures, transform, generator).to(where, non_blocking=True)
            found.append((network.embed(inputs) if embed else network(inputs)).double().cpu())
            order.append(rows)
    of_all, rows = _of_all_processes(torch.cat(found), torch.cat(order))
    return of_all[rows.argsort()].numpy()


def _of_all_processes(outputs: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what this process and those that it trains with have scored, and of which rows."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return outputs, rows
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, (outputs, rows))
    return torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts])


def logits(network: Network, transform: Transform, samples: Samples, batch_size: int) -> npt.NDArray[np.float64]:
    """Return the logit of fake for every picture of `samples`, (n,), in the order of its table."""
    return network.fake_logit(torch.from_numpy(outputs(network, transform, samples, batch_size))).numpy()


def logits_of_stored(stored: Stored, samples: Samples, batch_size: int) -> npt.NDArray[np.float64]:
    """Return the logit of fake, (n,), by the network itself or by the classifier that stands on its embeddings."""
    if stored.classifier is None:
        return logits(stored.network, stored.transform, samples, batch_size)
    embeddings = outputs(stored.network, stored.transform, samples, batch_size, embed=True)
    return neighbours.logits(stored.classifier, embeddings)


def probability(logit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the probability of fake, 0..1, for logits of any size (n,)."""
    return np.asarray(np.exp(-np.logaddexp(0, -logit)))
