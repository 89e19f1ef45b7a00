"""Pictures of faces inside the page: read from the shards where a run's tables say they lie, as data: URIs."""

import base64
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import UserError
from pipeline.files import sha256_of_bytes, sha256_of_text
from pipeline.reporting.run import Run
from pipeline.reporting.source import Source
from pipeline.tables import CLASSES, FAKE, REAL

Pixels = npt.NDArray[np.uint8]

_SHEET_SIDE = 192  # pixels; larger pictures are scaled down to it
_QUALITY = 85  # of the JPEGs in the page


def sheet(run: Run, size: int) -> dict[str, list[dict[str, Any]]]:
    """Return `size` pictures of a run's test videos, half real and half fake (fewer where there are too few videos).

    Chosen by a hash of the frame's key, one frame a video, datasets and methods in turn: the same for the same
    samples. Each has `source` (a data: URI), `text` (what it shows), `dataset` and `method`. Raises UserError where a
    shard is missing, or is not the one that samples.parquet was written for.
    """
    parts = [dataset.samples[dataset.samples.split == "test"] for dataset in run.datasets]
    samples = pd.concat(parts, ignore_index=True)
    order = {label: _in_turn(samples[samples.label == label]) for label in CLASSES}
    each = min(size // 2, len(order[REAL]), len(order[FAKE]))
    return {
        name: [_of_sheet(run.source, row, name) for row in samples.loc[order[label][:each]].itertuples()]
        for label, name in CLASSES.items()
    }


def read(source: Source, sample: Any, side: int) -> Pixels:
    """Return the picture of a row of tables.SAMPLES, BGR (height, width, 3), at most `side` pixels wide and high.

    Raises UserError where its shard is missing, or is not the one that samples.parquet was written for.
    """
    import cv2

    picture = np.asarray(cv2.imdecode(np.frombuffer(_jpeg(source, sample), np.uint8), cv2.IMREAD_COLOR), np.uint8)
    longer = max(picture.shape[:2])
    if longer <= side:
        return picture
    smaller = cv2.resize(picture, None, fx=side / longer, fy=side / longer, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)


def overlaid(picture: Pixels, heatmap: Any) -> Pixels:
    """Return `picture` under a half transparent map: what speaks for fake is light, the rest dark.

    `heatmap` is a row of tables.HEATMAPS; its cells are scaled up to the picture bilinearly.
    """
    import cv2

    cells = np.frombuffer(heatmap.values, np.uint8).reshape(heatmap.height, heatmap.width)
    height, width = picture.shape[:2]
    # Inferno grows lighter evenly, so that it is read alike in print and by the colour-blind.
    colours = cv2.applyColorMap(
        cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR), cv2.COLORMAP_INFERNO
    )
    return np.asarray(cv2.addWeighted(picture, 0.5, colours, 0.5, 0), np.uint8)


def data_uri(picture: Pixels) -> str:
    """Return a BGR picture as a data: URI of a JPEG."""
    import cv2

    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _in_turn(samples: pd.DataFrame) -> list[int]:
    """Return row numbers, one a video: the first of each dataset and method, then the second of each, and so on."""
    mixed = samples.assign(mix=[sha256_of_text("sheet", key) for key in samples.key]).sort_values("mix")
    chosen = mixed.drop_duplicates("video")
    columns = [list(part.index) for _, part in chosen.groupby(["dataset", "method"], sort=True)]
    return [row for row in chain.from_iterable(zip_longest(*columns)) if row is not None]


def _of_sheet(source: Source, row: Any, name: str) -> dict[str, Any]:
    return {
        "source": data_uri(read(source, row, _SHEET_SIDE)),
        "text": f"{name} face, {row.method}: {row.video}, frame {row.frame}",
        "dataset": row.dataset,
        "method": row.method,
    }


def _jpeg(source: Source, sample: Any) -> bytes:
    path = f"data/shard/{sample.dataset}/{sample.shard}"
    try:
        jpeg = source.read_range(path, int(sample.offset), int(sample.bytes))
    except UserError as error:
        raise UserError(f"{error}, or set report.pictures to false") from None
    if sha256_of_bytes(jpeg) != sample.sha256:
        raise UserError(
            f"{path} of {source.name} is not the shard samples.parquet was written for; `veriframe verify` tells more"
        )
    return jpeg
