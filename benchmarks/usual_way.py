"""How frames are usually taken out of videos: decode all, write every 10th, copy, sample, copy. The rival, as written.

`python benchmarks/usual_way.py OUT VIDEO...` writes every 10th frame of each video as a JPEG into a folder of its own
below OUT/frames, copies them all into OUT/flat, and two of each video into OUT/balanced.
"""

import random
import shutil
import sys
from pathlib import Path

import cv2

EVERY, PER_VIDEO = 10, 2


def main() -> None:
    """Take the frames of the videos on the command line."""
    out, *videos = map(Path, sys.argv[1:])
    for video in videos:
        write_frames(video, out / "frames" / video.stem)
    flat = out / "flat"
    flat.mkdir(parents=True, exist_ok=True)
    for frame in sorted((out / "frames").glob("*/*.jpg")):
        shutil.copy(frame, flat / f"{frame.parent.name}_{frame.name}")
    balanced = out / "balanced"
    balanced.mkdir(parents=True, exist_ok=True)
    random.seed(0)
    for video in videos:
        for frame in random.sample(sorted(flat.glob(f"{video.stem}_*.jpg")), PER_VIDEO):
            shutil.copy(frame, balanced)


def write_frames(video: Path, folder: Path) -> None:
    """Write every 10th frame of a video into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    capture = cv2.VideoCapture(str(video))
    number = 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        if number % EVERY == 0:
            cv2.imwrite(str(folder / f"{number:06d}.jpg"), frame)
        number += 1
    capture.release()


if __name__ == "__main__":
    main()
