"""Videos of many codecs, ways of encoding and containers, as PyAV's own encoders make them."""

from pathlib import Path
from typing import Any

import av
import numpy as np

SAME = "mbtree=0:cpu-independent=1"  # else x264 writes now this file, now that
X264 = {"threads": "1", "g": "20", "crf": "20", "x264-params": SAME}
X265 = "pools=1:frame-threads=1:log-level=none:keyint=20"

# Name -> codec, options, pixel format.
ENCODINGS: dict[str, tuple[str, dict[str, str], str]] = {
    "ultrafast.mp4": ("libx264", X264 | {"preset": "ultrafast"}, "yuv420p"),
    "medium.mp4": ("libx264", X264, "yuv420p"),
    "no pyramid.mp4": ("libx264", X264 | {"b-pyramid": "none", "bf": "8", "b_strategy": "0"}, "yuv420p"),
    "pyramid.mp4": (
        "libx264",
        X264 | {"b-pyramid": "normal", "bf": "8", "b_strategy": "0", "sc_threshold": "0"},
        "yuv420p",
    ),
    "weighted, 16 references.mp4": ("libx264", X264 | {"weightp": "2", "refs": "16", "bf": "5"}, "yuv420p"),
    "open GOP.mp4": ("libx264", X264 | {"x264-params": SAME + ":open-gop=1:bframes=5:b-adapt=0"}, "yuv420p"),
    "interlaced.mp4": ("libx264", X264 | {"x264-params": SAME + ":interlaced=1:bframes=3"}, "yuv420p"),
    "intra refresh.mp4": ("libx264", X264 | {"intra-refresh": "1"}, "yuv420p"),
    "slices.mp4": ("libx264", X264 | {"slices": "4"}, "yuv420p"),
    "10 bit.mp4": ("libx264", X264, "yuv420p10le"),
    "h264.mkv": ("libx264", X264, "yuv420p"),
    "h264.ts": ("libx264", X264, "yuv420p"),
    "h264.flv": ("libx264", X264, "yuv420p"),
    "h264.nut": ("libx264", X264, "yuv420p"),
    "h264 without B-frames.avi": ("libx264", X264 | {"bf": "0"}, "yuv420p"),
    "hevc, pyramid.mp4": ("libx265", {"x265-params": X265 + ":bframes=8:b-adapt=0:b-pyramid=1"}, "yuv420p"),
    "hevc, layers.mp4": ("libx265", {"x265-params": X265 + ":temporal-layers=3"}, "yuv420p"),
    "hevc, open GOP.mkv": ("libx265", {"x265-params": X265 + ":open-gop=1:bframes=4"}, "yuv420p"),
    "mpeg4.mp4": ("mpeg4", {"g": "12", "bf": "2"}, "yuv420p"),
    "mpeg4, interlaced.mp4": ("mpeg4", {"g": "12", "bf": "2", "flags": "+ildct+ilme"}, "yuv420p"),
    "mpeg4.avi": ("mpeg4", {"g": "12", "bf": "2"}, "yuv420p"),
    "mpeg4.ts": ("mpeg4", {"g": "12", "bf": "2"}, "yuv420p"),
    "mpeg4.mpg": ("mpeg4", {"g": "12", "bf": "2"}, "yuv420p"),
    "mpeg2.mp4": ("mpeg2video", {"g": "12", "bf": "2"}, "yuv420p"),
    "mpeg2.ts": ("mpeg2video", {"g": "12", "bf": "2"}, "yuv420p"),
    "mpeg2.m2v": ("mpeg2video", {"g": "12", "bf": "2"}, "yuv420p"),
    "mpeg1.mpg": ("mpeg1video", {"g": "12", "bf": "2"}, "yuv420p"),
    "vp8.webm": ("libvpx", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "16", "threads": "1"}, "yuv420p"),
    "vp8.ogg": ("libvpx", {"g": "20", "threads": "1"}, "yuv420p"),
    "vp9.webm": ("libvpx-vp9", {"g": "20", "cpu-used": "5", "lag-in-frames": "16", "threads": "1"}, "yuv420p"),
    "av1.mp4": ("libsvtav1", {"g": "20", "preset": "12", "svtav1-params": "lp=1"}, "yuv420p"),
    "wmv.asf": ("wmv2", {"g": "12"}, "yuv420p"),
    "h263.flv": ("flv", {"g": "12"}, "yuv420p"),
    "mjpeg.avi": ("mjpeg", {}, "yuvj420p"),
    "prores.mov": ("prores", {}, "yuv422p10le"),
    "ffv1.mkv": ("ffv1", {"g": "12"}, "yuv420p"),
    "palette.gif": ("gif", {}, "rgb8"),
}


def moving(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """Return picture `number` of a video, uint8 (height, width, 3): slopes that move, some noise, a bar."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 2 + number * 3, y * 2 + number * 5, x + y + number * 7], axis=-1) % 256
    pixels = pixels + np.random.default_rng(number // 7).integers(-20, 20, pixels.shape)
    pixels[:, number * 5 % width : number * 5 % width + 8] = (number * 53 % 256, 255 - number * 11 % 256, 128)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def encode(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] = X264,
    pix_fmt: str = "yuv420p",
    *,
    frames: int = 45,
    size: tuple[int, int] = (96, 64),
    container: str | None = None,
) -> Path:
    """Write `frames` pictures of `moving`, 25 a second; `container` forces a format that the name does not tell."""
    with av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(moving(number, *size), format="rgb24")
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
