"""Claims: how much sooner, and with how much less written, wanted frames come out of videos than in the usual ways.

Run it from the project's root: `.venv/bin/python benchmarks/extraction.py [--folder FOLDER]`; it needs the program
`ffmpeg`. It renders 36 videos in the likeness of Celeb-DF (944x500, 390 frames, GOP 250; some minutes), makes 144 of
them, the same in other bytes, and takes frames out on two cores, in each way three times in turn; medians count. Ours
is the whole stage `extract` as a process, with its start, an empty work cache and two workers, without faces, writing
JPEG of the quality that the usual way writes.

Two frames of every video, somewhere among every 10th, against
- the usual way (benchmarks/usual_way.py: OpenCV reads all frames, every 10th is written, copied flat, sampled, copied):
  at least 7 times faster and 20 times less written. OpenCV decodes in as many threads as there are cores; what two such
  processes take, with half of the videos each, is printed as well;
- two `ffmpeg` at a time, of one thread each, that decode every frame and keep none: at least 3 times faster.

Every 10th frame of the 36: CPU time at most 1.25 of what ffmpeg takes to decode every frame, plus the JPEG encoding of
those frames.
"""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import pandas as pd
from corpus import (
    CORES,
    FRAMES,
    KEY,
    ROOT,
    Measured,
    bytes_below,
    copy_videos,
    extract_cold,
    judge,
    make_corpus,
    measured,
    names,
    plan,
    working_folder,
    write_project,
)

RENDERED, VIDEOS, ROUNDS = 36, 144, 3
EVERY, PER_VIDEO = 10, 2
OPENCV_QUALITY = 95  # of a JPEG, where none is asked for
JPEG_VIDEOS = 6  # whose frames are encoded to measure what that costs
EVERY_FRAMES = RENDERED * len(range(0, FRAMES, EVERY))


def main() -> None:
    """Make the videos, take the frames in every way, print the figures, judge the claims."""
    with working_folder("Ours against the usual ways to take frames out of videos.") as folder:
        if shutil.which("ffmpeg") is None:
            sys.exit("error: there is no program ffmpeg; install it (Debian, Ubuntu: apt-get install ffmpeg)")
        make_corpus(folder / "rendered", RENDERED)
        copy_videos(folder / "rendered", folder / "raw", VIDEOS)
        rendered = [folder / "rendered" / name for name in names(RENDERED)]
        videos = [folder / "raw" / name for name in names(VIDEOS)]
        # The ranks go round all videos of a class before one of them gives its third frame.
        two = make_project(folder / "two", folder / "raw", VIDEOS // 2 * PER_VIDEO, OPENCV_QUALITY)
        png = make_project(folder / "png", folder / "raw", VIDEOS // 2 * PER_VIDEO, None)
        every = make_project(folder / "every", folder / "rendered", "none", OPENCV_QUALITY)
        ways = {
            "2 a video, ours": lambda: extract_cold(two),
            "2 a video, ours, PNG": lambda: extract_cold(png),
            "2 a video, usual way": lambda: usual_way(folder / "usual", videos, 1),
            "the same twice at a time": lambda: usual_way(folder / "usual", videos, CORES),
            "ffmpeg decodes all": lambda: decode_all(videos),
            "every 10th, ours": lambda: extract_cold(every),
            "ffmpeg decodes those": lambda: decode_all(rendered),
            "JPEG encoding of those": lambda: encode_jpeg(rendered[:: RENDERED // JPEG_VIDEOS]),
        }
        rounds = [{way: take() for way, take in ways.items()} for _ in range(ROUNDS)]
        written = {
            "2 a video, ours": written_by(two, VIDEOS, VIDEOS * PER_VIDEO),
            "2 a video, ours, PNG": written_by(png, VIDEOS, VIDEOS * PER_VIDEO),
            "2 a video, usual way": bytes_below(folder / "usual"),
            "every 10th, ours": written_by(every, RENDERED, EVERY_FRAMES),
        }
    wall = {way: median(took[way].wall for took in rounds) for way in ways}
    cpu = {way: median(took[way].cpu for took in rounds) for way in ways}
    print(f"{'median of ' + str(ROUNDS):26}{'wall s':>8}{'CPU s':>8}{'MB written':>12}")
    for way in ways:
        print(f"{way:26}{wall[way]:8.2f}{cpu[way]:8.2f}" + (f"{written[way] / 1e6:12.1f}" if way in written else ""))
    ours = "2 a video, ours"
    faster = wall["2 a video, usual way"] / wall[ours]
    less = written["2 a video, usual way"] / written[ours]
    than_ffmpeg = wall["ffmpeg decodes all"] / wall[ours]
    overhead = cpu["every 10th, ours"] / (cpu["ffmpeg decodes those"] + cpu["JPEG encoding of those"])
    print(f"{wall['the same twice at a time'] / wall[ours]:.1f} times faster than the usual way in two processes")
    judge(
        {
            f"{faster:.1f} times faster than the usual way (at least 7)": faster >= 7,
            f"{less:.1f} times less written than in the usual way (at least 20)": less >= 20,
            f"{than_ffmpeg:.1f} times faster than ffmpeg decodes every frame (at least 3)": than_ffmpeg >= 3,
            f"every 10th frame: {overhead:.2f} of the CPU time of full decode and JPEG (at most 1.25)": overhead
            <= 1.25,
        }
    )


def make_project(project: Path, raw: Path, quota: int | str, quality: int | None) -> Path:
    """Make a project that wants `quota` frames of each class, and run what comes before extract."""
    changes: dict[str, Any] = {
        "split.validation": 0,
        "sample.every": EVERY,
        "reduce.quota.train": quota,
        "extract.faces": "none",
        "extract.crop_quality": quality,
    }
    write_project(project, raw, "manifest", changes)
    plan(project)
    return project


def written_by(project: Path, videos: int, frames: int) -> int:
    """Return the bytes that extract wrote; stop unless it kept `frames` frames, from all videos alike."""
    kept = pd.read_parquet(project / f"data/extract/{KEY}/frames.parquet").query("status == 'kept'")
    if len(kept) != frames or set(kept.groupby("video", observed=True).size()) != {frames // videos}:
        sys.exit(f"error: {project.name} kept {len(kept)} frames of {kept.video.nunique()} videos, wanted are {frames}")
    return bytes_below(project / "cache/extract", project / f"data/extract/{KEY}")


def usual_way(out: Path, videos: list[Path], processes: int) -> Measured:
    """Take the frames in the usual way, a part of the videos in each of so many processes."""
    shutil.rmtree(out, ignore_errors=True)
    script = ROOT / "benchmarks/usual_way.py"
    with measured() as took:
        running = [
            subprocess.Popen([sys.executable, script, out / str(part), *videos[part::processes]])
            for part in range(processes)
        ]
        if any(process.wait() != 0 for process in running):
            sys.exit("error: the usual way failed")
    return took


def decode_all(videos: list[Path]) -> Measured:
    """Decode every frame with ffmpeg, one thread a video, CORES videos at a time."""

    def decode(video: Path) -> None:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", str(video), "-f", "null", "-"]
        subprocess.run(command, check=True)

    with measured() as took, ThreadPoolExecutor(CORES) as pool:
        list(pool.map(decode, videos))
    return took


def encode_jpeg(videos: list[Path]) -> Measured:
    """Return what it takes to encode every 10th frame of all videos as JPEG, reckoned from these videos."""
    cv2.setNumThreads(1)
    wall = cpu = 0.0
    encoded = 0
    for video in videos:
        capture = cv2.VideoCapture(str(video))
        for number in range(FRAMES):
            capture.grab()
            if number % EVERY == 0:
                picture = capture.retrieve()[1]
                started, spent = time.perf_counter(), time.thread_time()
                cv2.imencode(".jpg", picture)
                wall, cpu = wall + time.perf_counter() - started, cpu + time.thread_time() - spent
                encoded += 1
    return Measured(wall * EVERY_FRAMES / encoded, cpu * EVERY_FRAMES / encoded)


if __name__ == "__main__":
    main()
