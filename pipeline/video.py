"""Packet scan and exact decode of video files, with PyAV.

Pixels depend on the decoder: `DECODER` names its versions and is stored with every frame made here.
"""

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

DECODER = f"pyav {av.__version__}, libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))

# FFmpeg's numbers for AVColorSpace and AVColorRange (libavutil/pixfmt.h).
COLOR_SPACES = {
    0: "rgb",
    1: "bt709",
    2: "unspecified",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
}
COLOR_RANGES = {0: "unspecified", 1: "tv", 2: "pc"}


class VideoError(Exception):
    """A video that cannot be used; `reason` is its code (docs/findings.md), the text says what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def scan(path: Path) -> dict[str, Any]:
    """Read every packet of the first video stream and decode one frame.

    Returns the columns of `tables.VIDEOS` from `container` to `key_frames`: the exact number of frames, all their time
    stamps in presentation order, and the frames where decoding can start.
    Raises VideoError for a file that is empty, unreadable, truncated, without video or without time stamps.
    """
    if path.stat().st_size == 0:
        raise VideoError("empty_file", "the file has 0 bytes")
    try:
        with _open(path) as container:
            if not container.streams.video:
                raise VideoError("no_video_stream", "the file holds no video stream")
            stream = container.streams.video[0]
            facts = _stream_facts(container, stream)
            facts |= _packet_facts(container, stream)
            container.seek(facts["pts"][0], stream=stream)
            facts["rotation"] = -int(next(container.decode(stream)).rotation) % 360
            return facts
    except (av.FFmpegError, StopIteration) as error:
        raise VideoError("unreadable", _explain(error)) from None


def _open(path: Path) -> Any:
    return av.open(str(path), metadata_errors="replace")  # titles and comments are not always UTF-8


def _explain(error: Exception) -> str:
    return getattr(error, "strerror", None) or "no frame could be decoded"


def _stream_facts(container: Any, stream: Any) -> dict[str, Any]:
    codec = stream.codec_context
    return {
        "container": container.format.name,
        "codec": codec.name,
        "pix_fmt": codec.pix_fmt,
        "width": codec.width,
        "height": codec.height,
        "frame_rate": float(stream.average_rate) if stream.average_rate else None,
        "time_base": float(stream.time_base),
        "color_space": COLOR_SPACES.get(int(codec.colorspace), str(codec.colorspace)),
        "color_range": COLOR_RANGES.get(int(codec.color_range), str(codec.color_range)),
        "audio_streams": len(container.streams.audio),
    }


def _packet_facts(container: Any, stream: Any) -> dict[str, Any]:
    times: list[tuple[int, int, bool]] = []  # pts, duration, key frame
    # What the index of an MP4 lists after its edit list; the header counts also what that cuts away.
    listed, packets, size, encoder = len(stream.index_entries), 0, 0, None
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if packet.pts is None:
            raise VideoError("no_timestamps", "packets carry no presentation time")
        encoder = encoder or _x264_settings(bytes(packet)) if not times else encoder
        packets += 1
        size += packet.size
        if not packet.is_discard:  # an edit list hides the others: they are decoded, but never shown
            times.append((packet.pts, packet.duration or 0, packet.is_keyframe))
    if not times:
        raise VideoError("truncated", "the container opens, but holds no video packet")
    if listed > packets:
        raise VideoError("truncated", f"the container lists {listed} frames, {packets} are there")
    times.sort()
    pts = [time for time, _, _ in times]
    if len(set(pts)) < len(pts):
        raise VideoError("repeated_timestamps", "two frames carry the same presentation time")
    duration_s = float((times[-1][0] + times[-1][1] - pts[0]) * stream.time_base)
    return {
        "duration_s": duration_s,
        "bit_rate": round(size * 8 / duration_s) if duration_s > 0 else None,
        "encoder": encoder,
        "frames": len(pts),
        "pts": pts,
        "key_frames": [index for index, (_, _, key) in enumerate(times) if key],
    }


def _x264_settings(packet: bytes) -> str | None:
    """Return the settings that x264 writes as text into its first packet (an SEI message), if they are there."""
    start = packet.find(b"x264 - core")
    if start < 0:
        return None
    return packet[start:].split(b"\0", 1)[0].decode("ascii", "replace").rstrip("\x80\ufffd")


def decode(path: Path, pts: list[int], key_pts: list[int]) -> Iterator[tuple[int, np.ndarray | None, str]]:
    """Decode exactly the frames at the time stamps `pts`, in ascending order.

    Starts at the last key frame before a wanted frame (`key_pts`: ascending time stamps of all key frames) and stops
    after the last wanted one; seeks forward only when a key frame lies between.
    Yields (pts, upright RGB picture uint8 (height, width, 3), "") or (pts, None, reason) with reason `corrupt_frame`
    or `missing_frame`: every wanted frame once.
    Raises VideoError when the file cannot be opened.
    """
    try:
        container = _open(path)
    except (av.FFmpegError, OSError) as error:
        raise VideoError("unreadable", _explain(error)) from None
    with container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames: Iterator[VideoFrame] = iter(())
        frame: Any = None
        for wanted in sorted(pts):
            keys_before = bisect_right(key_pts, wanted)
            # Where an edit list hides the first key frame, the seek finds it by itself.
            start = key_pts[keys_before - 1] if keys_before else min(pts)
            try:
                if frame is None or frame.pts < start:
                    container.seek(start, stream=stream)
                    frames = container.decode(stream)
                    frame = next(frames)
                while frame.pts is None or frame.pts < wanted:
                    frame = next(frames)
            except (av.FFmpegError, StopIteration):
                frame = None
            if frame is None or frame.pts != wanted:
                yield wanted, None, "missing_frame"
            elif frame.is_corrupt:
                yield wanted, None, "corrupt_frame"
            else:
                yield wanted, upright(frame), ""


def upright(frame: VideoFrame) -> np.ndarray:
    """Convert a decoded frame to RGB uint8 (height, width, 3), turned as its display matrix asks.

    The colour matrix and range are those the frame is tagged with; untagged frames count as BT.601 limited.
    """
    picture = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(picture, k=round(frame.rotation / 90)))
