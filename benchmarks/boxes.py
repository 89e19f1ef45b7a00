"""Claim: with boxes from the originals, a fraction of the frames is searched for faces.

Run it from the project's root: `.venv/bin/python benchmarks/boxes.py [--folder FOLDER]`. It renders the built-in
FaceForensics++ (12 originals, five fakes of each) and runs the stages up to extract on every 10th frame, in one
process, counting the pictures that faces.detect is given. `extract.boxes: from_original` needs of what `per_video`
needs
- at most 0.35 for all five methods at the originals' frame indices (no quota);
- at most 0.6 for as many fakes as reals, in pairs (reduce.paired, quota smallest_class).
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import pandas as pd
from corpus import CORES, KEY, judge, plan, working_folder, write_project

from pipeline.extracting import faces
from pipeline.synthetic.dataset import write_tree
from pipeline.synthetic.layouts import LAYOUTS
from stages import extract

SELECTIONS = {
    "all methods": ({"train": "none", "val": "none", "test": "none"}, False, 0.35),
    "in pairs": ({"train": "smallest_class", "val": "smallest_class", "test": "smallest_class"}, True, 0.6),
}


def main() -> None:
    """Render, extract in both ways, print the counts, judge the claims."""
    cv2.setNumThreads(1)
    claims = {}
    with working_folder("Frames searched for faces with boxes from originals, and without.") as folder:
        raw = folder / "raw"
        if not raw.exists():
            write_tree(LAYOUTS["ffpp"](1, 1.0), raw, CORES)
        for selection, (quota, paired, limit) in SELECTIONS.items():
            searched = {}
            for boxes in ("per_video", "from_original"):
                project = folder / f"{selection} {boxes}".replace(" ", "_")
                changes: dict[str, Any] = {"reduce.quota": quota, "reduce.paired": paired}
                changes |= {"reduce.min_per_video.test": 0, "extract.boxes": boxes, "extract.crop_quality": 95}
                write_project(project, raw, "ffpp", changes)
                plan(project)
                searched[boxes] = count_searched(project)
                frames = pd.read_parquet(project / f"data/extract/{KEY}/frames.parquet")
                kept = int((frames.status == "kept").sum())
                print(f"{selection}, {boxes}: {searched[boxes]} frames searched, {kept} kept", flush=True)
            ratio = searched["from_original"] / searched["per_video"]
            claims[f"{selection}: {ratio:.2f} of the frames are searched (at most {limit})"] = ratio <= limit
    judge(claims)


def count_searched(project: Path) -> int:
    """Run extract in this process, from an empty work cache; return how many pictures it searched for faces."""
    searched = 0
    detect = faces.detect

    def counted(pictures: Any, *knobs: Any) -> Any:
        nonlocal searched
        searched += len(pictures)
        return detect(pictures, *knobs)

    environment = {"VERIFRAME_CACHE": "cache", "VERIFRAME_DEVICE": "cpu"}
    shutil.rmtree(project / "cache/extract", ignore_errors=True)
    with (
        chdir(project),
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", ["extract", KEY]),
        mock.patch.object(extract, "engine", in_this_process),
        mock.patch.object(faces, "detect", counted),
    ):
        extract.main()
    return searched


@contextmanager
def in_this_process(_: Any) -> Iterator[Any]:
    """Yield an engine that runs one job after the other."""
    yield lambda fn, jobs, watch=None: ((job, fn(job)) for job in jobs)


if __name__ == "__main__":
    main()
