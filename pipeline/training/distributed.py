"""Several processes that train together, as `torchrun -m stages.train` starts them; alone, all of this is nothing.

Each process has the whole network and a share of every batch; gradients are averaged over them. On the CPU they talk by
gloo, on GPUs, one for each process, by NCCL.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from pipeline import machine
from pipeline.errors import UserError

T = TypeVar("T")


@contextmanager
def together() -> Iterator[None]:
    """Join the other processes that torchrun started, and part from them at the end.

    Raises UserError when a machine runs more processes than it has GPUs, and computes on GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if machine.device() == "cuda":
        number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= gpus:
            raise UserError(f"torchrun started more processes than there are GPUs here; use --nproc_per_node {gpus}")
        torch.cuda.set_device(number)
        dist.init_process_group("nccl")
    else:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def ranks() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def is_main() -> bool:
    """Return whether this is the process that writes results: the first, or the only one."""
    return rank() == 0


def parallel(network: torch.nn.Module) -> torch.nn.Module:
    """Return what to call in place of `network` in training: gradients are then averaged over the processes.

    Which of its tensors need a gradient must be settled before. Every process goes on from the first one's weights.
    """
    return DistributedDataParallel(network) if _joined() else network


@contextmanager
def gradients_kept_apart(network: torch.nn.Module, apart: bool) -> Iterator[None]:
    """Leave the gradients of this backward pass unshared where `apart`: a later one of the same step shares them."""
    if apart and isinstance(network, DistributedDataParallel):
        with network.no_sync():
            yield
    else:
        yield


def share_buffers(network: torch.nn.Module) -> None:
    """Give every process the buffers of the first: BatchNorm keeps statistics, and each has seen other pictures."""
    if _joined():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def add_up(sums: torch.Tensor) -> torch.Tensor:
    """Return `sums` added up over all processes."""
    if _joined():
        dist.all_reduce(sums)
    return sums


def from_main(make: Callable[[], T]) -> T:
    """Return what `make` gives in the first process, to every process."""
    if not _joined():
        return make()
    found = [make() if is_main() else None]
    dist.broadcast_object_list(found)
    return found[0]  # type: ignore[return-value]  # the first process' answer has come


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
