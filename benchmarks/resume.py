"""Claims: a new video costs what one video costs; killed at any moment and started again, extraction ends the same.

Run it from the project's root: `.venv/bin/python benchmarks/resume.py [--folder FOLDER]`. The stages run as they are,
each a process of its own.

One more video: 200 videos (944x500, 390 frames) are extracted without faces, once more with nothing to do, and once
more with one video added. That alone is decoded (there is one more answer in the work cache), and the wall time is at
most that of nothing to do plus two videos' share of the first time. One worker: a video cannot be shared out.

Killed: extraction of 200 small videos by two workers, from an empty work cache, is ended by SIGKILL of all its
processes at 20 random moments, and started again each time. It gives the same bytes as one that nothing ended, and no
video whose answer was there is decoded again. The same for 12 videos and 4 moments with MTCNN.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from corpus import (
    CORES,
    KEY,
    MEDIUM,
    RATE,
    copy_videos,
    extract_cold,
    judge,
    make_corpus,
    names,
    plan,
    run_stage,
    start_stage,
    working_folder,
    write_manifest,
    write_project,
    write_video,
)

from pipeline.files import sha256_of_file
from pipeline.synthetic.forgery import film
from pipeline.synthetic.recordings import Recording

VIDEOS, RENDERED = 200, 20  # the others are copies
SHARES = 2
KILLS, FACE_VIDEOS, FACE_KILLS = 20, 12, 4


def main() -> None:
    """Make the videos, measure, kill, judge the claims."""
    seed = random.randrange(2**32)
    print(f"random seed {seed}")
    moments = random.Random(seed)
    with working_folder("What one more video costs, and extraction killed again and again.") as folder:
        claims = one_more(folder / "one_more")
        for faces, videos, kills in (("none", VIDEOS, KILLS), ("mtcnn", FACE_VIDEOS, FACE_KILLS)):
            shares = [(number + moments.random()) / kills for number in range(kills)]  # one in each part of the time
            claims |= killed(folder / f"killed_{faces}", faces, videos, shares)
    judge(claims)


def one_more(folder: Path) -> dict[str, bool]:
    """Extract 200 videos, then nothing, then one more; return the claims and whether they hold."""
    rendered, raw, project = folder / "rendered", folder / "raw", folder / "project"
    make_corpus(rendered, RENDERED)
    copy_videos(rendered, raw, VIDEOS + 1)
    write_manifest(raw, VIDEOS)
    knobs = {"split.validation": 0, "sample.every": 20, "reduce.quota.train": "none"}
    write_project(project, raw, "manifest", knobs | {"extract.faces": "none", "extract.crop_quality": 95})
    plan(project)
    cold = extract_cold(project, workers=1).wall
    known = answers(project)
    idle = run_stage(project, "extract", workers=1).wall
    write_manifest(raw, VIDEOS + 1)
    plan(project)
    more = run_stage(project, "extract", workers=1).wall
    after = answers(project)
    new = len(after) - len(known)
    share = cold / VIDEOS
    print(f"{VIDEOS} videos: first time {cold:.2f} s, nothing to do {idle:.2f} s, one more {more:.2f} s")
    return {
        f"one more video: {new} decoded (1)": new == 1 and known.items() <= after.items(),
        f"one more video: {(more - idle) / share:.2f} videos' share of {share:.2f} s (at most {SHARES})": (
            more <= idle + SHARES * share
        ),
    }


def killed(folder: Path, faces: str, videos: int, moments: list[float]) -> dict[str, bool]:
    """Kill extraction at `moments` (shares of its wall time), go on; return the claims and whether they hold."""
    raw, project = folder / "raw", folder / "project"
    make_small_videos(folder / "rendered", min(videos, RENDERED))
    copy_videos(folder / "rendered", raw, videos)
    write_project(
        project, raw, "manifest", {"split.validation": 0, "reduce.quota.train": "none", "extract.faces": faces}
    )
    plan(project)
    whole = extract_cold(project).wall
    wanted = outputs(project)
    print(f"faces {faces}: {videos} videos in {whole:.2f} s; killed after (s), videos finished then:")
    same = kept = 0
    for moment in moments:
        for left_over in ("cache/extract", f"data/extract/{KEY}"):
            shutil.rmtree(project / left_over, ignore_errors=True)
        kill_after(project, moment * whole)
        before = answers(project)
        run_stage(project, "extract")
        after = answers(project)
        same += outputs(project) == wanted
        kept += before.items() <= after.items() and len(after) == videos
        print(f"{moment * whole:8.2f} {len(before):4}", flush=True)
    return {
        f"faces {faces}: the same bytes after {same} of {len(moments)} kills": same == len(moments),
        f"faces {faces}: nothing finished was done again after {kept} of {len(moments)} kills": kept == len(moments),
    }


def kill_after(project: Path, seconds: float) -> None:
    """Start extract, and end it and its workers with SIGKILL after so many seconds, unless it has ended."""
    process = start_stage(project, "extract", CORES, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        if process.wait(seconds) != 0:
            sys.exit("error: extract failed")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(project: Path) -> dict[Path, int]:
    """Return the answers in the work cache, whole ones, with their inodes: one that is written anew has another."""
    return {path: path.stat().st_ino for path in (project / "cache/extract").rglob("[!.]*.json")}


def outputs(project: Path) -> dict[str, str]:
    """Return the hashes of what extract wrote, by file name."""
    return {path.name: sha256_of_file(path) for path in (project / f"data/extract/{KEY}").iterdir()}


def make_small_videos(root: Path, videos: int) -> None:
    """Make small videos, each with another face, that are not there."""
    (root / "videos").mkdir(parents=True, exist_ok=True)
    for name in names(videos):
        if not (root / name).exists():
            write_video(root / name, film(Recording(name, (name,), 320, 240, RATE, 90)), MEDIUM)


if __name__ == "__main__":
    main()
