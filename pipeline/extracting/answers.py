"""What the wanted frames of one video give: decode them, find the faces, cut them out, and keep the answer.

This is what workers run: nothing here imports pandas or pyarrow, and torch only where faces are searched for.

An answer lies in the work cache, in the store of its video: `<name>.crops` holds the encoded crops one after the other,
`<name>.json`, written last, a list of rows: one per face, or per frame without a face. A video may have several
answers, each for other frames. pipeline.extracting.answer_store reads them.
"""

import json
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from pipeline import crops, decoding, images, machine, video
from pipeline.extracting import evidence, faces
from pipeline.extracting.faces import Box, Face
from pipeline.files import sha256_of_bytes, sha256_of_file, sha256_of_text, whole_or_absent

SIDES = ("x", "y", "width", "height")
# The columns of a row; one that has nothing to say is left out. The frame, and why it is not usable, else "". Of a face
# its number in the frame, probability, box, landmarks, why it is unusable, sharpness, evidence of forgery. Of its crop,
# or that of the whole frame, the area, the first byte in the file of crops, the length and the hash.
COLUMNS = ["frame", "reason", "face", "probability", *(f"box_{side}" for side in SIDES), "landmarks", "unusable"]
COLUMNS += ["sharpness", "evidence", *(f"crop_{side}" for side in SIDES), "start", "bytes", "sha256"]

Row = dict[str, Any]

# Reasons that speak of the machine or the moment, not of the video: nothing is remembered of them.
LOST = ("missing", "changed_since_index", "unreadable")

# What a frame's faces came to, from nearest to usable to furthest.
NEARLY_USABLE = ("blurred_face", "small_face", "improbable_face")

BATCH_BYTES = 32 * 2**20  # of pictures that go to a GPU together: 12 frames of 720p, two of 4K


@dataclass(frozen=True)
class Recipe:
    """What decides the crops besides the video itself; the fields are the knobs of the section `extract`."""

    faces: str
    detection_side: int
    min_face: int
    min_probability: float
    min_sharpness: float
    margin: float
    crop_quality: int | None

    def versions(self) -> str:
        """Return the versions of everything that makes pixels and boxes, as text."""
        detector = f"opencv {cv2.__version__}"
        if self.faces == "mtcnn":
            detector = faces.detector_version() + (", cuda" if machine.device() == "cuda" else "")
        return f"{video.DECODER}; {detector}; numpy {version('numpy')}"


@dataclass(frozen=True)
class Source:
    """Where `frames` of one video are found: their time stamps `pts` in a file, or an image with its hash for each.

    `bytes` (0: not known) and `sha256` are those of the file, `key_pts` the ascending time stamps of its key frames.
    """

    path: str
    bytes: int
    sha256: str
    frames: tuple[int, ...]
    pts: tuple[int, ...] = ()
    key_pts: tuple[int, ...] = ()
    images: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Clue:
    """What tells which face of a fake was forged: its `mask`, or its `original`, at the same frame index.

    Of a mask that is a video only path, hash and frames are known; its packets are scanned where it is needed.
    """

    kind: str
    source: Source


@dataclass(frozen=True)
class Request:
    """The frames wanted from one video in one go, and the folder of the work cache for what they give.

    `boxes` gives for each frame the boxes of the faces, found in the original; None: search for faces.
    """

    video: str
    source: Source
    clue: Clue | None
    boxes: tuple[tuple[Box, ...], ...] | None
    recipe: Recipe
    store: str


# The modules that decide an answer; tests/test_house.py holds them against what this one imports.
MODULES = (
    *("extracting/answers", "extracting/evidence", "extracting/faces", "extracting/mtcnn"),
    *("crops", "decoding", "images", "video"),
)


def code() -> list[str]:
    """Return the hashes of the modules that decide an answer."""
    return [sha256_of_file(Path(__file__).parents[1] / f"{module}.py") for module in MODULES]


# --- making an answer ------------------------------------------------------------------------------------------------


def extract_video(request: Request) -> str | None:
    """Answer one request (runs in a worker): write its rows and crops to the store; return a reason if it cannot.

    No more than a few frames are held at a time, whatever their size and number.
    """
    answer = Path(request.store) / sha256_of_text(*request.source.frames)
    try:
        with whole_or_absent(answer.with_suffix(".crops")) as part, part.open("wb") as file:
            rows = _rows(request, file)
    except video.VideoError as error:
        return error.reason
    found = [{name: value for name, value in row.items() if value is not None} for row in rows]
    with whole_or_absent(answer.with_suffix(".json")) as part:
        part.write_text(json.dumps([row for row in found if row["reason"] not in LOST]))
    return next((row["reason"] for row in rows if row["reason"] in LOST), None)


def _rows(request: Request, file: BinaryIO) -> list[Row]:
    """Return the rows of all wanted frames; their crops go to `file` one by one."""
    rows: list[Row] = []
    undecided: dict[int, tuple[tuple[int, int], list[Row]]] = {}  # frame -> its size, rows of its several usable faces
    patches: dict[int, list[np.ndarray]] = {}  # of those faces, where they are held against an original
    for frame, picture, reason, found in _searched(request):
        of_frame = _frame_rows(frame, picture, reason, found, request, file)
        rows += of_frame
        usable = [row for row in of_frame if row["reason"] == "" and not row["unusable"]]
        if request.clue is not None and picture is not None and len(usable) > 1:
            undecided[frame] = picture.shape[:2], usable
            if request.clue.kind == "original":
                patches[frame] = [evidence.patch(picture, _box(row)) for row in usable]
    if request.clue is not None and undecided:
        _add_evidence(request.clue, undecided, patches)
    return rows


def _add_evidence(
    clue: Clue, undecided: dict[int, tuple[tuple[int, int], list[Row]]], patches: dict[int, list[np.ndarray]]
) -> None:
    """Fill in the evidence of the faces in `undecided`; see `_rows`."""
    for frame, picture, reason in _pictures(_clue_source(clue, set(undecided))):
        if reason in LOST:
            raise video.VideoError(reason, f"the {clue.kind} at frame {frame}")
        if picture is not None:
            size, rows = undecided[frame]
            for number, row in enumerate(rows):
                row["evidence"] = (
                    evidence.share_marked(picture, _box(row), size)
                    if clue.kind == "mask"
                    else evidence.difference(picture, _box(row), size, patches[frame][number])
                )


def _searched(request: Request) -> Iterator[tuple[int, np.ndarray | None, str, list[Face] | None]]:
    """Yield (frame, picture or None, why none, faces found; None where no detector is asked for)."""
    recipe, pictures = request.recipe, _pictures(request.source)
    if recipe.faces == "none":
        yield from ((*answer, None) for answer in pictures)
    elif request.boxes is not None:
        boxes_of = dict(zip(request.source.frames, request.boxes, strict=True))
        for frame, picture, reason in pictures:
            yield frame, picture, reason, [] if picture is None else faces.at_boxes(picture, boxes_of[frame])
    elif machine.device() == "cpu":  # one by one: batching gains nothing there, and moves the boxes
        for frame, picture, reason in pictures:
            found = [] if picture is None else faces.detect([picture], recipe.min_face, recipe.detection_side)[0]
            yield frame, picture, reason, found
    else:
        for batch in _ahead(_batches(pictures)):
            whole = [picture for _, picture, _ in batch if picture is not None]
            found_in = iter(faces.detect(whole, recipe.min_face, recipe.detection_side))
            yield from ((*answer, [] if answer[1] is None else next(found_in)) for answer in batch)


def _frame_rows(
    frame: int, picture: np.ndarray | None, reason: str, found: list[Face] | None, request: Request, file: BinaryIO
) -> list[Row]:
    """Return the rows of one frame: one per face, or a single one without a face."""
    alone: Row = dict.fromkeys(COLUMNS) | {"frame": frame, "reason": reason}
    if picture is None:
        return [alone]
    if found is None:
        height, width = picture.shape[:2]
        return [alone | _written(picture, (0, 0, width, height), request.recipe, file)]
    if not found:
        return [alone | {"reason": "no_face"}]
    rows = [alone | {"face": number} | _face(picture, face, request.recipe, file) for number, face in enumerate(found)]
    return [row | {"reason": _why_no_face(rows, request)} for row in rows]


def _why_no_face(rows: list[Row], request: Request) -> str:
    """Return the reason for which none of a frame's faces is usable, by the one that came nearest; "" if one is."""
    verdicts = {row["unusable"] for row in rows}
    if "" in verdicts:
        return ""
    nearest = next(verdict for verdict in NEARLY_USABLE if verdict in verdicts)
    return "face_not_at_box" if request.boxes is not None and nearest == "improbable_face" else nearest


def _face(picture: np.ndarray, face: Face, recipe: Recipe, file: BinaryIO) -> Row:
    """Return the columns of one face; a usable one is cut out and written."""
    row: Row = {"probability": face.probability, "landmarks": list(face.landmarks)}
    row |= {f"box_{side}": value for side, value in zip(SIDES, face.box, strict=True)}
    row["unusable"] = faces.why_unusable(face, recipe.min_face, recipe.min_probability)
    if row["unusable"]:
        return row
    height, width = picture.shape[:2]
    area = crops.clip_to_frame(crops.square_around(face.box, recipe.margin), width, height)
    if min(area[2:]) < 1:  # a box beyond the frame, as a detector's rounding may give
        return row | {"unusable": "small_face"}
    sharpness = crops.sharpness(_cut(picture, area))
    if sharpness < recipe.min_sharpness:
        return row | {"unusable": "blurred_face", "sharpness": sharpness}
    return row | _written(picture, area, recipe, file)


def _written(picture: np.ndarray, area: Box, recipe: Recipe, file: BinaryIO) -> Row:
    """Append the crop `area` of a picture to `file`; return what is known of it."""
    loose = _cut(picture, area)
    content = crops.encode(loose, recipe.crop_quality)
    row: Row = {f"crop_{side}": value for side, value in zip(SIDES, area, strict=True)}
    row |= {"sharpness": crops.sharpness(loose), "start": file.tell(), "bytes": len(content)}
    file.write(content)
    return row | {"sha256": sha256_of_bytes(content)}


def _cut(picture: np.ndarray, area: Box) -> np.ndarray:
    x, y, width, height = area
    return picture[y : y + height, x : x + width]


def _box(row: Row) -> Box:
    return (row["box_x"], row["box_y"], row["box_width"], row["box_height"])


# --- reading frames --------------------------------------------------------------------------------------------------


def _pictures(source: Source) -> Iterator[tuple[int, np.ndarray | None, str]]:
    """Yield (frame, picture or None, why none) for every wanted frame; VideoError where no frame can be had."""
    if not source.frames:
        return
    if source.images:
        answers = images.decode([Path(path) for path, _ in source.images], [sha256 for _, sha256 in source.images])
        yield from ((frame, *answer) for frame, answer in zip(source.frames, answers, strict=True))
        return
    path = Path(source.path)
    _check(path, source)
    frame_of = dict(zip(source.pts, source.frames, strict=True))
    for pts, picture, reason in decoding.decode(path, source.pts, source.key_pts):
        yield frame_of[pts], picture, reason


def _check(path: Path, source: Source) -> None:
    """Raise VideoError unless the file is the one that index saw."""
    try:
        if not path.is_file():
            raise video.VideoError("missing", "the file is not there")
        if source.bytes not in (0, path.stat().st_size) or sha256_of_file(path) != source.sha256:
            raise video.VideoError("changed_since_index", "size or content differ")
    except OSError as error:
        raise video.VideoError("unreadable", str(error.strerror)) from None


def _ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Yield `items`, the next always in the making in a thread: decoding goes on while the GPU searches."""
    end = object()
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = maker.submit(next, items, end)
            yield item


def _batches(answers: Iterator[tuple[int, np.ndarray | None, str]]) -> Iterator[list[Any]]:
    """Group frames up to BATCH_BYTES of pictures."""
    batch: list[Any] = []
    size = 0
    for answer in answers:
        batch.append(answer)
        size += 0 if answer[1] is None else answer[1].nbytes
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _clue_source(clue: Clue, frames: Collection[int]) -> Source:
    """Return where the clue's pictures of `frames` are; of a mask its packets are scanned for that."""
    source = clue.source
    if clue.kind == "mask" and not source.images:
        path = Path(source.path)
        _check(path, source)
        facts = video.scan(path)
        places = [(frame, facts["pts"][frame]) for frame in source.frames if frame < len(facts["pts"])]
        key_pts = tuple(facts["pts"][index] for index in facts["key_frames"])
    else:
        places = list(zip(source.frames, source.pts or source.images, strict=True))
        key_pts = source.key_pts
    wanted = [place for place in places if place[0] in frames]
    found = tuple(where for _, where in wanted)
    return Source(
        path=source.path,
        bytes=source.bytes,
        sha256=source.sha256,
        frames=tuple(frame for frame, _ in wanted),
        pts=() if source.images else found,
        key_pts=key_pts,
        images=found if source.images else (),
    )
