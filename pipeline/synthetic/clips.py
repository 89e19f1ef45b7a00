"""A Celeb-DF-like tree from real footage: clips cut into recordings, and faces swapped between them.

Every clip counts as one person, unless a file `persons.csv` beside the clips (columns `file,person`) says which show
the same one. Reals and fakes are cut from the same decoded frames and encoded alike.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.decoding import upright
from pipeline.engines import local_engine
from pipeline.errors import UsageError, UserError
from pipeline.files import sha256_of_text, whole_folder
from pipeline.progress import track
from pipeline.synthetic.encoding import encode
from pipeline.synthetic.swapping import Image, Points, fill_gaps, swap_face

LONGER_SIDE = 640  # pixels; larger clips are scaled down to it
RECORDING_FRAMES = 40  # about; a clip is cut into equal parts
DETECT_EVERY = 3  # frames; landmarks between are interpolated
MIN_FACE, MIN_PROBABILITY = 40, 0.9
FACE_SHARE = 0.5  # of the searched frames must show a face, else the recording is not forged


@dataclass(frozen=True)
class Clip:
    """A decoded clip: its frame rate and, for every frame, the landmarks or NaN."""

    path: Path
    rate: Fraction
    points: Points  # (frames, 5, 2)


@dataclass(frozen=True)
class Cut:
    """The part of a clip that becomes one recording: frames `start` to `stop`."""

    clip: Clip
    start: int
    stop: int

    @property
    def name(self) -> tuple[Path, int]:
        """What tells the recording from all others."""
        return self.clip.path, self.start

    @property
    def points(self) -> Points:
        """The recording's landmarks, (frames, 5, 2)."""
        return self.clip.points[self.start : self.stop]

    @property
    def has_face(self) -> bool:
        """Whether enough of the searched frames show a face to forge the recording."""
        known = ~np.isnan(self.points[:, 0, 0])
        return bool(known.sum() * DETECT_EVERY >= FACE_SHARE * len(known))


def read_frames(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Image]:
    """Yield the frames that decode, from number `start` up to `stop`, even-sized and LONGER_SIDE pixels at most.

    Raises av.FFmpegError when the file does not open.
    """
    for frame, sample_aspect in islice(_decoded(path), start, stop):
        yield _fitted(upright(frame, sample_aspect))


def _decoded(path: Path) -> Iterator[tuple[av.VideoFrame, Fraction | None]]:
    with av.open(str(path), metadata_errors="replace") as container:
        if not container.streams.video:
            return
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            if packet.size == 0:  # some files hold empty packets in the middle; decoding one would end the stream
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:  # a damaged packet costs its own frames only
                continue
            yield from ((frame, stream.sample_aspect_ratio) for frame in frames)
        yield from ((frame, stream.sample_aspect_ratio) for frame in stream.decode(None))


def _fitted(picture: Image) -> Image:
    height, width = picture.shape[:2]
    scale = min(1.0, LONGER_SIDE / max(height, width))
    size = (max(int(width * scale) // 2 * 2, 2), max(int(height * scale) // 2 * 2, 2))
    if scale < 1 or min(width, height) < 2:
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[: size[1], : size[0]])


def _survey(path: Path) -> Clip:
    """Decode a clip once and find the landmarks; raise UserError when there is nothing to decode."""
    from pipeline.extracting.faces import detect, why_unusable

    rows = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            rate = container.streams.video[0].average_rate if container.streams.video else None
        for index, picture in enumerate(read_frames(path)):
            faces = detect([picture], MIN_FACE, LONGER_SIDE)[0] if index % DETECT_EVERY == 0 else []
            usable = [face for face in faces if not why_unusable(face, MIN_FACE, MIN_PROBABILITY)]
            face = max(usable, key=lambda face: face.box[2] * face.box[3], default=None)
            rows.append(np.full(10, np.nan) if face is None else np.array(face.landmarks, np.float64))
    except av.FFmpegError as error:
        raise UserError(f"{path.name}: not readable as video ({error.strerror})") from None
    if not rows:
        raise UserError(f"{path.name}: no frame could be decoded")
    if rate is None or not 1 <= rate <= 120:  # raw streams and animations may state none, or nonsense
        rate = Fraction(25)
    return Clip(path, rate.limit_denominator(1001), np.array(rows).reshape(-1, 5, 2))


def write_from_clips(clips: Path, out: Path, seed: int, workers: int) -> list[str]:
    """Make the tree `out` (absent or empty) from the video files in the folder `clips`; whole or not at all.

    `seed` decides who gets whose face. Returns lines for people: every file that could not be used or forged with the
    reason, then what was made. Raises UserError when `clips` does not show faces of two persons.
    """
    out = out.resolve()
    paths = _files(clips)
    persons = _persons(clips / "persons.csv")
    with whole_folder(out) as part, local_engine(workers) as run:
        surveyed = dict(track(run, _survey, paths, "find faces", "clip"))
        usable = [surveyed[path] for path in paths if isinstance(surveyed[path], Clip)]
        notes = [_left_out(path, surveyed[path]) for path in paths if not isinstance(surveyed[path], Clip)]
        notes += _faceless(usable)
        videos, tested = _plan(_by_person(usable, persons), seed)
        fakes = sum(donor is not None for _, donor in videos.values())
        if not fakes:
            what = f"{len(usable)} of {len(paths)} files decode, but faces of two persons are needed to swap them"
            raise UserError("; ".join([f"--from-clips {clips}: {what}", *notes]))
        for folder in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
            (part / folder).mkdir()
        jobs = [(part / path, target, donor) for path, (target, donor) in videos.items()]
        for _, result in track(run, _write_video, jobs, "forge and encode"):
            if isinstance(result, BaseException):
                raise result
        (part / "List_of_testing_videos.txt").write_text("\n".join(tested))
    return [*notes, f"{len(usable)} of {len(paths)} files used: {len(videos) - fakes} real videos, {fakes} fakes"]


def _left_out(path: Path, error: Exception) -> str:
    """Return the line for a clip that gave no frames: what is wrong with it, or that its worker died."""
    return f"left out: {error if isinstance(error, UserError) else f'{path.name}: {type(error).__name__}: {error}'}"


def _files(clips: Path) -> list[Path]:
    if not clips.is_dir():
        raise UsageError(f"--from-clips: {clips} is no folder")
    found = [path for path in clips.iterdir() if path.is_file() and path.suffix.lower() not in (".csv", ".md", ".txt")]
    if not found:
        raise UsageError(f"--from-clips: there is no video in {clips}; put clips that show faces there")
    return sorted(found)


def _persons(path: Path) -> dict[str, str]:
    """Read file -> person from persons.csv; empty when there is none."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "person"} <= set(rows[0]):
        raise UserError(f"{path}: needs a header `file,person` and a row per clip")
    return {row["file"]: row["person"] for row in rows}


def _cuts(clip: Clip) -> list[Cut]:
    """Cut a clip into equal parts: two or more of 20 frames and more, if it is long enough."""
    frames = len(clip.points)
    parts = max(round(frames / RECORDING_FRAMES), 2 if frames >= RECORDING_FRAMES else 1)
    edges = [frames * part // parts for part in range(parts + 1)]
    return [Cut(clip, start, stop) for start, stop in pairwise(edges)]


def _by_person(clips: list[Clip], persons: dict[str, str]) -> list[list[Cut]]:
    """Return each person's recordings, persons in the order of their first clip."""
    people: dict[str, list[Cut]] = {}
    for clip in clips:
        people.setdefault(persons.get(clip.path.name, clip.path.name), []).extend(_cuts(clip))
    return list(people.values())


def _plan(people: list[list[Cut]], seed: int) -> tuple[dict[str, tuple[Cut, Cut | None]], list[str]]:
    """Return path -> (target, donor or None) of every video, and the test list's lines.

    Each recording with a face is forged once, with the face of another person. The last fifth of a person's
    recordings, at least one of two, is held out with its fakes. A donor's face comes from a recording on the same side,
    unless that side has none of the donor.
    """
    faces = [[cut for cut in cuts if cut.has_face] for cuts in people]
    held_out = {cut.name for cuts in people for cut in (cuts[-max(len(cuts) // 5, 1) :] if len(cuts) > 1 else [])}
    videos: dict[str, tuple[Cut, Cut | None]] = {}
    tested = []
    for person, cuts in enumerate(people):
        others = [other for other in range(len(people)) if other != person and faces[other]]
        for number, cut in enumerate(cuts):
            test = cut.name in held_out
            real = f"Celeb-real/id{person}_{number:04d}.mp4"
            videos[real] = cut, None
            tested += [f"1 {real}"] if test else []
            if cut.has_face and others:
                draw = int(sha256_of_text(seed, cut.clip.path.name, number)[:8], 16)
                donor = others[(draw + number) % len(others)]
                fake = f"Celeb-synthesis/id{person}_id{donor}_{number:04d}.mp4"
                same_side = [face for face in faces[donor] if (face.name in held_out) == test] or faces[donor]
                videos[fake] = cut, same_side[draw % len(same_side)]
                tested += [f"0 {fake}"] if test else []
    return videos, tested


def _faceless(clips: list[Clip]) -> list[str]:
    """Return a line for each clip of which parts cannot be forged."""
    notes = []
    for clip in clips:
        cuts = _cuts(clip)
        without = sum(not cut.has_face for cut in cuts)
        if without:
            notes.append(f"not forged: {clip.path.name}: no face in {without} of {len(cuts)} recordings (kept as real)")
    return notes


def _write_video(job: tuple[Path, Cut, Cut | None]) -> None:
    path, target, donor = job
    pictures = _pictures(target)
    path.write_bytes(encode(_swapped(pictures, target, donor) if donor else pictures, target.clip.rate))


def _pictures(cut: Cut) -> Iterator[Image]:
    return read_frames(cut.clip.path, cut.start, cut.stop)


def _swapped(pictures: Iterator[Image], target: Cut, donor: Cut) -> Iterator[Image]:
    """Yield the target's pictures with the donor's face, which plays forth and back when it is shorter."""
    target_points, donor_points = fill_gaps(target.points), fill_gaps(donor.points)
    faces = list(_pictures(donor))
    for index, picture in enumerate(pictures):
        place = index % max(2 * len(faces) - 2, 1)
        place = min(place, 2 * len(faces) - 2 - place)
        yield swap_face(picture, target_points[index], faces[place], donor_points[place])
