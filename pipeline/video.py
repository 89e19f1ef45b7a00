"""Open video files and scan their packets, with PyAV; pipeline.decoding makes pictures.

Pixels depend on the decoder: `DECODER` names its versions and is stored with every frame. Files are taken for hostile:
whatever a file holds, `scan` answers, or raises VideoError. It does not guard against a file that takes for ever: it
runs in workers with a time limit.
"""

import re
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame

DECODER = f"pyav {av.__version__}, libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))

# FFmpeg's names for AVColorSpace, AVColorPrimaries, AVColorTransferCharacteristic (the code points of ITU-T H.273) and
# AVColorRange, by number; unspecified is what FFmpeg prints as unknown.
COLOR_SPACES = "rgb bt709 unspecified reserved fcc bt470bg smpte170m smpte240m ycgco bt2020nc bt2020c"
COLOR_PRIMARIES = (
    "reserved bt709 unspecified reserved bt470m bt470bg smpte170m smpte240m film bt2020 smpte428 smpte431 smpte432"
)
COLOR_TRANSFERS = (
    "reserved bt709 unspecified reserved bt470m bt470bg smpte170m smpte240m linear log100 log316 iec61966-2-4 bt1361e "
    "iec61966-2-1 bt2020-10 bt2020-12 smpte2084 smpte428 arib-std-b67"
)
COLOR_RANGES = "unspecified tv pc"

# Containers that are read: FFmpeg has some 350 more, and among them are playlists, which name other files.
CONTAINERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,gif,ivf,h264,hevc,obu,m4v,mjpeg,mxf,nut"

# A picture of 16K video (15360 x 8640) fits. What claims more is damaged, and to decode it would take gigabytes:
# FFmpeg then takes the size, of the header as of a packet, for unknown.
MAX_PIXELS = 2**27

# What PyAV raises for bad content. Not MemoryError: that speaks of the machine.
BAD_CONTENT = (av.FFmpegError, ValueError, ArithmeticError, EOFError, LookupError)


class VideoError(Exception):
    """A video that cannot be used; `reason` is its code (docs/findings.md), the text says what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file and its first video stream, to be decoded in one thread; VideoError for what its content brings."""
    try:
        with _open(path) as container:
            stream = _video_streams(container)[0]
            codec = stream.codec_context
            if codec is None:
                raise VideoError("unreadable", "there is no decoder for its video")
            codec.thread_count = 1
            codec.options = {"max_pixels": str(MAX_PIXELS)}
            yield container, stream
    except BAD_CONTENT as error:
        raise VideoError("unreadable", getattr(error, "strerror", None) or type(error).__name__) from None


def _open(path: Path) -> Any:
    # "file:" keeps names such as "concat:a" from being taken for an address; titles are not always UTF-8.
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS, "max_pixels": str(MAX_PIXELS)}
    try:
        return av.open(f"file:{path}", metadata_errors="replace", options=options)
    except av.ArgumentError:
        raise VideoError("unreadable", "it is no video in a container that is read here") from None


def _video_streams(container: Any) -> list[Any]:
    """Return the video streams; cover pictures are none."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError("no_video_stream", "the file holds no video stream")
    return streams


def is_untimed(container: Any, stream: Any) -> bool:
    """Say whether nothing in the file tells when its frames are shown, so that they can only be counted.

    So it is with raw H.264 and HEVC, and with both in AVI where frames are stored out of order: FFmpeg then numbers
    the packets as they are stored, and the pictures would carry each other's time stamps.
    """
    codec, kind = stream.codec_context, container.format.name
    return codec.codec.canonical_name in ("h264", "hevc") and (
        kind in ("h264", "hevc") or (kind == "avi" and bool(codec.has_b_frames))
    )


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets from where the container stands to where it can be read; empty ones would end the decoding."""
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except BAD_CONTENT:
        return


def frames(container: Any, stream: Any) -> Iterator[tuple[VideoFrame, bool]]:
    """Yield every frame from where the container stands, as shown, each with whether it is or may be damaged.

    A frame may be damaged if one before it is, up to the next key frame. After a packet that cannot be decoded nothing
    comes up to the next key frame: it would be built on nothing.
    """
    damaged = False
    for frame in _decoded(stream, packets(container, stream)):
        damaged = frame.is_corrupt or (damaged and not frame.key_frame)
        yield frame, damaged


def _decoded(stream: Any, packets: Iterator[Any]) -> Iterator[VideoFrame]:
    broken = False
    for packet in packets:
        if broken and not packet.is_keyframe:
            continue
        try:
            frames = packet.decode()
            broken = False
        except BAD_CONTENT:
            frames = drain(stream)
            broken = True
        yield from frames
    yield from drain(stream)


def drain(stream: Any) -> list[VideoFrame]:
    """Return the frames that the decoder has ready, but kept for their order, and leave it empty."""
    try:
        return stream.codec_context.decode(None)
    except BAD_CONTENT:
        return []
    finally:
        stream.codec_context.flush_buffers()


# --- scan ------------------------------------------------------------------------------------------------------------


def scan(path: Path) -> dict[str, Any]:
    """Read every packet of the first video stream and decode one frame; all frames where only that tells their number.

    Returns the columns of `tables.VIDEOS` from `container` to `key_frames`: the exact number of frames, all their time
    stamps in presentation order, and the frames where decoding can start. Frames without time stamps (`is_untimed`) are
    numbered 0, 1, 2, ... as they are shown; `time_base`, `duration_s`, `bit_rate` and `frame_rate` are then None.
    Raises VideoError for a file that is empty, unreadable, truncated, without video or with time stamps for some of its
    frames only; OSError for one that is not there.
    """
    if path.stat().st_size == 0:
        raise VideoError("empty_file", "the file has 0 bytes")
    with opened(path) as (container, stream):
        untimed = is_untimed(container, stream)
        facts = _stream_facts(container, stream, untimed) | _packet_facts(container, stream, untimed)
    with opened(path) as (container, stream):
        first, _ = next(frames(container, stream), (None, False))
    if first is None:
        unknown = f" (its picture has no size, or more than {MAX_PIXELS} pixels)" if facts["width"] == 0 else ""
        raise VideoError("unreadable", f"no frame could be decoded{unknown}")
    return facts | (_counted_facts(path) if untimed else {}) | {"rotation": -int(first.rotation) % 360}


def _stream_facts(container: Any, stream: Any, untimed: bool) -> dict[str, Any]:
    codec = stream.codec_context
    if not stream.time_base or stream.time_base < 0:
        raise VideoError("no_timestamps", "the stream has no unit of time")
    shape = stream.sample_aspect_ratio
    sound = [track.codec_context for track in container.streams.audio]
    return {
        "container": container.format.name,
        "video_streams": len(_video_streams(container)),
        "codec": codec.codec.canonical_name,
        "profile": codec.profile,
        "pix_fmt": codec.pix_fmt,
        "width": codec.width,
        "height": codec.height,
        "sample_aspect": f"{shape.numerator}:{shape.denominator}" if shape else None,
        "frame_rate": float(stream.average_rate) if stream.average_rate and not untimed else None,
        "time_base": None if untimed else float(stream.time_base),
        "color_space": _name(COLOR_SPACES, codec.colorspace),
        "color_range": _name(COLOR_RANGES, codec.color_range),
        "color_primaries": _name(COLOR_PRIMARIES, codec.color_primaries),
        "color_transfer": _name(COLOR_TRANSFERS, codec.color_trc),
        "audio_streams": len(sound),
        "audio_codec": sound[0].codec.canonical_name if sound and sound[0] else None,
        "claimed_frames": max(0, min(stream.frames, 2**31 - 1)) or None,  # a claim may be absurd: it must fit int32
    }


def _name(all_names: str, number: int) -> str:
    names = all_names.split()
    return names[number] if 0 <= number < len(names) else str(int(number))


def _packet_facts(container: Any, stream: Any, untimed: bool) -> dict[str, Any]:
    times, durations, keys = array("q"), array("q"), bytearray()  # a long video has hundreds of thousands
    # What the index of an MP4 lists after its edit list; the header counts also what that cuts away.
    listed, packets, size, encoder = len(stream.index_entries), 0, 0, None
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        if packet.pts is None and not untimed:
            raise VideoError("no_timestamps", "packets carry no presentation time")
        if packets == 0:
            encoder = _x264_settings(bytes(packet)) or _x264_settings(stream.codec_context.extradata or b"")
        packets += 1
        size += packet.size
        if not packet.is_discard:  # an edit list hides the others: they are decoded, but never shown
            times.append(packets if untimed else packet.pts)
            durations.append(max(0, packet.duration or 0))
            keys.append(packet.is_keyframe)
    if not times:
        raise VideoError("truncated", "the container opens, but holds no video packet")
    if listed > packets:
        raise VideoError("truncated", f"the container lists {listed} frames, {packets} are there")
    order = np.argsort(np.asarray(times), kind="stable")
    pts = np.asarray(times)[order].tolist()
    if len(set(pts)) < len(pts):
        raise VideoError("repeated_timestamps", "two frames carry the same presentation time")
    key_frames = np.flatnonzero(np.frombuffer(keys, np.uint8)[order]).tolist()
    duration_s = None if untimed else float((pts[-1] + durations[order[-1]] - pts[0]) * stream.time_base)
    return {
        "duration_s": duration_s,
        "bit_rate": round(size * 8 / duration_s) if duration_s and duration_s > 0 else None,
        "encoder": encoder,
        "crf": _crf(encoder),
        "frames": len(pts),
        "gop": _longest_group(key_frames, len(pts)),
        "pts": pts,
        "key_frames": key_frames,
    }


def _counted_facts(path: Path) -> dict[str, Any]:
    """Decode all frames of an untimed file and number them as they are shown; counting can start at the first only."""
    with opened(path) as (container, stream):
        keys = [frame.key_frame for frame, _ in frames(container, stream)]
    gop = _longest_group([number for number, key in enumerate(keys) if key], len(keys))
    return {"frames": len(keys), "gop": gop, "pts": list(range(len(keys))), "key_frames": [0]}


def _longest_group(key_frames: list[int], frames: int) -> int | None:
    return max((after - key for key, after in pairwise([*key_frames, frames])), default=None)


def _x264_settings(data: bytes) -> str | None:
    """Return the settings that x264 writes as text beside its first picture (an SEI message), if they are there."""
    start = data.find(b"x264 - core")
    if start < 0:
        return None
    return data[start : start + 4096].split(b"\0", 1)[0].decode("ascii", "replace").rstrip("\ufffd")


def _crf(encoder: str | None) -> float | None:
    """Return the constant rate factor, if that is how x264 was told to spend its bits."""
    found = re.search(r" rc=crf .*\bcrf=(\d+(?:\.\d+)?)", encoder or "")
    return float(found[1]) if found else None
