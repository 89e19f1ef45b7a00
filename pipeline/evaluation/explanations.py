"""Grad-CAM maps of the worst errors: where the network saw a fake, or how little of one."""

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from pipeline.evaluation.worst import worst_errors
from pipeline.models import grad_cam, transforms
from pipeline.models.stored import Stored
from pipeline.reading import Samples

SIDE = 32  # cells of a stored map, rows and columns; finer than the last feature map of any common network
_AT_ONCE = 16  # pictures; all that lies between input and output is kept for the gradients


def rows(
    model: Stored, test: Samples, frame_scores: pd.DataFrame, threshold: float, count: int
) -> list[dict[str, object]]:
    """Return rows of tables.HEATMAPS: `count` worst false positives and as many worst false negatives, one a video.

    `frame_scores` are the frame rows of tables.SCORES that `model` gave the pictures of `test`; a score above
    `threshold` (0..1) is called fake. Computed where the weights are. No rows for a model that Grad-CAM cannot explain:
    one that ends in tokens or in an embedding, or whose answer is a classifier's on embeddings.
    """
    if model.classifier is not None:
        return []
    wrong = pd.concat(worst_errors(frame_scores, threshold, count))
    at = pd.Index(test.table["key"]).get_indexer(pd.Index(wrong["key"])).tolist()
    where = next(model.network.parameters()).device
    generator = torch.Generator().manual_seed(0)  # for transform.augment, as in scoring.outputs
    found: list[dict[str, object]] = []
    for start in range(0, len(at), _AT_ONCE):
        part = at[start : start + _AT_ONCE]
        pictures, _ = test[part]
        inputs = transforms.for_evaluation(pictures, model.transform, generator).to(where)
        maps = grad_cam.heatmaps(model.network, inputs)
        if maps is None:
            return []
        for key, cells in zip(test.table["key"].iloc[part], maps, strict=True):
            values = on_picture(cells, model.transform.crop)
            found.append({"key": key, "height": SIDE, "width": SIDE, "values": values.tobytes()})
    return found


def on_picture(cells: npt.NDArray[np.float32], crop: float) -> npt.NDArray[np.uint8]:
    """Return a map of the whole picture, uint8 (SIDE, SIDE), for one in 0..1 of what the network was shown of it.

    That is the middle, `crop` (0..1) of each side; the margin around it, which the network never saw, is 0.
    """
    inner = max(1, round(SIDE * crop))
    start = (SIDE - inner) // 2
    values = np.zeros((SIDE, SIDE), np.uint8)
    scaled = cv2.resize(cells, (inner, inner), interpolation=cv2.INTER_LINEAR)
    values[start : start + inner, start : start + inner] = np.rint(255 * scaled)
    return values
