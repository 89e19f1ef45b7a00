"""Claim: however large or long a video is, a worker of extract stays within 300 MB above its idle size.

Run it from the project's root: `.venv/bin/python benchmarks/memory.py [--folder FOLDER]`. It makes a clip of 4K
(3840x2160, 120 frames) and one of two hours (256x144, 216,000 frames), both with a face, and takes frames out of
each in a fresh worker, without faces and with MTCNN, as params.yaml has it. Idle is what the worker holds after it
did the same with a few frames of a tiny clip: code and networks are loaded then. Memory is resident memory, its peak
as Linux counts it (VmHWM). What the packet scan of each clip takes is printed as well.
"""

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import av
from corpus import MEDIUM, RATE, ROOT, judge, working_folder, write_video
from ruamel.yaml import YAML

from pipeline import video
from pipeline.engines import local_engine
from pipeline.extracting import answers
from pipeline.extracting.answers import Recipe, Request, Source
from pipeline.files import sha256_of_file
from pipeline.synthetic.forgery import film
from pipeline.synthetic.recordings import Recording

LIMIT_MB = 300
GOP, TWO_HOURS = 250, 2 * 3600 * RATE
# File, faces, every Nth frame. Detection takes longest: fewer frames show as well whether memory grows with them.
CASES = [("4k.mp4", "none", 10), ("4k.mp4", "mtcnn", 10), ("long.mp4", "none", 10), ("long.mp4", "mtcnn", 100)]


def main() -> None:
    """Make the clips, extract from each, print the peaks, judge the claim."""
    with working_folder("Peak memory of a worker of extract.") as folder:
        make_clips(folder)
        scanned: dict[str, dict[str, Any]] = {}
        print(f"{'packet scan':20}{'frames':>8}{'seconds':>9}{'idle MB':>9}{'peak above MB':>15}")
        for name in ("tiny.mp4", "4k.mp4", "long.mp4"):
            scanned[name], seconds, idle, above = in_worker(scan, folder / name)
            print(f"{name:20}{scanned[name]['frames']:8}{seconds:9.1f}{idle:9.0f}{above:15.0f}", flush=True)
        print(f"{'extract':20}{'frames':>8}{'seconds':>9}{'idle MB':>9}{'peak above MB':>15}")
        peaks = {}
        for name, faces, every in CASES:
            tiny = request(folder / "tiny.mp4", scanned["tiny.mp4"], faces, every)
            asked = request(folder / name, scanned[name], faces, every)
            seconds, idle, above = in_worker(extract, (tiny, asked))
            peaks[f"{name}, faces {faces}"] = above
            frames = len(asked.source.frames)
            print(f"{name + ', ' + faces:20}{frames:8}{seconds:9.1f}{idle:9.0f}{above:15.0f}", flush=True)
    judge({f"{case}: {peak:.0f} MB above idle (under {LIMIT_MB})": peak < LIMIT_MB for case, peak in peaks.items()})


def in_worker(fn: Any, job: Any) -> Any:
    """Return what `fn(job)` returns in a fresh worker of the local engine."""
    with local_engine(1) as run:
        [(_, result)] = run(fn, [job])
    if isinstance(result, BaseException):
        raise result
    return result


def scan(path: Path) -> tuple[dict[str, Any], float, float, float]:
    """Scan the packets of a clip (in a worker); return the facts, seconds, idle size and peak above it in MB."""
    idle, started = start_measuring(), time.perf_counter()
    facts = video.scan(path)
    return facts, time.perf_counter() - started, idle, memory("VmHWM") - idle


def extract(requests: tuple[Request, Request]) -> tuple[float, float, float]:
    """Answer two requests (in a worker); return seconds, idle size before and peak above it, in MB, of the second."""
    tiny, asked = requests
    answers.extract_video(tiny)
    idle, started = start_measuring(), time.perf_counter()
    reason = answers.extract_video(asked)
    if reason is not None:
        raise AssertionError(f"{asked.video}: {reason}")
    return time.perf_counter() - started, idle, memory("VmHWM") - idle


def start_measuring() -> float:
    """Let the peak start anew at what is held now; return that, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(field: str) -> float:
    """Return a field of /proc/self/status in MB (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024 / 1e6


def request(path: Path, facts: dict[str, Any], faces: str, every: int) -> Request:
    """Return the request for every Nth frame of a clip."""
    section = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["extract"]
    frames = range(0, facts["frames"], every)
    return Request(
        video=path.name,
        source=Source(
            path=str(path),
            bytes=path.stat().st_size,
            sha256=sha256_of_file(path),
            frames=tuple(frames),
            pts=tuple(facts["pts"][frame] for frame in frames),
            key_pts=tuple(facts["pts"][frame] for frame in facts["key_frames"]),
        ),
        clue=None,
        boxes=None,
        recipe=Recipe(**{field.name: section[field.name] for field in fields(Recipe)} | {"faces": faces}),
        store=str(path.parent / "cache" / path.stem / faces),
    )


# --- clips -----------------------------------------------------------------------------------------------------------


def make_clips(folder: Path) -> None:
    """Make the three clips that are not there."""
    for name, width, height, frames in (("tiny.mp4", 320, 240, 20), ("4k.mp4", 3840, 2160, 120)):
        if not (folder / name).exists():
            write_video(folder / name, film(Recording(name, ("somebody",), width, height, RATE, frames)), MEDIUM)
    if not (folder / "long.mp4").exists():
        shown = film(Recording("long", ("somebody",), 256, 144, RATE, GOP))
        write_video(folder / "part.mp4", shown, MEDIUM)
        repeat(folder / "part.mp4", folder / "long.mp4", TWO_HOURS // GOP)


def repeat(source: Path, target: Path, times: int) -> None:
    """Write the packets of a video of one group of pictures again and again, each time later."""
    part = target.with_suffix(".part")
    with av.open(str(source)) as opened, av.open(str(part), "w", format="mp4") as container:
        stream = container.add_stream_from_template(opened.streams.video[0])
        packets: list[Any] = [packet for packet in opened.demux(video=0) if packet.size]
        content = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
        duration, time_base = packets[0].duration, packets[0].time_base
        for start in range(0, times * GOP * duration, GOP * duration):
            for data, pts, dts, key in content:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration, packet.time_base = (
                    start + pts,
                    start + dts,
                    duration,
                    time_base,
                )
                packet.is_keyframe, packet.stream = key, stream
                container.mux(packet)
    part.replace(target)


if __name__ == "__main__":
    import memory as benchmark  # by its name: that is where a worker finds what it is to run

    benchmark.main()
