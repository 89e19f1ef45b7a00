"""Claim: a dataset as shards is pulled 10 times and pushed 2 times faster than the same crops as loose files.

Run it from the project's root: `.venv/bin/python benchmarks/sharing.py`. It makes 20,000 crops of 224 px in a scratch
folder, packs them into 10 tars with the project's own writer, and lays them out as an ImageFolder of 100 folders. Each
goes through real DVC in a repository of its own, with a folder on the same disk as remote: add, push, then pull in a
clone with an empty cache. Exit code 1 when the claim does not hold. A remote behind a network makes the loose files
slower still.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pipeline.tars import write_tar

CROPS, SIDE, FOLDERS, TARS = 20_000, 224, 100, 10
PULL, PUSH = 10, 2  # times faster, at least
BIN = Path(sys.executable).parent


def main() -> None:
    """Make both forms of the crops, share each, print the table, judge the claim."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_loose(scratch / "loose/project/data")
        write_shards(scratch / "loose/project/data", scratch / "shards/project/data")
        print(f"{'':10}{'files':>10}{'MB':>10}{'add s':>10}{'push s':>10}{'pull s':>10}")
        loose, shards = (share(scratch / form) for form in ("loose", "shards"))
    ratios = {step: loose[step] / shards[step] for step in loose}
    print(f"{'ratio':30}" + "".join(f"{ratio:10.1f}" for ratio in ratios.values()))
    if ratios["pull"] < PULL or ratios["push"] < PUSH:
        sys.exit(f"error: claimed are {PULL} times for pull and {PUSH} times for push")
    print(f"holds: pull at least {PULL}, push at least {PUSH} times faster")


def write_loose(folder: Path) -> None:
    """Write the crops as JPEG files in FOLDERS folders."""
    for number in range(FOLDERS):
        (folder / f"{number:03d}").mkdir(parents=True)
    for number in range(CROPS):
        (folder / f"{number % FOLDERS:03d}" / f"{number:06d}.jpg").write_bytes(make_crop(number))


def make_crop(number: int) -> bytes:
    """Return a JPEG of SIDE x SIDE px, 8 to 20 kB like that of a face: soft shapes under a little grain."""
    random = np.random.default_rng(number)
    shapes = cv2.resize(
        random.uniform(0, 255, (8, 8, 3)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )
    strength = random.integers(1, 5)
    grain = random.integers(-strength, strength + 1, (SIDE, SIDE, 1))
    _, encoded = cv2.imencode(".jpg", np.clip(shapes + grain, 0, 255).astype(np.uint8))
    return bytes(encoded)


def write_shards(loose: Path, folder: Path) -> None:
    """Write the same bytes, each with a description as the stage shard adds it, as TARS tars."""
    crops = sorted(loose.rglob("*.jpg"))

    def members(part: list[Path]) -> Iterator[tuple[str, bytes]]:
        for path in part:
            yield path.name, path.read_bytes()
            yield f"{path.stem}.json", json.dumps({"label": int(path.parent.name) % 2, "video": path.stem}).encode()

    for number in range(TARS):
        write_tar(folder / f"train-{number:06d}.tar", members(crops[number::TARS]))


def share(place: Path) -> dict[str, float]:
    """Add, push and pull `place`/project/data; print a line and return the seconds of each step."""
    project, clone = place / "project", place / "clone"
    run(project, "git", "init", "--quiet")
    run(project, "dvc", "init", "--quiet")
    run(project, "dvc", "config", "core.analytics", "false")
    run(project, "dvc", "remote", "add", "--quiet", "--default", "storage", str(place / "storage"))
    files = [path for path in (project / "data").rglob("*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    seconds = {"add": run(project, "dvc", "add", "--quiet", "data"), "push": run(project, "dvc", "push", "--quiet")}
    run(project, "git", "add", "--all")
    run(project, "git", "-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "Data")
    run(place, "git", "clone", "--quiet", str(project), str(clone))
    seconds["pull"] = run(clone, "dvc", "pull", "--quiet")
    if sum(path.is_file() for path in (clone / "data").rglob("*")) != len(files):
        sys.exit("error: not everything was pulled")
    print(
        f"{place.name:10}{len(files):10,}{megabytes:10.0f}" + "".join(f"{s:10.1f}" for s in seconds.values()),
        flush=True,
    )
    return seconds


def run(folder: Path, *command: str) -> float:
    """Run `command` in `folder` and return the seconds it took; DVC keeps no memory of files from run to run."""
    program = BIN / command[0]
    # DVC remembers hashes of files in this folder: a fresh one for each repository, as on another machine.
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(folder / ".git/dvc-site")}
    started = time.perf_counter()
    subprocess.run(
        [str(program) if program.exists() else command[0], *command[1:]], cwd=folder, env=environment, check=True
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
