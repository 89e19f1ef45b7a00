"""How large crops are, and what shard will make of them; measured on answers in the work cache."""

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from pipeline import crops, tars
from pipeline.extracting import answer_store
from pipeline.sharding import shard_sizes, shards

Row = dict[str, Any]


def of_answers(store: str, asked: int, look: shards.Params) -> Row:
    """Return what the answers in a `store` of the work cache hold: frames `tried` and `usable`, and bytes.

    At least the `asked` frames were tried: a video that is lost, or a frame without the box of its original, has no
    answer. `stored_bytes` are those of the answers, `crop_bytes` and `picture_bytes` what the usable frames take in the
    tars of extract and shard.
    """
    rows = pd.DataFrame(answer_store.stored(store), columns=["frame", "crops", "start", "bytes"])
    tried = max(rows.frame.nunique(), asked)
    # Of several faces mostly the largest is taken.
    rows = rows[rows.start.notna()].sort_values("bytes").drop_duplicates("frame", keep="last")
    middle = rows[len(rows) // 2 :][:1].astype({"start": int, "bytes": int})
    places = zip(middle.crops, middle.start, middle.bytes, strict=True)
    pictures = map(partial(_picture, look), answer_store.read_crops(places))
    return {
        "tried": tried,
        "usable": len(rows),
        "stored_bytes": sum(path.stat().st_size for path in Path(store).glob("[!.]*")),
        "crop_bytes": sum(map(tars.stored_size, rows.bytes.astype(int))),
        "picture_bytes": len(rows) * sum(shard_sizes.of_sample(len(picture)) for picture in pictures),
    }


def _picture(look: shards.Params, crop: bytes) -> bytes:
    """Return the picture that shard would make of a crop, about: the whole crop, not only the face."""
    loose = np.asarray(cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR_RGB))
    whole = (0, 0, loose.shape[1], loose.shape[0])
    picture = crops.final_picture(loose, (0, 0), whole, (), alignment="none", margin=0, size=look.size)
    return crops.encode(picture, look.jpeg_quality)
