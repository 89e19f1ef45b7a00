"""Pack final pictures into WebDataset shards. A video always falls into the same shard of its split."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import pandas as pd
from pydantic import Field

from pipeline import params, tars
from pipeline.crops import Alignment, encode, final_picture
from pipeline.engines import Run
from pipeline.errors import UserError
from pipeline.files import bucket_of, sha256_of_bytes, sha256_of_text
from pipeline.progress import track

Count = Annotated[int, Field(ge=1, le=100_000)]
Job = dict[str, Any]


class Shards(params.Section):
    """Tars for each split."""

    train: Count
    val: Count
    test: Count


class Params(params.Section):
    """The section `shard` of params.yaml."""

    size: int = Field(ge=32, le=1024)
    alignment: Alignment
    margin: float = Field(ge=0, le=2)
    jpeg_quality: int = Field(ge=1, le=100)
    shards: Shards

    @property
    def look(self) -> dict[str, Any]:
        """How final pictures are made; what `final_jpg` takes."""
        return self.model_dump(exclude={"shards"})


def _shard_name(split: str, number: int) -> str:
    return f"{split}/{split}-{number:06d}.tar"  # a folder each, so that one split can be imported alone


def shard_names(frames: pd.DataFrame, shards: dict[str, int]) -> pd.Series:
    """Return the shard of each frame, `<split>/<split>-<number>.tar`, from its split and the hash of its video."""
    names = [
        _shard_name(split, bucket_of(video, shards[split]))
        for video, split in zip(frames.video, frames.split, strict=True)
    ]
    return pd.Series(names, index=frames.index, dtype="str")


def write_shards(
    frames: pd.DataFrame, crops: Path, out: Path, look: dict[str, Any], shards: dict[str, int], run: Run
) -> pd.DataFrame:
    """Write the shards of the kept `frames` (rows of tables.FRAMES with dataset) and return rows of tables.SAMPLES.

    `crops` is the folder of the loose crops; `look` is that of Params; `shards` the number of shards per split: all
    are written, also those that stay empty.
    """
    frames = frames.assign(shard=shard_names(frames, shards))
    # Within a shard by hash, so that a plain sequential reader meets classes and videos mixed.
    frames = (
        frames.assign(chance=frames.key.map(sha256_of_text)).sort_values(["shard", "chance"]).drop(columns="chance")
    )
    names = [_shard_name(split, number) for split, count in shards.items() for number in range(count)]
    rows_of = dict(list(frames.groupby("shard")))  # tables, not dictionaries: those of 4 million frames take 10 GB
    jobs = [
        {"name": name, "rows": rows_of.get(name, frames[:0]), "crops": str(crops), "out": str(out), "look": look}
        for name in names
    ]
    placed: list[dict[str, Any]] = []
    for job, result in track(run, write_shard, jobs, "shard", "tar"):
        if isinstance(result, Exception):
            raise UserError(f"shard {job['name']} could not be written: {result or type(result).__name__}")
        placed += result
    places = pd.DataFrame(placed, columns=["key", "offset", "bytes", "sha256"])
    return frames.drop(columns=["offset", "bytes", "sha256"]).merge(places, on="key", validate="one_to_one")


def timm_info(samples: pd.DataFrame, shards: dict[str, int]) -> dict[str, Any]:
    """Return what timm's WebDataset reader looks up in `_info.json`: the shards of each split and their lengths.

    `samples` are rows of tables.SAMPLES, `shards` the number of shards per split. `alt_label` makes timm take the label
    from a sample's .json member.
    """
    lengths = samples.shard.value_counts()
    splits = {}
    for split, count in shards.items():
        names = [_shard_name(split, number) for number in range(count)]
        shard_lengths = [int(lengths.get(name, 0)) for name in names]
        splits[split] = {"name": split, "num_samples": sum(shard_lengths), "alt_label": "label"}
        splits[split] |= {"filenames": names, "shard_lengths": shard_lengths}
    return {"splits": splits}


def write_shard(job: Job) -> list[dict[str, Any]]:
    """Write one shard (runs in a worker); return key, offset, bytes and sha256 of each picture."""
    rows = job["rows"].to_dict("records")
    pictures: list[dict[str, Any]] = []

    def members() -> Iterator[tuple[str, bytes]]:
        for row in rows:
            jpg = final_jpg(row, Path(job["crops"]), job["look"])
            pictures.append({"key": row["key"], "bytes": len(jpg), "sha256": sha256_of_bytes(jpg)})
            yield f"{row['key']}.jpg", jpg
            yield f"{row['key']}.json", _description(row)

    offsets = tars.write_tar(Path(job["out"]) / job["name"], members())
    return [picture | {"offset": offset} for picture, offset in zip(pictures, offsets[::2], strict=True)]


def final_jpg(row: dict[str, Any], folder: Path, look: dict[str, Any]) -> bytes:
    """Return the final picture, JPEG, of a row of tables.FRAMES whose loose crop lies in `folder`; see Params.look."""
    content = tars.read_member(folder / row["tar"], int(row["offset"]), int(row["bytes"]))
    loose = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR_RGB)
    if loose is None:
        raise ValueError(f"{folder / row['tar']} holds no picture at byte {row['offset']}; run check")
    at = (int(row["crop_x"]), int(row["crop_y"]))
    face = _face(row) or {"box": None, "landmarks": ()}
    how = {name: look[name] for name in ("alignment", "margin", "size")}
    return encode(final_picture(loose, at, face["box"], face["landmarks"], **how), look["jpeg_quality"])


def _face(row: dict[str, Any]) -> dict[str, Any]:
    """Return box, landmarks and chosen_by of the face; nothing where no detector ran: the crop is the whole frame."""
    if pd.isna(row["box_x"]):
        return {}
    box = tuple(int(row[f"box_{side}"]) for side in ("x", "y", "width", "height"))
    return {"box": box, "landmarks": [int(value) for value in row["landmarks"]], "chosen_by": row["chosen_by"]}


def _description(row: dict[str, Any]) -> bytes:
    """Return the .json member: what a reader without our tables needs to know of the sample."""
    words = {name: row[name] for name in ("dataset", "video", "method", "split", "group")}
    numbers = {name: int(row[name]) for name in ("label", "frame", "pts")}
    time = {"time_s": None if pd.isna(row["time_s"]) else row["time_s"]}  # images have none
    return json.dumps(words | numbers | _face(row) | time, sort_keys=True).encode()
