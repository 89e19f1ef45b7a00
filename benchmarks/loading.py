"""Claim: our reader gives 1.3 times the samples of torchvision's ImageFolder, and not fewer than plain webdataset.

Run it from the project's root: `.venv/bin/python benchmarks/loading.py [--folder FOLDER]`. It writes 4,000 pictures of
224 pixels (JPEG of quality 95, some 30 kB each: soft shapes with grain) as shards and the same files as a folder tree,
and reads both in batches of 64, shuffled, without and with two worker processes: by `reading.loader`, by ImageFolder
(PIL, PILToTensor) and by webdataset (tars in sequence, a shuffle buffer, PIL, no index). All decode to the same
pixels, which is checked. The readers take turns, and each figure is the median of its rounds. Whoever reads is the
whole program here: nothing learns beside it.

Reported apart: pictures stored at 448 pixels and wanted at 112, which we decode reduced; and the memory of the process
and its two workers (proportional set size) after each of ten epochs, which must not grow.
"""

import json
import multiprocessing
import statistics
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import webdataset as wds
from corpus import judge, working_folder
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, PILToTensor, Resize

from pipeline import reading, tables
from pipeline.engines import local_engine
from pipeline.sharding import manifests, sealing
from pipeline.tars import write_tar

PICTURES, SIDE, SHARDS, BATCH, ROUNDS = 4000, 224, 8, 64, 5
LARGE_PICTURES, LARGE_SIDE, WANTED = 600, 448, 112
OVER_IMAGEFOLDER, OVER_WEBDATASET, GROWTH = 1.3, 1.0, 1.05
EPOCHS = 10

Batches = Iterable[tuple[torch.Tensor, Any]]


def main() -> None:
    """Write the pictures, compare pixels, speed and memory, judge the claims."""
    with working_folder("Samples per second of shards and of loose files.") as folder:
        for name, count, side in (("224", PICTURES, SIDE), ("448", LARGE_PICTURES, LARGE_SIDE)):
            if not (folder / name / "shards" / manifests.NAME).exists():
                write_pictures(folder / name, count, side)
        torch.set_num_threads(1)  # as in workers: on many threads the small copies of the rivals only take longer
        compare_pixels(folder / "224")
        claims = {}
        print(f"{'samples/s':12}{'ours':>8}{'ImageFolder':>14}{'webdataset':>12}{'ratios':>14}", flush=True)
        for workers in (0, 2):
            readers = [ours(folder / "224", workers), tree(folder / "224", workers), tars(folder / "224", workers)]
            rates = in_turns(readers)
            ratios = [rates[0] / rates[1], rates[0] / rates[2]]
            shown = "".join(f"{rate:{width}.0f}" for rate, width in zip(rates, (8, 14, 12), strict=True))
            print(f"{workers} workers   {shown}{ratios[0]:8.2f}{ratios[1]:6.2f}", flush=True)
            claims[f"{workers} workers: {ratios[0]:.2f} times ImageFolder (1.3)"] = ratios[0] >= OVER_IMAGEFOLDER
            claims[f"{workers} workers: {ratios[1]:.2f} times webdataset (1.0)"] = ratios[1] >= OVER_WEBDATASET
        report_reduced(folder / "448")
        claims |= judge_memory(folder / "224")
    judge(claims)


# --- pictures --------------------------------------------------------------------------------------------------------


def write_pictures(folder: Path, count: int, side: int) -> None:
    """Write the same JPEGs as `folder`/shards, as the stage shard does, and as `folder`/tree/<class>."""
    print(f"writing {count} pictures of {side} pixels", flush=True)
    random = np.random.default_rng(side)
    grain = random.normal(0, 5, (4 * side, 4 * side, 3)).astype(np.float32)
    rows = []
    for shard in range(SHARDS):
        name, members = f"train/train-{shard:06d}.tar", []
        for number in range(shard, count, SHARDS):
            label = number % 2
            row: dict[str, Any] = {
                "key": f"p{number:06d}",
                "dataset": "made",
                "video": f"made/{number}",
                "split": "train",
            }
            row |= {"label": label, "method": "fake" if label else "real", "group": f"made:{number}", "frame": 0}
            jpeg = picture(random, grain, side)
            loose = folder / "tree" / row["method"] / f"{row['key']}.jpg"
            loose.parent.mkdir(parents=True, exist_ok=True)
            loose.write_bytes(jpeg)
            members += [(f"{row['key']}.jpg", jpeg), (f"{row['key']}.json", json.dumps(row).encode())]
            rows.append(row | {"time_s": 0.0, "shard": name, "bytes": len(jpeg), "sha256": ""})
        (folder / "shards" / name).parent.mkdir(parents=True, exist_ok=True)
        offsets = write_tar(folder / "shards" / name, members)
        for row, offset in zip(rows[-len(offsets) // 2 :], offsets[::2], strict=True):
            row["offset"] = offset
    tables.write(folder / "shards/samples.parquet", rows, tables.SAMPLES, order=["key"])
    with local_engine(1) as run:
        sealing.seal(folder / "shards", {"dataset": "made", "samples": count}, run)


def picture(random: np.random.Generator, grain: np.ndarray, side: int) -> bytes:
    """Return a JPEG of soft shapes of every size, with grain."""
    canvas = np.full((side, side, 3), 128, np.float32)
    for cells in (4, 8, 16, 32, 64):
        shapes = random.normal(0, 60 / cells**0.5, (cells, cells, 3)).astype(np.float32)
        canvas += cv2.resize(shapes, (side, side), interpolation=cv2.INTER_CUBIC)
    top, left = random.integers(0, 3 * side, 2)
    canvas += grain[top : top + side, left : left + side]
    return cv2.imencode(".jpg", canvas.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


# --- readers ---------------------------------------------------------------------------------------------------------


def ours(folder: Path, workers: int, size: int | None = None) -> DataLoader[Any]:
    """Return our reader of the shards."""
    return reading.loader(reading.open_dataset(folder / "shards", size=size), BATCH, seed=0, workers=workers)


def tree(folder: Path, workers: int, transform: Callable[[Any], torch.Tensor] | None = None) -> DataLoader[Any]:
    """Return torchvision's reader of the folder tree."""
    return plain_loader(ImageFolder(folder / "tree", transform or PILToTensor()), workers, shuffle=True)


def tars(folder: Path, workers: int) -> DataLoader[Any]:
    """Return webdataset's reader of the shards."""
    urls = [str(path) for path in sorted((folder / "shards/train").iterdir())]
    samples = wds.WebDataset(urls, shardshuffle=SHARDS, seed=0).shuffle(1000).decode("torchrgb8")
    return plain_loader(samples.to_tuple("jpg", "json").map_tuple(as_it_is, label_of), workers)


def as_it_is(picture: torch.Tensor) -> torch.Tensor:
    """Return the picture."""
    return picture


def label_of(description: dict[str, Any]) -> int:
    """Return the label of a sample's .json."""
    return int(description["label"])


def plain_loader(samples: Dataset[Any], workers: int, shuffle: bool = False) -> DataLoader[Any]:
    """Return torch's own loader."""
    return DataLoader(samples, BATCH, shuffle=shuffle, num_workers=workers, persistent_workers=workers > 0)


# --- measures --------------------------------------------------------------------------------------------------------


def compare_pixels(folder: Path) -> None:
    """Require that the three decode every picture to the same pixels."""
    samples, loose = reading.open_dataset(folder / "shards"), ImageFolder(folder / "tree", PILToTensor())
    own = {samples.table["key"][row]: checksum(samples[row][0]) for row in range(len(samples))}
    files = {Path(path).stem: checksum(loose[number][0]) for number, (path, _) in enumerate(loose.samples)}
    urls = [str(path) for path in sorted((folder / "shards/train").iterdir())]
    plain = wds.WebDataset(urls, shardshuffle=False).decode("torchrgb8").to_tuple("__key__", "jpg")
    streamed = {key: checksum(pixels) for key, pixels in plain}
    if not own == files == streamed:
        raise SystemExit("error: the readers decode to different pixels, so their speeds cannot be compared")
    print(f"same pixels of {len(own)} pictures in all three", flush=True)


def checksum(pixels: torch.Tensor) -> int:
    """Return the CRC-32 of a picture's bytes."""
    return zlib.crc32(pixels.contiguous().numpy().tobytes())


def in_turns(readers: Sequence[Batches]) -> list[float]:
    """Return the samples per second of each: the median of rounds, in which they take turns, but the first."""
    rates: list[list[float]] = [[] for _ in readers]
    for _ in range(ROUNDS + 1):
        for reader, rate in zip(readers, rates, strict=True):
            started = time.perf_counter()
            samples = sum(len(pictures) for pictures, _ in reader)
            rate.append(samples / (time.perf_counter() - started))
    return [statistics.median(rate[1:]) for rate in rates]


def report_reduced(folder: Path) -> None:
    """Print what decoding straight to the wanted side brings."""
    shrunk = Compose([PILToTensor(), Resize(WANTED, antialias=True)])
    reduced, whole, loose = in_turns([ours(folder, 0, WANTED), ours(folder, 0), tree(folder, 0, shrunk)])
    print(f"stored {LARGE_SIDE}, wanted {WANTED}, no workers: {reduced:.0f} samples/s decoded reduced, ", end="")
    print(
        f"{whole:.0f} decoded whole and not scaled, {loose:.0f} by ImageFolder with Resize: {reduced / loose:.1f} times"
    )


def judge_memory(folder: Path) -> dict[str, bool]:
    """Print the memory after each epoch with two workers; return the claim that it does not grow."""
    batches = ours(folder, 2)
    megabytes = []
    for epoch in range(EPOCHS):
        batches.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for _ in batches:
            pass
        megabytes.append(memory_mb())
    print("memory after each epoch, MB:", *(f"{value:.0f}" for value in megabytes))
    growth = statistics.median(megabytes[-3:]) / statistics.median(megabytes[1:4])
    return {
        f"memory of the last three epochs {growth:.2f} of that of epochs 2 to 4 (at most {GROWTH})": growth <= GROWTH
    }


def memory_mb() -> float:
    """Return the proportional set size of this process and its workers: shared pages are counted once."""
    processes = ["self", *(str(worker.pid) for worker in multiprocessing.active_children())]
    lines = [line for process in processes for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    main()
