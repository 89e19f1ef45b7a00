"""Encode pictures as H.264 in MP4 with x264: one setting for everything, the same bytes on every machine.

x264's output depends on its number of threads, so there is one. Pixels become YUV by OpenCV's integer arithmetic
(BT.601, limited range), and the tags say so.
"""

import io
from collections.abc import Iterable
from fractions import Fraction

import av
import cv2
import numpy as np

# No scene cuts: key frames stand where the clock puts them, whatever the picture shows. No mbtree: together with B
# frames it makes this x264 (core 165) write other bytes in every call. cpu-independent: no choices by processor.
SETTINGS = {
    "preset": "veryfast",
    "threads": "1",
    "x264-params": "scenecut=0:mbtree=0:cpu-independent=1",
}
KEY_FRAME_EVERY = 12
# Constant quality under a ceiling that nearly every recording reaches. A forged face lacks the camera's noise and
# needs some 4 % fewer bits; under the ceiling the rest of the picture gets them, and the size does not tell.
BITS_PER_PIXEL = 0.2  # at the best quality, and half as much for every 6 steps of crf
BEST_CRF = 16
BUFFER_SECONDS = 0.5
COLOUR = {"colorspace": "smpte170m", "color_primaries": "smpte170m", "color_trc": "smpte170m", "color_range": "tv"}


def encode(pictures: Iterable[np.ndarray], frame_rate: Fraction | int, crf: int = BEST_CRF) -> bytes:
    """Return an MP4 file of RGB pictures of one even-sized shape (height, width, 3), dtype uint8.

    `crf` is x264's constant rate factor, 0 to 51, less is better.
    Raises ValueError for no picture and for an odd size.
    """
    file = io.BytesIO()
    # bitexact: no library version in the container, so that a patch release of FFmpeg changes no byte of it.
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = None
        for index, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            if stream is None:
                if height % 2 or width % 2:
                    raise ValueError(f"{width}x{height}: yuv420p needs even sizes")
                bits = BITS_PER_PIXEL * 2 ** ((BEST_CRF - crf) / 6)
                options = SETTINGS | COLOUR | {"crf": str(crf)} | _ceiling(bits * width * height * float(frame_rate))
                stream = container.add_stream("libx264", rate=frame_rate, options=options)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.gop_size = KEY_FRAME_EVERY
            planes: np.ndarray = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2YUV_I420)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, 1 / Fraction(frame_rate)
            container.mux(stream.encode(frame))
        if stream is None:
            raise ValueError("a video needs at least one picture")
        container.mux(stream.encode(None))
    return file.getvalue()


def _ceiling(bits_per_second: Fraction | float) -> dict[str, str]:
    return {"maxrate": str(int(bits_per_second)), "bufsize": str(int(bits_per_second * BUFFER_SECONDS))}
