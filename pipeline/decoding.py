"""Exact decode: the wanted frames of a video and, as far as can be, no others.

Frames are told apart by their time stamps (pts), never by the order in which they come. What a frame answers depends
on the file and on no other frame wanted with it, so long as the decoder notices damage:

- Every group of pictures is decoded for itself, from its key frame, and only a decoder that has decoded nothing before
  decides what of it is damaged.
- Frames that nothing is built on (B-frames, most of them) and that nobody wants are not decoded. Whoever wants one
  more of them sees the others unchanged.
- A picture counts as sound once everything decoded up to its own packet has proved sound. Where damage shows at a
  packet, the group is decoded once more with that packet treated the other way (decoded instead of skipped, or skipped
  instead of decoded). If it was a frame that nothing is built on, it alone is lost; else all that follow it in the
  order of decoding, up to the next key frame.
"""

import sys
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from pipeline import video
from pipeline.video import BAD_CONTENT

Answer = tuple[int, np.ndarray | None, str]  # pts, picture, why there is none
Damage = tuple[int, str]  # pts of the first packet, in the order of decoding, that shows it; the reason

# Codecs whose pictures are proven the same when frames that no other is built on are skipped (tests/test_encodings.py).
# Not AV1: there wanted ones go missing too. Not MPEG-1 and MPEG-2: what damage leaves blank there, unnoticed, is filled
# with what was decoded before. The others (VP8, VP9, intra codecs, ...) have nothing to skip.
SKIPPING = {"h264", "hevc", "mpeg4"}

# Decoders that let damage in one group, unnoticed, change the pictures of the next: each group gets a new one.
REMEMBERING = {"vp8"}

# Containers that do not state the time of every frame: FFmpeg makes some up from those before, and others after a seek.
MADE_UP_TIMES = {"mpeg", "mpegts", "mpegvideo", "m4v", "mjpeg", "obu"}

# FFmpeg's AVColorSpace (ITU-T H.273) -> matrix for the conversion; BT.601 for what has no tag, as everybody does.
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}

# Frames that may wait for others at once: as many as H.264 and HEVC store ahead of their turn. More wait only where
# time stamps are out of order; their group is then decoded again and again, for so many wanted frames at a time.
MOST_HELD = 16
CROWDED = "crowded"

# Beyond this no lens or disc made pixels wide or high: the number is nonsense. Below, the picture is as good as square,
# and resampling it for a pixel or two would only blur what gives forgeries away.
MOST_OBLONG, LEAST_OBLONG = 4, 1.01


def decode(path: Path, pts: Sequence[int], key_pts: Sequence[int]) -> Iterator[Answer]:
    """Decode exactly the frames at the time stamps `pts`; of a file without time stamps, the frames of these numbers.

    `key_pts` are the ascending time stamps of all key frames (`video.scan`). Each group of pictures is decoded from its
    key frame to the last wanted frame: where decoding can start anew, coming from further back never decodes less.
    The next group's key frame is reached by reading on, one further away by a seek.
    Yields (pts, upright RGB picture uint8 (height, width, 3), "") or (pts, None, reason) with reason `corrupt_frame`
    or `missing_frame`: every wanted frame once, group by group. Few frames are held at a time: as many wanted ones as
    the codec stores ahead of their turn.
    Raises VideoError when the file cannot be opened.
    """
    with _Reader(path, key_pts) as reader:
        if video.is_untimed(reader.container, reader.stream):
            yield from _counted(reader.container, reader.stream, set(pts))
            return
        for key, wanted in groupby(sorted(set(pts)), reader.key_before):
            yield from _group(reader, key, set(wanted))


def frames_to_decode(wanted: Sequence[int], key_frames: Sequence[int]) -> int:
    """Return how many frames lie from key frames to the wanted ones, both counted: about so many are decoded.

    Fewer where some are skipped, one to four more for each group of pictures where frames are stored ahead of their
    turn. `wanted` and `key_frames` are frame indices; frames before the first key frame are decoded from frame 0.
    """
    starts = sorted({0, *key_frames})
    last_of = {starts[bisect_right(starts, frame) - 1]: frame for frame in sorted(wanted)}
    return sum(last - start + 1 for start, last in last_of.items())


# --- a group of pictures ---------------------------------------------------------------------------------------------


def _group(reader: "_Reader", key: int | None, left: set[int]) -> Iterator[Answer]:
    """Answer the wanted frames `left`, which become fewer, of the group of pictures that begins at `key`."""
    if reader.remembers:
        reader.open()
    plain = reader.plain
    earlier = None if key is None else reader.key_before(key - 1)
    suspects: dict[int, bool] = {}  # packets that showed damage -> whether they are decoded now, or skipped
    while left:
        new = reader.new
        (at, reason), lost = yield from _pass(reader, key, left, plain, suspects)
        if not left:
            return
        reader.open()
        if reason == CROWDED:
            rest = sorted(left)
            for start in range(0, len(rest), MOST_HELD):
                yield from _group(reader, key, set(rest[start : start + MOST_HELD]))
            return
        if not new:  # what is damaged, only a new decoder tells: an old one may still suffer from damage before
            continue
        if lost and lost != left:
            yield from _group(reader, key, left - lost)
            left &= lost
        if lost:
            if at in suspects or plain or not reader.can_skip:
                yield from ((pts, None, reason) for pts in sorted(left))
                return
            suspects[at] = at not in left
            if at in left:
                left.remove(at)
                yield at, None, reason
        elif not plain:
            plain = True  # what is left came as fields, or not at all
        elif earlier is not None:
            key, earlier = earlier, None  # where pictures are refreshed bit by bit, it takes a group to be whole
        else:
            yield from ((pts, None, "missing_frame") for pts in sorted(left))
            return


def _pass(
    reader: "_Reader", key: int | None, left: set[int], plain: bool, suspects: dict[int, bool]
) -> Generator[Answer, None, tuple[Damage, set[int]]]:
    """Decode the group up to its first damage; yield the sound frames and take them out of `left`.

    Returns the damage and which of `left` it costs; the others did not come.
    """
    decoded: dict[int, tuple[int, int]] = {}  # packet -> its place in the order of decoding, the latest pts up to it
    held: dict[int, VideoFrame] = {}  # wanted frames that wait for those decoded before them, but shown after them
    damage: Damage = 0, ""
    end = first = sys.maxsize  # place of the damage

    def place(pts: int) -> int:
        return decoded[pts][0] if pts in decoded else end - 1

    def sound(pts: int) -> Answer:
        left.remove(pts)
        picture = _upright_or_none(held.pop(pts), reader.sample_aspect)
        return pts, picture, "corrupt_frame" if picture is None else ""

    for pts, frame, reason in _decoded(reader, key, frozenset(left), plain, suspects, decoded):
        if reason and place(pts) < first:
            damage, first = (pts, reason), place(pts)
        elif frame is not None and frame.interlaced_frame and not plain:
            reader.plain = True  # a packet may hold one field of two
            return damage, set()
        elif frame is not None and pts in left and pts in decoded:
            held[pts] = frame
            if len(held) > MOST_HELD:
                return (pts, CROWDED), set()
        if first == end:
            yield from (sound(wanted) for wanted in list(held) if decoded[wanted][1] <= pts)
    for wanted in sorted(held):
        if place(wanted) < first:
            yield sound(wanted)
    return damage, {pts for pts in left if place(pts) >= first}


def _decoded(
    reader: "_Reader",
    key: int | None,
    wanted: frozenset[int],
    plain: bool,
    suspects: dict[int, bool],
    decoded: dict[int, tuple[int, int]],
) -> Iterator[tuple[int, VideoFrame | None, str]]:
    """Decode from the key frame to the last wanted one or the first damage; yield (pts, frame, "") as frames come.

    Damage is (pts, None, reason). Frames shown before the key frame belong to the group before, and nothing that
    follows is built on them. `plain` decodes all packets, and goes on until the wanted frames come of themselves;
    otherwise those are made to come once their packets are in. Fills `decoded`.
    """
    left, last, latest = set(wanted), max(wanted), min(wanted)
    beyond, over = 0, False
    reader.new = False
    for packet in reader.packets_from(key):
        stamp = packet.pts
        if stamp is None:
            continue
        beyond += packet.is_keyframe and stamp > last
        if beyond > 1:  # some wanted time stamp is nowhere; frames shown before a key frame follow it at once
            break
        leading = key is not None and stamp < key
        if leading and not reader.counts_references:
            continue
        latest = max(latest, stamp)
        decoded[stamp] = len(decoded), latest
        skip = reader.can_skip and not plain and not suspects.get(stamp, stamp in wanted)
        reader.codec.skip_frame = "NONREF" if skip else "DEFAULT"
        left.discard(stamp)
        try:
            frames = packet.decode()
        except BAD_CONTENT:
            if leading:
                continue
            yield stamp, None, "missing_frame"
            break
        for pts, frame, reason in _judged(frames, key):
            yield pts, frame, reason
            over = over or reason != "" or (pts > last and not left)
        if over or (not left and not plain):
            break
    yield from _judged(video.drain(reader.stream), key)


def _judged(frames: list[VideoFrame], key: int | None) -> Iterator[tuple[int, VideoFrame | None, str]]:
    for frame in frames:
        if frame.pts is not None and (key is None or frame.pts >= key):
            yield (frame.pts, None, "corrupt_frame") if frame.is_corrupt else (frame.pts, frame, "")


class _Reader:
    """An open video that is read from one key frame or another; from the start where its container seeks wrongly."""

    def __init__(self, path: Path, key_pts: Sequence[int]) -> None:
        self.path, self.key_pts = path, key_pts
        self.plain = False  # whether every packet must be decoded
        self._seeks = True  # whether seeks lead where they should, and time stamps are the same after them
        self._file = ExitStack()

    def __enter__(self) -> "_Reader":
        self.open()
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)

    def open(self) -> None:
        """Stand at the start of the file, with a new decoder."""
        self._file.close()
        self.container, self.stream = self._file.enter_context(video.opened(self.path))
        self.codec = self.stream.codec_context
        self.new = True  # whether the decoder has not decoded yet
        codec = self.codec.codec.canonical_name
        self.remembers = codec in REMEMBERING
        self.can_skip = codec in SKIPPING
        self.counts_references = codec == "h264"  # a gap in their numbers would be taken for a loss
        self.sample_aspect: Fraction | None = self.stream.sample_aspect_ratio
        self._seeks = self._seeks and self.container.format.name not in MADE_UP_TIMES
        self._read_on()
        self._next = 0  # number of the key frame that comes next

    def _read_on(self) -> None:
        self._packets = video.packets(self.container, self.stream)

    def key_before(self, pts: int) -> int | None:
        """Return the time stamp of the last key frame up to `pts`; None if an edit list hides it."""
        number = bisect_right(self.key_pts, pts)
        return self.key_pts[number - 1] if number else None

    def packets_from(self, key: int | None) -> Iterator[Any]:
        """Yield packets from the key frame at `key` (None: the file's first) on; none where the file does not hold it.

        Not every container seeks exactly: the key frame's packet proves that its place was found.
        """
        for _ in self._ways_to(key):
            found = key is None
            for packet in self._packets:  # it stays open when the caller stops here: reading goes on where it stands
                if packet.is_keyframe and packet.pts is not None:
                    self._next = bisect_right(self.key_pts, packet.pts)
                found = found or packet.pts == key
                if found:
                    yield packet
                elif packet.is_keyframe and packet.pts is not None and packet.pts > key:
                    break
            if found:
                return

    def _ways_to(self, key: int | None) -> Iterator[None]:
        """Go to where packets are to be read: each time to another place, until the caller finds the key frame."""
        number = -1 if key is None else bisect_right(self.key_pts, key) - 1
        self.codec.flush_buffers()
        if self._next == number or (self._next < number and not self._seeks):
            yield
        if key is not None and self._seeks:
            try:
                self.container.seek(key, stream=self.stream)
                self._read_on()
                yield
            except BAD_CONTENT:
                pass
            self._seeks = False
        self.open()
        yield


# --- without time stamps ---------------------------------------------------------------------------------------------


def _counted(container: Any, stream: Any, left: set[int]) -> Iterator[Answer]:
    """Answer wanted frames of a file without time stamps: all are decoded up to the last wanted one, and counted."""
    for number, (frame, damaged) in enumerate(video.frames(container, stream)):
        if number in left:
            left.remove(number)
            picture = None if damaged else _upright_or_none(frame, stream.sample_aspect_ratio)
            yield number, picture, "corrupt_frame" if picture is None else ""
        if not left:
            return
    yield from ((number, None, "missing_frame") for number in sorted(left))


# --- pictures --------------------------------------------------------------------------------------------------------


def _upright_or_none(frame: VideoFrame, sample_aspect: Fraction | None) -> np.ndarray | None:
    try:
        return upright(frame, sample_aspect)
    except (*BAD_CONTENT, cv2.error):  # a pixel format, or a size, that cannot be converted
        return None


def upright(frame: VideoFrame, sample_aspect: Fraction | None) -> np.ndarray:
    """Convert a decoded frame to RGB uint8 (height, width, 3) as it is meant to be shown.

    Colour: by the matrix and range that the frame is tagged with (ITU-T H.273); without a tag as BT.601, limited range.
    Pixels: made square by enlarging one side, where `sample_aspect` (width : height of a stored pixel) is not 1; one
    beyond 1:4 or 4:1 is taken for nonsense, one within 1 % of 1 for 1. Then turned as the display matrix asks.
    """
    picture = _square(_rgb(frame), sample_aspect)
    return np.ascontiguousarray(np.rot90(picture, k=round(frame.rotation / 90)))


def _rgb(frame: VideoFrame) -> np.ndarray:
    colors: dict[str, Any] = {}
    if not frame.format.is_rgb and not frame.format.has_palette:
        # Pixel formats named yuvj... are full range without a tag.
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        colors["src_color_range"] = ColorRange.JPEG if full else ColorRange.MPEG
        colors["src_colorspace"] = MATRICES.get(frame.colorspace, Colorspace.ITU601)
    return frame.to_ndarray(format="rgb24", interpolation=Interpolation.BILINEAR, threads=1, **colors)


def _square(picture: np.ndarray, sample_aspect: Fraction | None) -> np.ndarray:
    aspect = float(sample_aspect or 1)
    if not LEAST_OBLONG <= max(aspect, 1 / aspect) <= MOST_OBLONG:
        return picture
    height, width = picture.shape[:2]
    size = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
