"""Claim: 128,000 videos go through split, leak audit, sample, flatten and reduce in under 60 s and 2 GiB on two cores.

Run it from the project's root: `.venv/bin/python benchmarks/planning.py`. It makes up an index in the likeness of DFDC
(Dolhansky et al., 2020) in a scratch folder, runs the real stages on it one process after the other, as DVC does, and
prints seconds and peak memory of each. 32 frames of each video make 4 million candidates. Exit code 1 when the claim
does not hold. Making the index is not part of what is measured.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from pipeline import tables

ROOT = Path(__file__).resolve().parent.parent
KEY = "dfdc"
STAGES = ["split", "sample", "flatten", "reduce"]
ORIGINALS, VIDEOS, PARTS, TEST_PARTS, PERSONS = 19_000, 128_000, 50, 5, 960
CORES, SECONDS, MIB = 2, 60, 2048


def main() -> None:
    """Make the project, run the stages, print the table, judge the claim."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        # In a process of its own: a child's peak memory starts at what its parent held when it was started.
        maker = multiprocessing.get_context("spawn").Process(target=write_project, args=(project,))
        maker.start()
        maker.join()
        if maker.exitcode != 0:
            sys.exit("error: the index could not be made")

        print(f"{'stage':10}{'seconds':>10}{'CPU s':>10}{'peak MiB':>10}")
        measured = []
        for stage in STAGES:
            measured.append(run_stage(project, stage))
            print(row(stage, *measured[-1]), flush=True)
        candidates = pq.read_metadata(project / f"data/reduce/{KEY}/frames.parquet").num_rows
        leaks = pq.read_metadata(project / f"data/split/{KEY}/leaks.parquet").num_rows
    walls, processors, peaks = zip(*measured, strict=True)
    seconds, processor, peak = sum(walls), sum(processors), max(peaks)
    print(row("all", seconds, processor, peak))
    print(f"{VIDEOS:,} videos, {candidates:,} candidate frames, {leaks:,} leaks")
    if seconds >= SECONDS or peak >= MIB or candidates < 4_000_000 or leaks == 0:
        sys.exit(f"error: claimed are 4 million candidates in under {SECONDS} s and {MIB} MiB")
    print(f"holds: under {SECONDS} s and {MIB} MiB on {CORES} cores")


def row(name: str, seconds: float, processor: float, peak: float) -> str:
    """Return one line of the printed table."""
    return f"{name:10}{seconds:10.1f}{processor:10.1f}{peak:10.0f}"


def run_stage(project: Path, stage: str) -> tuple[float, float, float]:
    """Run `python -m stages.<stage> KEY` in `project`; return wall time and CPU time in seconds, peak memory in MiB."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", f"stages.{stage}", KEY], cwd=project, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"error: the stage {stage} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def write_project(project: Path) -> None:
    """Write params.yaml, the project's own with one dataset and 32 frames per video, and that dataset's index."""
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(ROOT / "params.yaml")
    params["datasets"] = {KEY: {"layout": "dfdc", "root": "data/raw/dfdc"}}
    params["sample"] |= {"every": None, "count": 32}
    yaml.dump(params, project / "params.yaml")
    tables.write(project / f"data/index/{KEY}/videos.parquet", make_index(), tables.VIDEOS, order=["video"])


def make_index() -> pd.DataFrame:
    """Return VIDEOS rows of tables.VIDEOS: originals first, then their fakes; one video in a thousand is missing."""
    random = np.random.default_rng(0)
    number = np.arange(VIDEOS)
    fake = number >= ORIGINALS
    original = number % ORIGINALS  # of a video: the row of what it was made from
    donor = original // 5 * 5 + random.integers(0, 5, VIDEOS)  # another original of the same scene
    part = original // (ORIGINALS // PARTS + 1)
    letters = random.integers(ord("a"), ord("z") + 1, (VIDEOS, 10), dtype=np.uint8)
    place = pd.Series([f"dfdc_train_part_{p}/{name.tobytes().decode()}" for p, name in zip(part, letters, strict=True)])
    method = np.where(fake, "unknown", "original")
    video = KEY + "/" + pd.Series(method) + "/native/" + place
    person = pd.Series([f"{KEY}/{number}" for number in random.integers(0, PERSONS, ORIGINALS)])

    there = number % 1000 != 999
    frames = 298 + number % 5
    stamps = np.cumsum(random.integers(950, 1051, (1000, 302)), axis=1)  # variable frame rate: the dearest to store
    known = {
        "video": video,
        "dataset": KEY,
        "path": place + ".mp4",
        "media": "video",
        "name": place,
        "method": method,
        "compression": "native",
        "label": fake.astype("int8"),
        "official_split": np.where(part >= PARTS - TEST_PARTS, "test", "train"),
        "recording": (KEY + "/" + place)[original].array,
        "donor_recording": (KEY + "/" + place)[donor].where(fake).array,
        "source_video": [f"site/{row // 20}" if row % 2 else None for row in original],
        "person": person[original].array,
        "donor_person": person[donor].where(fake).array,
        "original": video[original].where(fake).array,
        "bytes": 2_000_000 + number,
        "sha256": [f"{row:064x}" for row in np.where(number % 500 == 0, original, number)],  # some are copies
        "codec": "h264",
        "width": 1920,
        "height": 1080,
        "frame_rate": 30000 / 1001,
        "time_base": 1 / 30000,
        "frames": pd.Series(frames, dtype="Int32").where(there),
        "gop": 250,
        "pts": [stamps[row % 1000, : frames[row]] if there[row] else None for row in number],
        "key_frames": [[0, 250] if here else None for here in there],
        "status": np.where(there, "ok", "rejected"),
        "reason": np.where(there, "", "missing"),
        "detail": "",
    }
    return pd.DataFrame(dict.fromkeys(tables.VIDEOS.names) | known)


if __name__ == "__main__":
    main()
