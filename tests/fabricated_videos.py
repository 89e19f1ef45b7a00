"""Small made-up videos, and a small made-up Celeb-DF tree with faults: real H.264 MP4 files."""

from pathlib import Path
from typing import Any

import av
import numpy as np

KEY = "tiny"
FAULTS = {
    "notes.txt": "stray",
    "Celeb-real/id9_0000.mp4": "missing",
    "Celeb-real/id8_0000.mp4": "truncated",
    "Celeb-real/id8_0001.mp4": "empty_file",
    "Celeb-real/id8_0002.mp4": "too_short",
    "Celeb-real/id8_0003.mp4": "label_conflict",
    "Celeb-real/id8_0004.mp4": "unreadable",
}


def picture(number: int, width: int, height: int) -> np.ndarray:
    """Return picture `number` of a video, uint8 (height, width, 3): a gradient and a bar that moves."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, number * 37 % 256)], axis=-1)
    pixels[:, number * 5 % width : number * 5 % width + 6] = (number * 53 % 256, 255 - number * 11 % 256, 128)
    return pixels.astype(np.uint8)


def write_video(
    path: Path,
    frames: int = 20,
    *,
    size: tuple[int, int] = (64, 48),
    gop: int = 12,
    b_frames: int = 2,
    pts: list[int] | None = None,
    title: str = "",
    movflags: str = "",
    pixels: list[np.ndarray] | None = None,
) -> Path:
    """Encode `pixels`, or `frames` pictures of `picture`, at 25 frames a second (or at `pts`, in 1/100 s)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = pixels or [picture(number, *size) for number in range(frames)]
    with av.open(str(path), "w", container_options={"movflags": movflags} if movflags else {}) as container:
        container.metadata["title"] = title
        stream: Any = container.add_stream("libx264", rate=100 if pts else 25)
        stream.height, stream.width = pixels[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"g": str(gop), "bf": str(b_frames), "threads": "1", "sc_threshold": "0", "crf": "20"}
        for number, pixel in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(pixel, format="rgb24")
            frame.pts = pts[number] if pts else number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, target: Path, *, shift: int) -> Path:
    """Copy the packets of `source` with `shift` frames added to their times; early ones fall to an edit list."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        ticks = round(shift / 25 / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts + ticks, packet.dts + ticks, copy
                new.mux(packet)
    return target


def all_frames(path: Path) -> dict[int, np.ndarray]:
    """Decode a whole video from start to end, the plainest way: time stamp -> RGB picture as stored."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return {int(frame.pts): frame.to_ndarray(format="rgb24") for frame in container.decode(stream)}


def write_celeb_tree(root: Path, *, faults: bool = True) -> Path:
    """Write a tree of the layout celeb_df_v2: 17 good videos, 4 of them for testing, and one file for each fault."""
    reals = [f"Celeb-real/id{person}_000{rec}.mp4" for person in range(3) for rec in range(2)]
    reals += [f"YouTube-real/0000{number}.mp4" for number in range(2)]
    fakes = [f"Celeb-synthesis/id{a}_id{(a + 1) % 3}_000{rec}.mp4" for a in range(3) for rec in range(2)]
    fakes += [f"Celeb-synthesis/id{a}_id{(a + 2) % 3}_0000.mp4" for a in range(3)]
    for number, path in enumerate(reals + fakes):
        pixels = [picture(frame + 31 * number, 64, 48) for frame in range(16 + number % 5)]
        write_video(root / path, pixels=pixels)
    listed = [(1, reals[0]), (1, reals[6]), (0, fakes[0]), (0, fakes[3])]
    if faults:
        (root / "notes.txt").write_text("kept beside the videos")
        whole = write_video(root / "Celeb-real/id8_0000.mp4", 40, movflags="faststart")
        whole.write_bytes(whole.read_bytes()[:-1500])
        (root / "Celeb-real/id8_0001.mp4").touch()
        write_video(root / "Celeb-real/id8_0002.mp4", 1)
        write_video(root / "Celeb-real/id8_0003.mp4", 21)
        (root / "Celeb-real/id8_0004.mp4").write_bytes(b"no video at all " * 50)
        listed += [(1, "Celeb-real/id9_0000.mp4"), (0, "Celeb-real/id8_0003.mp4")]
    (root / "List_of_testing_videos.txt").write_text("\n".join(f"{mark} {path}" for mark, path in listed))
    return root
