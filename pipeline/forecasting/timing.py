"""How long a worker takes for one request; apart from the forecast, which workers need not import."""

import time

import numpy as np

from pipeline.extracting import answers, faces
from pipeline.extracting.answers import Request


def timed(request: Request) -> tuple[float, str | None]:
    """Answer a request (runs in a worker); return the seconds that took, and a reason if there is no answer."""
    if request.recipe.faces != "none":  # the detector is loaded once in a worker's life, and that must not count
        faces.detect([np.zeros((64, 64, 3), np.uint8)], request.recipe.min_face, request.recipe.detection_side)
    start = time.perf_counter()
    lost = answers.extract_video(request)
    return time.perf_counter() - start, lost
