"""Small made-up inputs of train and evaluate: real shards of grain in which a fake has a smooth red disc."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa

import in_process
from pipeline import tables
from pipeline.files import sha256_of_bytes, sha256_of_text
from pipeline.sharding import sealing
from pipeline.tars import write_tar

METHODS = {"real": tables.REAL, "swap": tables.FAKE, "mask": tables.FAKE}


def picture(label: int, seed: int, side: int = 64) -> bytes:
    """Return a JPEG: grain on a greyish colour; in a fake a disc in the middle is smooth and redder."""
    random = np.random.default_rng(seed)
    pixels = random.uniform(110, 140, 3) + random.normal(0, 20, (side, side, 3))
    if label == tables.FAKE:
        y, x = np.mgrid[:side, :side] - side / 2
        inside = (x**2 + y**2 < (side * 0.3) ** 2)[..., None]
        pixels = np.where(inside, cv2.GaussianBlur(pixels, (0, 0), 3) + np.array([0, 0, 60]), pixels)
    done, encoded = cv2.imencode(".jpg", pixels.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return bytes(encoded)


def write_dataset(
    data: Path, key: str, videos: dict[str, dict[str, int]], frames: int = 3, side: int = 64
) -> pd.DataFrame:
    """Write data/shard, split and index of `key` with `videos[split][method]` videos; return the samples.

    Videos of one split and number show the same recording and are one provenance group.
    """
    rows, assignments = [], []
    for split, methods in videos.items():
        members = []
        for method, count in methods.items():
            label = METHODS[method]
            for number in range(count):
                video = f"{key}/{method}/native/{split}{number}"
                group = f"{key}:{split}:{number}"
                assignments.append(
                    {"video": video, "label": label, "method": method, "group": group, "split": split}
                    | {"split_by": "official", "status": "ok", "reason": ""}
                )
                for frame in range(frames):
                    name = f"{key}__{method}__native__{split}{number}__f{frame:06d}"
                    members.append((name, picture(label, int(sha256_of_text(name)[:8], 16), side)))
                    rows.append(
                        {"key": name, "dataset": key, "video": video, "split": split, "label": label, "method": method}
                        | {"group": group, "frame": frame, "time_s": frame / 25, "shard": f"{split}/{split}-000000.tar"}
                    )
        folder = data / "shard" / key
        offsets = write_tar(folder / f"{split}/{split}-000000.tar", [(f"{name}.jpg", jpeg) for name, jpeg in members])
        for row, offset, (_, jpeg) in zip(rows[-len(members) :], offsets, members, strict=True):
            row |= {"offset": offset, "bytes": len(jpeg), "sha256": sha256_of_bytes(jpeg)}
    tables.write(data / "shard" / key / "samples.parquet", rows, tables.SAMPLES, order=["key"])
    sealing.seal(data / "shard" / key, {"dataset": key, "samples": len(rows)}, in_process.run)
    tables.write(data / "split" / key / "videos.parquet", assignments, tables.ASSIGNMENTS, order=["video"])
    indexed = [_indexed(key, row) for row in assignments]
    tables.write(data / "index" / key / "videos.parquet", indexed, tables.VIDEOS, order=["video"])
    return tables.read(data / "shard" / key / "samples.parquet", tables.SAMPLES)


def _indexed(key: str, row: dict[str, object]) -> dict[str, object]:
    """Return a row of tables.VIDEOS for one of tables.ASSIGNMENTS: what links the video, and nothing of the file."""
    empty = {field.name: None if field.nullable else "" for field in tables.VIDEOS}
    known = {name: row[name] for name in ("video", "label", "method", "status", "reason")}
    facts = {"dataset": key, "media": "video", "compression": "native", "sha256": sha256_of_text(row["video"])}
    return empty | known | facts | {"recording": row["group"]}


def write_frames(data: Path, key: str, samples: pd.DataFrame, failed: list[dict[str, object]]) -> None:
    """Write data/extract/<key>/frames.parquet: the samples as kept frames, and `failed` ones (a few columns each)."""
    kept = samples[["key", "video", "split", "label", "method", "group", "frame"]].to_dict("records")
    rows = [row | {"status": "kept", "reason": ""} for row in kept]
    rows += [row | {"status": "failed"} for row in failed]
    zero = {pa.string(): "", tables.name: "", pa.bool_(): False}
    empty = {field.name: None if field.nullable else zero.get(field.type, 0) for field in tables.FRAMES}
    folder = data / "extract" / key
    tables.write(folder / "frames.parquet", [empty | row for row in rows], tables.FRAMES, order=["key"])
