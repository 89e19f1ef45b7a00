"""Decode the chosen frames of each video, find the face, keep a loose crop; every attempt ends as a row.

What a video gives for a request (its frames and the recipe) is kept in the work cache under a hash of content, request
and versions, so that a second run, a killed run or a changed quota decodes only what is new.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import faces, selection, tables, video
from pipeline.engines import Run
from pipeline.files import sha256_of_bytes, sha256_of_file, sha256_of_text, whole_or_absent
from pipeline.progress import track

ATTEMPT_COLUMNS = [field.name for field in (*tables.FACE, *tables.CROP) if field.name not in ("tar", "offset")]
TRIES = 2  # a video whose worker dies is tried once more


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
    """The frames wanted from one video in one go, and the cache file for the answer."""

    video: str
    path: str
    bytes: int
    sha256: str
    frames: tuple[int, ...]
    pts: tuple[int, ...]
    key_pts: tuple[int, ...]
    recipe: Recipe
    answer: str


def extract(
    frames: pd.DataFrame, cells: pd.DataFrame, videos: pd.DataFrame, root: Path, recipe: Recipe, cache: Path, run: Run
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Fill the quotas `cells` (tables.QUOTAS) from the ranked `frames` (tables.RANKED), in rounds.

    `videos` maps each video to path, bytes, sha256, pts and key_frames (columns of tables.VIDEOS, index video).
    Returns the frames with the columns state (untried, good, failed), reason and the attempt's columns, and for each
    video the cache files that hold its crops.
    """
    answer_columns = ["reason", *ATTEMPT_COLUMNS]
    frames = frames.assign(state="untried", **dict.fromkeys(answer_columns)).astype(
        dict.fromkeys(answer_columns, object)
    )
    facts_of = dict(videos.iterrows())
    answers: dict[str, list[str]] = {}
    while len(wanted := selection.next_round(frames, cells)):
        attempts: list[dict[str, Any]] = []
        parts = frames.loc[wanted].groupby("video")
        requests = [_request(part, facts_of[str(name)], root, recipe, cache) for name, part in parts]
        for request, reason in _answer(requests, run):
            if reason is None:
                answers.setdefault(request.video, []).append(request.answer)
                rows = pq.read_table(request.answer, columns=["frame", *answer_columns]).to_pylist()
            else:
                rows = [{"frame": frame, "reason": reason} for frame in request.frames]
            attempts += [row | {"video": request.video} for row in rows]
        table = pd.DataFrame(attempts, columns=["video", "frame", *answer_columns], dtype=object)
        table = table.set_index(["video", "frame"]).loc[
            pd.MultiIndex.from_frame(frames.loc[wanted, ["video", "frame"]])
        ]
        frames.loc[wanted, answer_columns] = table.to_numpy()
        frames.loc[wanted, "state"] = np.where(table.reason == "", "good", "failed")
    frames["reason"] = frames.reason.fillna("")
    return frames, answers


def _request(part: pd.DataFrame, facts: pd.Series, root: Path, recipe: Recipe, cache: Path) -> Request:
    part = part.sort_values("frame")
    frames, pts = tuple(map(int, part.frame)), tuple(map(int, part.pts))
    name = sha256_of_text(facts.sha256, frames, pts, json.dumps(asdict(recipe), sort_keys=True), recipe.versions())
    return Request(
        video=str(part.video.iloc[0]),
        path=str(root / facts.path),
        bytes=int(facts.bytes),
        sha256=facts.sha256,
        frames=frames,
        pts=pts,
        key_pts=tuple(int(facts.pts[index]) for index in facts.key_frames),
        recipe=recipe,
        answer=str(cache / name[:2] / f"{name}.parquet"),
    )


def _answer(requests: list[Request], run: Run) -> Iterator[tuple[Request, str | None]]:
    """Yield every request once its answer lies in the cache, or with the reason why there will be none."""
    known = [request for request in requests if Path(request.answer).exists()]
    yield from ((request, None) for request in known)
    left = [request for request in requests if request not in set(known)]
    for attempt in range(TRIES):
        died = []
        for request, error in track(run(extract_video, left), len(left), "extract"):
            if not isinstance(error, Exception):
                yield request, error
            elif attempt + 1 < TRIES:
                died.append(request)
            else:
                yield request, "timeout" if isinstance(error, TimeoutError) else "worker_died"
        left = died


def extract_video(request: Request) -> str | None:
    """Answer one request (runs in a worker): write its rows and crops to the cache; return a reason if it cannot."""
    path = Path(request.path)
    if not path.is_file():
        return "missing"
    if path.stat().st_size != request.bytes or sha256_of_file(path) != request.sha256:
        return "changed_since_index"
    frame_of = dict(zip(request.pts, request.frames, strict=True))
    try:
        rows = [
            {"frame": frame_of[pts], "reason": reason, "crop": None}
            if picture is None
            else _attempt(frame_of[pts], picture, request.recipe)
            for pts, picture, reason in video.decode(path, list(request.pts), list(request.key_pts))
        ]
    except video.VideoError as error:
        return error.reason
    fields = [field for field in tables.FRAMES if field.name in ATTEMPT_COLUMNS]
    schema = pa.schema([("frame", pa.int32()), ("reason", pa.string()), *fields, ("crop", pa.binary())])
    with whole_or_absent(Path(request.answer)) as part:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), part, compression="none")
    return None


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


def read_crops(answers: list[str]) -> dict[int, bytes]:
    """Return frame -> PNG of all crops in the cache files `answers` of one video."""
    crops: dict[int, bytes] = {}
    for answer in answers:
        table = pq.read_table(answer, columns=["frame", "crop"])
        crops |= {
            frame: crop
            for frame, crop in zip(table["frame"].to_pylist(), table["crop"].to_pylist(), strict=True)
            if crop
        }
    return crops
