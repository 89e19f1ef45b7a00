"""Several processes that train together, as `torchrun -m stages.train` starts them; alone, all of this is nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def together() -> Iterator[None]:
    """Join the other processes that torchrun started, and part from them at the end."""
    yield


def is_main() -> bool:
    """Return whether this is the process that writes results: the first, or the only one."""
    return not (torch.distributed.is_available() and torch.distributed.is_initialized()) or (
        torch.distributed.get_rank() == 0
    )
