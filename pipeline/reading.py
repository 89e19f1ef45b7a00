"""Read samples out of WebDataset shards by index: any picture by its offset, without unpacking the tar."""

import os
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from pipeline import machine
from pipeline.errors import UserError
from pipeline.files import sha256_of_text

# Below this many pictures an epoch is decoded sooner than worker processes have started.
_WORTH_WORKERS = 5_000


class Samples(Dataset[tuple[torch.Tensor, int]]):
    """The pictures of `table` as `(picture, row)`: uint8 RGB tensor (3, side, side) and its row number in `table`.

    `table` has the columns of tables.SAMPLES; `folders` gives for each dataset key the folder with its tars.
    A shard that is missing, cut short or holds no JPEG at the offset raises UserError when it is read.
    """

    def __init__(self, table: pd.DataFrame, folders: dict[str, Path]) -> None:
        self.table = table.reset_index(drop=True)
        # Plain lists: a worker process would copy a data frame's memory page by page through its reference counts.
        self._shards = [folders[d] / s for d, s in zip(self.table["dataset"], self.table["shard"], strict=True)]
        self._offsets = self.table["offset"].tolist()
        self._lengths = self.table["bytes"].tolist()
        self._open: dict[tuple[int, Path], BufferedReader] = {}

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        import cv2

        file = self._file(self._shards[row])
        file.seek(self._offsets[row])
        encoded = np.frombuffer(file.read(self._lengths[row]), np.uint8)
        picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB) if len(encoded) == self._lengths[row] else None
        if picture is None:
            raise UserError(
                f"{self._shards[row]}: no picture at byte {self._offsets[row]} for {self.table['key'][row]}; the shard "
                "is not the one samples.parquet was written for: run `dvc repro` (or `dvc checkout`)"
            )
        return torch.from_numpy(picture).permute(2, 0, 1).contiguous(), row

    def _file(self, path: Path) -> BufferedReader:
        # Opened on first use and kept per process: a forked worker must not move its siblings' read position.
        place = (os.getpid(), path)
        if place not in self._open:
            try:
                self._open[place] = path.open("rb")
            except FileNotFoundError:
                raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first") from None
        return self._open[place]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}


def epoch_order(samples: int, seed: int, epoch: int) -> list[int]:
    """Return the row numbers 0..samples-1 in an order that depends on `seed` and `epoch` alone."""
    generator = np.random.default_rng(int(sha256_of_text("epoch_order", seed, epoch)[:16], 16))
    return [int(row) for row in generator.permutation(samples)]


def batches(samples: Samples, order: list[int], batch_size: int) -> DataLoader[Any]:
    """Return a loader of batches `(uint8 (n, 3, side, side), int64 (n,) rows)` over `samples` in the given order.

    What it yields does not depend on the number of worker processes, which the machine decides.
    """
    workers = machine.workers() if len(order) >= _WORTH_WORKERS else 0
    return DataLoader(
        samples,
        batch_size=batch_size,
        sampler=order,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
