"""Read samples out of WebDataset shards by index: any picture by its offset, without unpacking the tar.

    samples = open_dataset("data/shard/celeb_df_v2", "train")
    batches = loader(samples, batch_size=64, seed=0)
    for epoch in range(10):
        batches.sampler.set_epoch(epoch)
        for pictures, rows in batches:
            labels = samples.table["label"].to_numpy()[rows]

docs/reading.md shows more: several processes (ranks), and the same shards without this package.
"""

import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.compute as pc
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pipeline import machine, tables
from pipeline.errors import UserError
from pipeline.files import sha256_of_text
from pipeline.sharding import manifests

# Below this many pictures an epoch is decoded sooner than worker processes have started.
_WORTH_WORKERS = 5_000
_OPEN_FILES = 200  # shards kept open by a process; systems commonly allow 1,024 files


class Samples(Dataset[tuple[torch.Tensor, Any]]):
    """The pictures of `table`: `samples[row]` is `(uint8 RGB tensor (3, side, side), row)`.

    A list of n rows gives a batch at once: `(uint8 (n, 3, side, side), int64 (n,) rows)`, of pictures of one side.
    `table`, kept as the attribute `table` with its rows numbered from 0, has the columns of tables.SAMPLES; `folders`
    gives for each dataset key the folder with its tars. With `size` a larger picture is made `size` pixels wide and
    high while it is decoded (see `_decode`); a smaller one stays as it is.

    A shard that is missing, cut short or holds no JPEG at the offset raises UserError when it is read.
    """

    def __init__(self, table: pd.DataFrame, folders: dict[str, Path], size: int | None = None) -> None:
        self.table = table.reset_index(drop=True)
        # Arrays and few objects: a worker process would copy a data frame's memory, or a list's, page by page through
        # reference counts.
        places = self.table[["dataset", "shard"]]
        self._shards = [folders[key] / name for key, name in places.drop_duplicates().itertuples(index=False)]
        self._shard_of_row = places.groupby(["dataset", "shard"], sort=False).ngroup().to_numpy(np.int64)
        self._offsets = self.table["offset"].to_numpy(np.int64)
        self._lengths = self.table["bytes"].to_numpy(np.int64)
        self._size = size
        self._open: dict[Path, io.FileIO] = {}

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, rows: int | list[int]) -> tuple[torch.Tensor, Any]:
        if not isinstance(rows, list):
            return self[[rows]][0][0], rows
        import cv2

        pictures = [self._picture(row) for row in rows]
        batch = np.empty((len(rows), 3, *pictures[0].shape[:2]), np.uint8)
        for planes, picture in zip(batch, pictures, strict=True):
            if picture.shape[:2] != planes.shape[1:]:
                sides = f"{planes.shape[2]}x{planes.shape[1]} and {picture.shape[1]}x{picture.shape[0]}"
                raise UserError(f"pictures of {sides} pixels cannot be in one batch; give a `size` that both have")
            cv2.split(picture, list(planes))  # into place: neither a copy per picture nor one of the batch
        return torch.from_numpy(batch), torch.tensor(rows)

    def _picture(self, row: int) -> np.ndarray:
        """Return a picture, RGB (height, width, 3)."""
        shard, offset, length = self._shards[self._shard_of_row[row]], int(self._offsets[row]), int(self._lengths[row])
        # Not seek and read: forked workers share the read position of files that were open before.
        file = self._file(shard)  # held until it is read: another thread may let go of it
        encoded = os.pread(file.fileno(), length, offset)
        picture = _decode(encoded, self._size) if len(encoded) == length else None
        if picture is None:
            raise UserError(
                f"{shard}: no picture at byte {offset} for {self.table['key'][row]}; the shard is not the one "
                "samples.parquet was written for, or damaged: `veriframe verify` tells"
            )
        return picture

    def _file(self, path: Path) -> io.FileIO:
        file = self._open.get(path)
        if file is None:
            try:
                file = io.FileIO(path)
            except FileNotFoundError:
                raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first") from None
            for oldest in list(self._open)[: max(0, len(self._open) - _OPEN_FILES + 1)]:
                self._open.pop(oldest, None)  # closed when no thread reads it any more
            self._open[path] = file
        return file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}


def open_dataset(folder: str | os.PathLike[str], split: str | None = None, *, size: int | None = None) -> Samples:
    """Open a folder that the stage shard wrote, or a copy of it anywhere: one split (train, val, test) or all.

    `size`: see Samples. Shards of other splits need not be there. Raises UserError when a file that is needed is
    missing or has another size than manifest.json says.
    """
    folder = Path(folder)
    if size is not None and size < 1:
        raise UserError(f"size must be at least 1 pixel, not {size}")
    if split not in (None, *tables.SPLITS):
        raise UserError(f"there is no split {split!r}; known: {', '.join(tables.SPLITS)}")
    files = manifests.read(folder / manifests.NAME)["files"]
    manifests.require_whole(folder, files, ["samples.parquet"])
    where = None if split is None else pc.field("split") == split
    table = tables.read(folder / "samples.parquet", tables.SAMPLES, where=where)
    manifests.require_whole(folder, files, sorted(table["shard"].unique()))
    return Samples(table, dict.fromkeys(table["dataset"].unique(), folder), size)


def _decode(encoded: bytes, size: int | None) -> np.ndarray | None:
    """Return the RGB picture (side, side, 3) of a JPEG, or None when it is none.

    With `size`, a larger picture is scaled down to it: first by JPEG's own reduced decoding (it skips most of the
    work), to the smallest of 1/8, 1/4 and 1/2 that is not below `size` and has a whole number of pixels; then by area.
    """
    import cv2

    content = np.frombuffer(encoded, np.uint8)
    if size is None:
        return cv2.imdecode(content, cv2.IMREAD_COLOR_RGB)
    side = _side(encoded)
    # OpenCV has no name for "reduced and RGB": it is the grey reduction's bit and that of RGB.
    factors = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
    reduction = next((flag for factor, flag in factors.items() if side >= factor * size and not side % factor), 0)
    picture = cv2.imdecode(content, reduction | cv2.IMREAD_COLOR_RGB)
    if picture is not None and min(picture.shape[:2]) > size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return picture


def _side(encoded: bytes) -> int:
    """Return the shorter side of a picture from its header, in pixels; 0 when it has none."""
    from PIL import Image, UnidentifiedImageError

    try:
        return min(Image.open(io.BytesIO(encoded)).size)
    except UnidentifiedImageError:
        return 0


class EpochBatches(Sampler[list[int]]):
    """The rows of each batch of an epoch, for one of the processes (ranks) that learn or score together.

    Over all ranks every one of `samples` rows comes exactly once an epoch, in the order of the table or, with a
    `seed`, in the order `epoch_order(samples, seed, epoch)`. Every rank gets the same number of batches, and sizes
    differ by at most one. No batch exceeds `batch_size`, but by one where else a rank would get a batch less, or a
    batch one sample alone, from which BatchNorm cannot learn.

    `rank` (from 0) and the number of `ranks` are those of torch.distributed where it is initialised. Raises UserError
    when there are fewer samples than ranks. As torch's DistributedSampler: call `set_epoch` before each epoch.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int | None = None, rank: int | None = None, ranks: int | None = None
    ) -> None:
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, not {batch_size}")
        self._ranks = ranks if ranks is not None else torch.distributed.get_world_size() if together else 1
        self._rank = rank if rank is not None else torch.distributed.get_rank() if together else 0
        if not 0 <= self._rank < self._ranks:
            raise UserError(f"rank must be 0 to {self._ranks - 1}, one less than ranks, not {self._rank}")
        if samples < self._ranks:
            raise UserError(f"{samples} samples cannot be shared by {self._ranks} processes; use fewer processes")
        fewest = min(batch_size, 2)
        steps = min(math.ceil(samples / (batch_size * self._ranks)), samples // (fewest * self._ranks))
        self._steps = max(1, steps)
        self._samples, self._seed, self._epoch = samples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, from 0; without a seed all are the same."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        rows = np.arange(self._samples) if self._seed is None else epoch_order(self._samples, self._seed, self._epoch)
        for part in np.array_split(rows, self._steps * self._ranks)[self._rank :: self._ranks]:
            yield part.tolist()


def epoch_order(samples: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the row numbers 0..samples-1 in an order that depends on `seed` and `epoch` alone."""
    generator = np.random.default_rng(int(sha256_of_text("epoch_order", seed, epoch)[:16], 16))
    return generator.permutation(samples)


def loader(
    samples: Samples,
    batch_size: int,
    seed: int | None = None,
    *,
    workers: int | None = None,
    rank: int | None = None,
    ranks: int | None = None,
) -> DataLoader[tuple[torch.Tensor, Any]]:
    """Return a loader of batches `(uint8 (n, 3, side, side), int64 (n,) rows)`.

    Over all ranks each sample comes once an epoch. The loader's `sampler` is an EpochBatches of `batch_size`, `seed`,
    `rank` and `ranks`. `workers` is the number of worker processes of this rank (default: as many as the machine has
    cores for it, none for a small set); it changes nothing in what comes out.
    """
    if workers is None:
        ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun says so
        workers = max(1, machine.workers() // ranks_here) if len(samples) >= _WORTH_WORKERS else 0
    return DataLoader(
        samples,
        batch_size=None,  # the sampler gives whole batches, and Samples makes them
        sampler=EpochBatches(len(samples), batch_size, seed, rank, ranks),
        num_workers=workers,
        worker_init_fn=_in_worker,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _in_worker(number: int) -> None:
    """One thread in each worker process: there is one for every core."""
    import cv2

    cv2.setNumThreads(0)
