"""What the benchmarks of extraction share: videos that give an encoder work, projects to extract them in, measuring."""

import multiprocessing
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
KEY = "corpus"
PLANNING = ("index", "split", "sample", "flatten", "reduce")
CORES = 2

# Size, length and rate of a video of Celeb-DF, encoded as most tools would. Of what is rendered here x264 makes 2.5 kB
# a frame and 74 % B-frames; of real people who talk, at this size, 2 to 4 kB and 69 to 76 %.
WIDTH, HEIGHT, FRAMES, RATE = 944, 500, 390, 30
MEDIUM = {"preset": "medium", "crf": "23", "threads": "1", "g": "250"}


@dataclass
class Measured:
    """Wall time and CPU time (user and system, of all processes that ended) in seconds."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def measured() -> Iterator[Measured]:
    """Measure the processes that are started, and that end, inside the block."""
    result = Measured()
    started, spent = time.perf_counter(), _cpu_of_children()
    yield result
    result.wall, result.cpu = time.perf_counter() - started, _cpu_of_children() - spent


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def working_folder(about: str) -> Iterator[Path]:
    """Yield the folder named by `--folder`, in which the corpus stays for the next run, or one that goes at the end."""
    parser = ArgumentParser(description=about, allow_abbrev=False)
    parser.add_argument("--folder", type=Path, help="where to work; the corpus stays there for the next run")
    folder = parser.parse_args().folder
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def judge(claims: Mapping[str, bool]) -> None:
    """Print each claim and whether it holds; end with exit code 1 where one does not."""
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {claim}")
    sys.exit(not all(claims.values()))


def bytes_below(*folders: Path) -> int:
    """Return the size of all files below `folders`, in bytes."""
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


# --- projects --------------------------------------------------------------------------------------------------------


def write_project(project: Path, root: Path, layout: str, changes: Mapping[str, Any]) -> None:
    """Write params.yaml, the project's own with one dataset KEY and `changes` by dotted name, into a folder."""
    project.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(ROOT / "params.yaml")
    params["datasets"] = {KEY: {"layout": layout, "root": str(root)}}
    for name, value in changes.items():
        *parents, last = name.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    yaml.dump(params, project / "params.yaml")


def start_stage(project: Path, stage: str, workers: int, **more: Any) -> "subprocess.Popen[bytes]":
    """Start `python -m stages.<stage> KEY` in `project`, in which the work cache lies, too."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "VERIFRAME_WORKERS": str(workers),
        "VERIFRAME_CACHE": str(project / "cache"),
        "VERIFRAME_DEVICE": "cpu",
    }
    return subprocess.Popen([sys.executable, "-m", f"stages.{stage}", KEY], cwd=project, env=environment, **more)


def run_stage(project: Path, stage: str, workers: int = CORES) -> Measured:
    """Run a stage in `project` to its end; return what it took."""
    with measured() as took:
        process = start_stage(project, stage, workers, stderr=subprocess.PIPE)
        _, said = process.communicate()
    if process.returncode != 0:
        sys.exit(f"error: the stage {stage} failed\n{said.decode(errors='replace')}")
    return took


def plan(project: Path) -> None:
    """Run the stages from index to reduce."""
    for stage in PLANNING:
        run_stage(project, stage)


def extract_cold(project: Path, workers: int = CORES) -> Measured:
    """Run extract as if for the first time; return what it took."""
    for left_over in ("cache/extract", f"data/extract/{KEY}"):
        shutil.rmtree(project / left_over, ignore_errors=True)
    return run_stage(project, "extract", workers)


# --- videos ----------------------------------------------------------------------------------------------------------


def make_corpus(root: Path, videos: int, width: int = WIDTH, height: int = HEIGHT, frames: int = FRAMES) -> None:
    """Render a dataset of layout `manifest` at `root` unless it is there."""
    if (root / "manifest.csv").exists():
        return
    (root / "videos").mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    jobs = [(root / name, number, width, height, frames) for number, name in enumerate(names(videos))]
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_make, jobs))
    write_manifest(root, videos)
    print(f"rendered {videos} videos in {time.perf_counter() - started:.0f} s", flush=True)


def copy_videos(source: Path, root: Path, videos: int) -> None:
    """Make a dataset at `root` out of the videos of another, in turn, each with its number in a box that players skip.

    So no two have the same bytes: for the pipeline they are different videos.
    """
    contents = [path.read_bytes() for path in sorted((source / "videos").glob("*.mp4"))]
    (root / "videos").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names(videos)):
        (root / name).write_bytes(contents[number % len(contents)] + struct.pack(">I4sQ", 16, b"free", number))
    write_manifest(root, videos)


def names(videos: int) -> list[str]:
    """Return the paths of a dataset's videos."""
    return [f"videos/{number:04d}.mp4" for number in range(videos)]


def write_manifest(root: Path, videos: int) -> None:
    """Write the manifest of so many videos: the even ones are real, the others fake, all are for training."""
    rows = [f"{path},{number % 2},train\n" for number, path in enumerate(names(videos))]
    (root / "manifest.csv").write_text("path,label,split\n" + "".join(rows))


def _make(job: tuple[Path, int, int, int, int]) -> None:
    path, seed, width, height, frames = job
    if not path.exists():
        cv2.setNumThreads(1)
        write_video(path, pictures(width, height, frames, seed), MEDIUM)


def write_video(path: Path, shown: Iterable[np.ndarray], options: Mapping[str, str]) -> None:
    """Encode RGB pictures with x264 into an MP4 file that is whole or absent."""
    part = path.with_suffix(".part")
    with av.open(str(part), "w", format="mp4") as container:
        stream: Any = None
        for number, picture in enumerate(shown):
            if stream is None:
                stream = container.add_stream("libx264", rate=RATE, options=dict(options))
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            planes: Any = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part.replace(path)


def pictures(width: int, height: int, frames: int, seed: int) -> Iterator[np.ndarray]:
    """Yield RGB pictures: what a hand-held, noisy camera sees of a textured head that moves before a wall."""
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi, 8)
    room = 128  # pixels around the wall for the camera's shaking
    wall = _texture(random, width + room, height + room, 120)
    head = _texture(random, height, height, random.integers(90, 170, 3))
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : height * 1j]
    oval = cv2.GaussianBlur((1.6 * x * x + y * y < 0.46).astype(np.float32), (0, 0), 2)
    noises = [(2 * random.standard_normal((height, width, 3))).astype(np.int8) for _ in range(4)]

    for number in range(frames):
        wave = np.sin(number / RATE * np.array([0.7, 2.9, 0.5, 3.1, 1.1, 0.8, 0.9, 1.3]) + phase)
        camera = [[1, 0, -room / 2 - 6 * wave[0] - 1.5 * wave[1]], [0, 1, -room / 2 - 4 * wave[2] - wave[3]]]
        picture = cv2.warpAffine(wall, np.array(camera), (width, height))
        size, turn = 0.62 * (1 + 0.03 * wave[5]), 0.08 * wave[4]
        linear = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = np.array([width / 2, height / 2]) + height / 500 * np.array([50 * wave[6] + 4 * wave[1], 14 * wave[7]])
        pose = np.column_stack([linear, centre - linear @ [height / 2, height / 2]])
        weight = cv2.warpAffine(oval, pose, (width, height))
        picture = cv2.blendLinear(cv2.warpAffine(head, pose, (width, height)), picture, weight, 1 - weight)
        noise = np.roll(noises[number % len(noises)], random.integers(height), axis=0)
        yield cv2.add(picture, noise, dtype=cv2.CV_8U)


def _texture(random: np.random.Generator, width: int, height: int, colour: Any) -> np.ndarray:
    """Return a cloudy picture, uint8 (height, width, 3): noise of four sizes around `colour`."""
    texture = np.zeros((height, width, 3), np.float32) + np.float32(colour)
    for cell, weight in ((64, 40), (16, 22), (4, 12), (1, 5)):
        shape = (height // cell + 2, width // cell + 2)
        grains = random.standard_normal((*shape, 1)) + 0.3 * random.standard_normal((*shape, 3))  # more light than hue
        texture += weight * cv2.resize(grains.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(texture, 16, 240).astype(np.uint8)
