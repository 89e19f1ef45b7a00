"""What happens to pictures on their way through the world: compression, scaling, blur, noise, another exposure.

Each corruption takes a picture as it lies in the shard, uint8 RGB (height, width, 3), and gives one of the same size.
The same picture and strength give the same bytes, whatever else is corrupted before or beside it.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

import av
import cv2
import numpy as np
from pydantic import Field

from pipeline import crops
from pipeline.files import sha256_of_text
from pipeline.params import Section

Picture = np.ndarray
Name = Literal["jpeg", "blur", "resize", "noise", "brightness", "h264"]

# One thread, because x264's output depends on their number; cpu-independent: no choices by processor. mbtree and scene
# cuts look at frames to come, of which there are none.
_X264 = {"preset": "medium", "threads": "1", "x264-params": "keyint=1:scenecut=0:mbtree=0:cpu-independent=1"}


class Knobs(Section):
    """The section `evaluate.robustness` of params.yaml."""

    corruptions: list[Name]
    frames: Annotated[int, Field(ge=1, le=32)]


class Corruption(NamedTuple):
    """`change(picture, strength, key)` for each of `strengths`, which are in `unit`; `key` names the picture."""

    unit: str
    strengths: tuple[float, ...]
    change: Callable[[Picture, float, str], Picture]


def jpeg(picture: Picture, quality: float, key: str = "") -> Picture:
    """Compress the picture as JPEG of `quality`, 1 (worst) to 100, with colour at half the resolution; open it."""
    encoded = crops.encode(picture, int(quality))
    opened = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert opened is not None
    return opened


def blur(picture: Picture, deviation: float, key: str = "") -> Picture:
    """Smooth the picture with a Gaussian of `deviation` pixels, above 0."""
    return cv2.GaussianBlur(picture, (0, 0), deviation)


def resize(picture: Picture, times: float, key: str = "") -> Picture:
    """Make the picture `times` (1 or more) smaller by averaging areas, and bilinearly as large as it was."""
    height, width = picture.shape[:2]
    less = (max(1, round(width / times)), max(1, round(height / times)))
    small = cv2.resize(picture, less, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def noise(picture: Picture, deviation: float, key: str) -> Picture:
    """Add Gaussian noise to each value, of the standard `deviation` given as a share of white, 0..1.

    The noise comes from `key`: one picture has the same at every strength, only more of it, and no two have the same.
    """
    chance = np.random.default_rng(int(sha256_of_text("noise", key)[:16], 16))
    added = chance.standard_normal(picture.shape, np.float32) * np.float32(255 * deviation)
    return cv2.add(picture, added, dtype=cv2.CV_8U)


def brightness(picture: Picture, factor: float, key: str = "") -> Picture:
    """Multiply all values by `factor`, 0 or more: 0 gives black, 1 the picture; what is too bright becomes white."""
    return cv2.convertScaleAbs(picture, alpha=factor)


def h264(picture: Picture, crf: float, key: str = "") -> Picture:
    """Compress the picture as one I-frame of H.264 by x264 at the constant rate factor `crf`, 0 to 51; decode it.

    Milder than a video of that CRF, where x264 takes coarser steps for the frames that it predicts from others (its
    option ipratio). Colour has half the resolution (4:2:0, BT.601), so an odd side gets its last row or column twice,
    which is cut off again.
    """
    height, width = picture.shape[:2]
    even = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    planes: np.ndarray = cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420)
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = _X264 | {"crf": str(crf)}
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    (decoded,) = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    opened = cv2.cvtColor(decoded.to_ndarray(format="yuv420p"), cv2.COLOR_YUV2RGB_I420)
    return np.ascontiguousarray(opened[:height, :width])


CORRUPTIONS: dict[Name, Corruption] = {
    "jpeg": Corruption("quality", (90, 70, 50, 30), jpeg),
    "blur": Corruption("standard deviation, pixels", (1, 2, 3), blur),
    "resize": Corruption("times smaller", (2, 4), resize),
    "noise": Corruption("standard deviation, share of white", (0.02, 0.05, 0.1), noise),
    "brightness": Corruption("factor", (0.5, 0.75, 1.25, 1.5), brightness),
    "h264": Corruption("CRF, intra only", (28, 40), h264),
}
