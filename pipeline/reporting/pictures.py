"""The picture sheet: as many real as fake faces, spread over datasets and methods, as data inside the page."""

import base64
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

import pandas as pd

from pipeline.errors import UserError
from pipeline.files import sha256_of_text
from pipeline.reporting.facts import Dataset
from pipeline.tables import CLASSES, FAKE, REAL
from pipeline.tars import read_member

_SIDE = 192  # pixels; larger pictures are scaled down to it


def sheet(datasets: Iterable[Dataset], size: int) -> dict[str, list[dict[str, Any]]]:
    """Return `size` pictures of test videos, half real and half fake (fewer where there are too few videos).

    Chosen by a hash of the frame's key, one frame a video, datasets and methods in turn: the same for the same
    samples. Each has `source` (a data: URI), `text` (what it shows), `dataset` and `method`.
    """
    datasets = list(datasets)
    folders = {dataset.key: dataset.shards for dataset in datasets}
    samples = pd.concat([dataset.samples[dataset.samples.split == "test"] for dataset in datasets], ignore_index=True)
    order = {label: _in_turn(samples[samples.label == label]) for label in CLASSES}
    each = min(size // 2, len(order[REAL]), len(order[FAKE]))
    return {
        name: [_picture(row, folders[str(row.dataset)], name) for row in samples.loc[order[label][:each]].itertuples()]
        for label, name in CLASSES.items()
    }


def _in_turn(samples: pd.DataFrame) -> list[int]:
    """Return row numbers, one a video: the first of each dataset and method, then the second of each, and so on."""
    mixed = samples.assign(mix=[sha256_of_text("sheet", key) for key in samples.key]).sort_values("mix")
    chosen = mixed.drop_duplicates("video")
    columns = [list(part.index) for _, part in chosen.groupby(["dataset", "method"], sort=True)]
    return [row for row in chain.from_iterable(zip_longest(*columns)) if row is not None]


def _picture(row: Any, folder: Any, name: str) -> dict[str, Any]:
    path = folder / row.shard
    if not path.is_file():
        raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first, or set report.pictures to false")
    source = base64.b64encode(_small(read_member(path, row.offset, row.bytes), path)).decode()
    return {
        "source": f"data:image/jpeg;base64,{source}",
        "text": f"{name} face, {row.method}: {row.video}, frame {row.frame}",
        "dataset": row.dataset,
        "method": row.method,
    }


def _small(jpeg: bytes, path: Any) -> bytes:
    """Return the picture itself, or scaled down when it is larger than a page needs."""
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        raise UserError(f"{path} is not the shard samples.parquet was written for; `veriframe verify` tells more")
    longer = max(picture.shape[:2])
    if longer <= _SIDE:
        return jpeg
    smaller = cv2.resize(picture, None, fx=_SIDE / longer, fy=_SIDE / longer, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", smaller, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])
