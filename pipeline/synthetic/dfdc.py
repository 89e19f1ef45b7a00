"""The synthetic DFDC: two train parts with `metadata.json`, and a test folder with `labels.csv`.

Recordings are landscape and portrait; the first shows two people, of whom its fakes swap one. Planted faults, there
at every scale:

| fault | where |
|---|---|
| a fake whose original is missing: listed as REAL in metadata.json, but no file | `ORPHAN`, `MISSING_ORIGINAL` |
| a video without a face, listed as REAL | `NO_FACE` |
| a video that metadata.json does not know | `UNLISTED` |
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.synthetic.dataset import Tree, Video
from pipeline.synthetic.faces import rng_of
from pipeline.synthetic.forgery import Forgery
from pipeline.synthetic.recordings import Recording

PARTS = ("dfdc_train_part_0", "dfdc_train_part_1")
METHODS = ("Deepfakes", "FaceSwap", "FaceShifter", "Celeb-synthesis")
FORMATS = ((384, 216, 30, 21), (216, 384, 30, 21), (320, 240, 25, 21), (240, 320, 25, 21))


def _name(kind: str, number: int = 0) -> str:
    """Return a file name of ten letters that says nothing."""
    return "".join(chr(ord("a") + int(letter)) for letter in rng_of("dfdc", kind, number).integers(0, 26, 10)) + ".mp4"


MISSING_ORIGINAL = f"{PARTS[1]}/{_name('missing original')}"
ORPHAN = f"{PARTS[1]}/{_name('orphan')}"
NO_FACE = f"{PARTS[1]}/{_name('no face')}"
UNLISTED = f"{PARTS[0]}/{_name('unlisted')}"


def plan(seed: int, scale: float) -> Tree:
    """Return the dataset of `seed`; at scale 1: 16 originals and 20 fakes to train on, 8 reals and 8 fakes to test."""
    originals, fakes, tests = max(round(16 * scale), 6), max(round(20 * scale), 8), max(round(8 * scale), 4)

    def recording(kind: str, number: int, actors: int = 1) -> Recording:
        people = tuple(f"{seed} dfdc actor {kind} {(number + place) % 10}" for place in range(actors))
        return Recording(f"{seed} dfdc {kind} {number}", people, *FORMATS[number % len(FORMATS)])

    def forged(path: str, target: Recording, number: int) -> Video:
        donor = recording("donor", number)
        return Video(path, target, Forgery(METHODS[number % len(METHODS)], donor, number % len(target.people)))

    targets = [recording("train", number, actors=1 if number else 2) for number in range(originals)]
    videos = []
    entries: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for number, target in enumerate(targets):
        part = PARTS[number % 2]
        videos.append(Video(f"{part}/{_name('original', number)}", target))
        entries[part][_name("original", number)] = {"label": "REAL", "split": "train"}
    for number in range(fakes):
        part, original = PARTS[number % originals % 2], _name("original", number % originals)
        videos.append(forged(f"{part}/{_name('fake', number)}", targets[number % originals], number))
        entries[part][_name("fake", number)] = {"label": "FAKE", "split": "train", "original": original}
    for number in range(tests):
        videos.append(Video(f"test/{_name('test real', number)}", recording("test", number)))
        videos.append(forged(f"test/{_name('test fake', number)}", recording("test of fakes", number), number))
    videos.append(forged(ORPHAN, recording("planted", 1), 0))
    videos.append(Video(NO_FACE, replace(recording("planted", 2), people=())))
    videos.append(Video(UNLISTED, recording("planted", 4)))
    missing = Path(MISSING_ORIGINAL).name
    entries[PARTS[1]] |= {
        missing: {"label": "REAL", "split": "train"},
        Path(ORPHAN).name: {"label": "FAKE", "split": "train", "original": missing},
        Path(NO_FACE).name: {"label": "REAL", "split": "train"},
    }
    labels = sorted(
        f"{Path(video.path).name},{int(video.forgery is not None)}\n"
        for video in videos
        if video.path.startswith("test/")
    )
    files = {f"{part}/metadata.json": json.dumps(entries[part]).encode() for part in PARTS}
    return Tree(videos, files | {"test/labels.csv": "".join(["filename,label\n", *labels]).encode()})
