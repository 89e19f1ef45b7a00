"""Decode the chosen frames of each video, find the face, keep a loose crop; every attempt ends as a row.

What a video's frames give is kept in the work cache under a hash of content, recipe, versions and code, so that a
second run, a killed run or a changed quota decodes only what is new.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pebble import ProcessExpired

from pipeline import faces, images, selection, tables, video
from pipeline.engines import Run, twice
from pipeline.errors import UserError
from pipeline.files import sha256_of_bytes, sha256_of_file, sha256_of_text, whole_or_absent
from pipeline.progress import track

ATTEMPT_COLUMNS = [field.name for field in (*tables.FACE, *tables.CROP) if field.name not in ("tar", "offset")]
ANSWER_COLUMNS = ["reason", *ATTEMPT_COLUMNS]


@dataclass(frozen=True)
class Recipe:
    """What decides the crops besides the video itself; the fields are the knobs of the section `extract`."""

    faces: str
    detection_side: int
    min_face: int
    min_probability: float
    margin: float

    def versions(self) -> str:
        """Return the versions of everything that makes pixels, as text."""
        detector = faces.detector_version() if self.faces == "mtcnn" else f"opencv {cv2.__version__}"
        return f"{video.DECODER}; {detector}; numpy {version('numpy')}"


@dataclass(frozen=True)
class Request:
    """The frames wanted from one video in one go, and the folder of the work cache for what they give.

    `path` is the video's file, `pts` the time stamps of `frames` there; where a video is given as images, `images` are
    those of `frames` with their hashes, and the other fields about the file do not count.
    """

    video: str
    path: str
    bytes: int
    sha256: str
    frames: tuple[int, ...]
    pts: tuple[int, ...]
    key_pts: tuple[int, ...]
    images: tuple[tuple[str, str], ...]
    recipe: Recipe
    store: str


def extract(
    frames: pd.DataFrame, cells: pd.DataFrame, videos: pd.DataFrame, root: Path, recipe: Recipe, cache: Path, run: Run
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Fill the quotas `cells` (tables.QUOTAS) from the ranked `frames` (tables.RANKED), in rounds.

    `videos` maps each video to media, path, images, image_sha256, bytes, sha256, pts and key_frames (columns of
    tables.VIDEOS, index video).
    Returns the frames with the columns state (untried, good, failed), reason and the attempt's columns, and for each
    video the folder of the work cache that holds its crops.
    """
    frames = frames.assign(state="untried", **dict.fromkeys(ANSWER_COLUMNS)).astype(
        dict.fromkeys(ANSWER_COLUMNS, object)
    )
    facts_of: dict[Any, pd.Series] = dict(videos.iterrows())
    code = [sha256_of_file(Path(module)) for module in (__file__, faces.__file__, video.__file__, images.__file__)]
    making = sha256_of_text(json.dumps(asdict(recipe), sort_keys=True), recipe.versions(), *code)
    stores = {name: _store(cache, facts.sha256, making) for name, facts in facts_of.items()}
    while len(wanted := selection.next_round(frames, cells)):
        parts = frames.loc[wanted].groupby("video")
        requests = [_request(part, facts_of[name], root, recipe, stores[name]) for name, part in parts]
        table = pd.DataFrame(_attempts(requests, run), columns=["video", "frame", *ANSWER_COLUMNS], dtype=object)
        table = table.set_index(["video", "frame"]).loc[
            pd.MultiIndex.from_frame(frames.loc[wanted, ["video", "frame"]])
        ]
        frames.loc[wanted, ANSWER_COLUMNS] = table.to_numpy()
        frames.loc[wanted, "state"] = np.where(table.reason == "", "good", "failed")
    frames["reason"] = frames.reason.fillna("")
    return frames, stores


def _store(cache: Path, *making: str) -> str:
    """Return the folder of the work cache for what is decided by `making`."""
    digest = sha256_of_text(*making)
    return str(cache / digest[:2] / digest)


def _request(part: pd.DataFrame, facts: pd.Series, root: Path, recipe: Recipe, store: str) -> Request:
    part = part.sort_values("frame")
    return Request(
        video=str(part.video.iloc[0]),
        path=str(root / facts.path),
        bytes=int(facts.bytes),
        sha256=facts.sha256,
        frames=tuple(map(int, part.frame)),
        pts=tuple(map(int, part.pts)),
        key_pts=tuple(int(facts.pts[index]) for index in facts.key_frames),
        images=tuple((str(root / facts.images[frame]), facts.image_sha256[frame]) for frame in part.frame)
        if facts.media == "images"
        else (),
        recipe=recipe,
        store=store,
    )


def _attempts(requests: list[Request], run: Run) -> list[dict[str, Any]]:
    """Return one row per wanted frame: out of the cache, decoded now, or with the reason why there is no answer."""
    rows_of = {request.video: _stored(request) for request in requests}
    left = [part for request in requests if (part := _without(request, rows_of[request.video])).frames]
    for request, reason in _answer(left, run):
        unanswered = {frame: {"frame": frame, "reason": reason} for frame in request.frames}
        rows_of[request.video] |= _stored(request) if reason is None else unanswered
    return [
        rows_of[request.video][frame] | {"video": request.video} for request in requests for frame in request.frames
    ]


def _stored(request: Request) -> dict[int, dict[str, Any]]:
    """Return frame -> row of everything the cache holds of the request's video."""
    answers = sorted(Path(request.store).glob("*.parquet"))
    rows = [row for answer in answers for row in pq.read_table(answer, columns=["frame", *ANSWER_COLUMNS]).to_pylist()]
    return {row["frame"]: row for row in rows}


def _without(request: Request, known: Collection[int]) -> Request:
    """Return the request without the frames that are known."""
    left = [place for place, frame in enumerate(request.frames) if frame not in known]
    parts: dict[str, Any] = {
        name: tuple(values[place] for place in left)
        for name in ("frames", "pts", "images")
        if (values := getattr(request, name))
    }
    return replace(request, **parts)


def _answer(requests: list[Request], run: Run) -> Iterator[tuple[Request, str | None]]:
    """Yield every request once its answer lies in the cache, or with the reason why there will be none."""
    for request, reason in track(twice(run)(extract_video, requests), len(requests), "extract"):
        yield request, _why_lost(reason) if isinstance(reason, Exception) else reason


def _why_lost(error: Exception) -> str:
    """Return the reason for a video whose worker gave no answer; UserError when no video could be answered."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and not isinstance(error, ProcessExpired):  # full disk, cache not writable
        raise UserError(f"extract cannot write its work cache: {error}; mend that and run again, nothing is lost")
    return "worker_died"


def extract_video(request: Request) -> str | None:
    """Answer one request (runs in a worker): write its rows and crops to the cache; return a reason if it cannot."""
    try:
        rows = [
            {"frame": frame, "reason": reason, "crop": None}
            if picture is None
            else _attempt(frame, picture, request.recipe)
            for frame, picture, reason in _pictures(request)
        ]
    except video.VideoError as error:
        return error.reason
    fields = [field for field in tables.FRAMES if field.name in ATTEMPT_COLUMNS]
    schema = pa.schema([("frame", pa.int32()), ("reason", pa.string()), *fields, ("crop", pa.binary())])
    answer = Path(request.store) / f"{sha256_of_text(*request.frames)}.parquet"
    with whole_or_absent(answer) as part:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), part, compression="none")
    return None


def _pictures(request: Request) -> Iterator[tuple[int, np.ndarray | None, str]]:
    """Yield (frame, picture or None, why none) for every wanted frame; VideoError where no frame can be had."""
    if request.images:
        answers = images.decode([Path(path) for path, _ in request.images], [sha256 for _, sha256 in request.images])
        yield from ((frame, *answer) for frame, answer in zip(request.frames, answers, strict=True))
        return
    path = Path(request.path)
    try:
        if not path.is_file():
            raise video.VideoError("missing", "the file is not there")
        if path.stat().st_size != request.bytes or sha256_of_file(path) != request.sha256:
            raise video.VideoError("changed_since_index", "size or content differ")
    except OSError as error:
        raise video.VideoError("unreadable", str(error.strerror)) from None
    frame_of = dict(zip(request.pts, request.frames, strict=True))
    for pts, picture, reason in video.decode(path, list(request.pts), list(request.key_pts)):
        yield frame_of[pts], picture, reason


def _attempt(frame: int, picture: np.ndarray, recipe: Recipe) -> dict[str, Any]:
    """Return the row of one decoded frame: the chosen face and its loose crop as PNG, or the reason for none."""
    height, width = picture.shape[:2]
    row: dict[str, Any] = {"frame": frame, "reason": "", "crop": None}
    box = (0, 0, width, height)
    if recipe.faces == "mtcnn":
        found = faces.detect(picture, recipe.min_face, recipe.detection_side)
        face, reason = faces.choose(found, recipe.min_face, recipe.min_probability)
        row["faces"] = len(found)
        if face is None:
            return row | {"reason": reason, "probability": max((other.probability for other in found), default=None)}
        box = face.box
        row |= {"probability": face.probability, "landmarks": list(face.landmarks)}
    area = (
        faces.clip_to_frame(faces.square_around(box, recipe.margin), width, height) if recipe.faces == "mtcnn" else box
    )
    loose = picture[area[1] : area[1] + area[3], area[0] : area[0] + area[2]]
    png = cv2.imencode(".png", cv2.cvtColor(loose, cv2.COLOR_RGB2BGR))[1].tobytes()
    for side, value_of_box, value_of_crop in zip(("x", "y", "width", "height"), box, area, strict=True):
        row |= {f"box_{side}": value_of_box, f"crop_{side}": value_of_crop}
    return row | {"sharpness": faces.sharpness(loose), "bytes": len(png), "sha256": sha256_of_bytes(png), "crop": png}


def read_crops(store: str, frames: Collection[int]) -> dict[int, bytes]:
    """Return frame -> PNG of the crops of `frames` that the cache folder `store` holds."""
    crops: dict[int, bytes] = {}
    for answer in sorted(Path(store).glob("*.parquet")):
        table = pq.read_table(answer, columns=["frame", "crop"], filters=[("frame", "in", list(frames))])
        crops |= dict(zip(table["frame"].to_pylist(), table["crop"].to_pylist(), strict=True))
    return crops
