"""Small made-up videos as extraction asks for them: their rows of the index, ranks, quotas and Footage."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import selection, tables, video
from pipeline.extracting import answer_store, answers, extraction
from pipeline.extracting.answers import Recipe, Request
from pipeline.extracting.faces import Face
from pipeline.extracting.footage import COLUMNS, Footage, opened
from pipeline.files import sha256_of_bytes, sha256_of_file

WHOLE_FRAME = Recipe(
    faces="none",
    detection_side=640,
    min_face=40,
    min_probability=0.9,
    min_sharpness=0,
    margin=0.5,
    crop_quality=None,
)
MTCNN = dataclasses.replace(WHOLE_FRAME, faces="mtcnn")


def index_row(root: Path, path: str, **known: Any) -> dict[str, Any]:
    """Return the columns of the index that extraction reads for the video at `path` below `root`."""
    file = root / path
    facts = video.scan(file)
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {
        "video": Path(path).stem,
        "media": "video",
        "path": path,
        "label": 0,
    }
    row |= {name: facts[name] for name in ("width", "height", "rotation", "sample_aspect", "frames")}
    row |= {"bytes": file.stat().st_size, "sha256": sha256_of_file(file)}
    return row | {"pts": np.array(facts["pts"]), "key_frames": np.array(facts["key_frames"])} | known


def footage(
    root: Path, rows: list[dict[str, Any]], recipe: Recipe = WHOLE_FRAME, *, from_original: bool = False
) -> Footage:
    """Return what extraction asks by; the work cache lies beside `root`."""
    return Footage(opened(pd.DataFrame(rows)), root, recipe, from_original, root.parent / "cache")


def plan(rows: list[dict[str, Any]], quota: int | str = "none", every: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rank every second frame of the videos, in one split."""
    table = pd.DataFrame(rows)[["video", "label", "frames", "pts"]].assign(split="train", method="m", time_base=0.04)
    frames = selection.candidates(table, every, None)
    frames["key"] = frames.video + "__f" + frames.frame.astype(str)
    ranked = selection.rank(frames, 0).reset_index(drop=True)
    return ranked, selection.quotas(ranked, {"train": quota}, {"train": 0})


def counting(run: Any, counts: dict[str, int]) -> Any:
    """Wrap an engine: how many frames it is asked for, per video."""

    def counted(
        function: Callable[[Any], Any], jobs: Iterable[Request], watch: Any = None
    ) -> Iterator[tuple[Any, Any]]:
        jobs = list(jobs)
        for job in jobs:
            counts[job.video] = counts.get(job.video, 0) + len(job.source.frames)
        yield from run(function, jobs, watch)

    return counted


def extract(of: Footage, rows: list[dict[str, Any]], run: Any, quota: int | str = "none") -> pd.DataFrame:
    """Extract with a status for every frame; the crops of kept frames are held against their hashes."""
    ranked, cells = plan(rows, quota)
    frames, faces = extraction.extract(ranked, cells, of, run)
    assert len(frames) == len(ranked) and frames.key.tolist() == ranked.key.tolist()
    assert list(faces.columns) == tables.FACES.names and set(faces.key) <= set(frames.key)
    frames["status"], _ = selection.settle(frames, cells)
    kept = frames[frames.status == "kept"]
    crops = list(answer_store.read_crops(zip(kept.crops, kept.start, kept.bytes, strict=True)))
    assert [sha256_of_bytes(crop) for crop in crops] == kept.sha256.tolist()
    return frames


def face(x: int, y: int, width: int = 20, height: int = 24, probability: float = 0.95) -> Face:
    """Return a made-up face."""
    return Face(box=(x, y, width, height), landmarks=tuple(range(10)), probability=probability)


def searching(monkeypatch: pytest.MonkeyPatch, find: Callable[[np.ndarray], list[Any]]) -> list[int]:
    """Put `find` in place of the detector; return a list that grows by one entry per picture searched."""
    searched: list[int] = []

    def detect(pictures: list[np.ndarray], min_face: int, detection_side: int) -> list[list[Any]]:
        searched.extend(1 for _ in pictures)
        return [find(one) for one in pictures]

    monkeypatch.setattr(answers.faces, "detect", detect)
    monkeypatch.setattr(answers.faces, "detector_version", lambda: "a stand-in")
    monkeypatch.setenv("VERIFRAME_DEVICE", "cpu")
    return searched
