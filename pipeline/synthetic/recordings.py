"""One recording: who is in it, where, under which light and camera, and how everybody moves, frame by frame."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.synthetic.faces import Light, Pixels, Pose, make_identity, paint_person, rng_of

Image = np.ndarray  # RGB uint8 (height, width, 3)


@dataclass(frozen=True)
class Recording:
    """A recording to be rendered; everything it shows follows from these values."""

    seed: str  # names the recording
    people: tuple[str, ...]  # seeds of the identities, left to right; none: a video without a face
    width: int
    height: int
    fps: int
    frames: int


class Scene(NamedTuple):
    """What stays the same during a recording."""

    background: Image  # (height, width, 3)
    light: Light
    noise: int  # strength of the sensor's noise, see `add_noise`
    balls: list[list[int]]  # that drift where nobody is: x, y, radius, speed in x and y (pixels per second), colour


class Moment(NamedTuple):
    """One frame before the camera: its noiseless picture and the poses in it."""

    canvas: Pixels  # (3, height, width), 0 to 255
    poses: list[Pose]
    number: int  # of the frame, from 0


def make_scene(recording: Recording) -> Scene:
    """Draw room, light and camera of a recording."""
    rng = rng_of("scene", recording.seed)
    height, width = recording.height, recording.width
    light = Light(
        x=float(rng.choice((-1, 1)) * rng.uniform(0.15, 0.6)),
        y=rng.uniform(-0.6, -0.25),
        ambient=rng.uniform(0.5, 0.62),
        tint=rng.uniform(0.9, 1.08, 3).astype(np.float32),
    )
    wall = rng.uniform(80, 180) + rng.uniform(-25, 25, 3)
    slope = (np.arange(width) / width - 0.5)[:, None] * rng.uniform(-50, 50, 3)
    fall = (np.arange(height) / height - 0.5)[:, None, None] * rng.uniform(-50, 50, 3)
    background = np.clip(wall + slope + fall, 20, 235).astype(np.uint8)
    for _ in range(int(rng.integers(3, 7))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        colour = (rng.integers(40, 215) + rng.integers(-30, 31, 3)).tolist()
        across, down = int(rng.integers(15, 60)), int(rng.integers(15, 90))
        if rng.integers(2):
            cv2.rectangle(background, (x - across, y - down), (x + across, y + down), colour, -1)
        else:
            cv2.ellipse(background, (x, y), (across, down), 0, 0, 360, colour, -1)
    noise = int(rng.integers(3, 6))
    low, high = (0, 0, 8, -60, -60, 30, 30, 30), (width, height, 25, 60, 60, 225, 225, 225)
    balls = [] if recording.people else [rng.integers(low, high).tolist() for _ in range(4)]
    return Scene(cv2.GaussianBlur(background, (0, 0), 2.5), light, noise, balls)


def poses(recording: Recording) -> list[list[Pose]]:
    """Return, for each person, the pose in every frame."""
    return [_motion(recording, place) for place in range(len(recording.people))]


def _motion(recording: Recording, place: int) -> list[Pose]:
    """Let one person sway, turn, blink and talk: sums of slow sines with the recording's own frequencies."""
    rng = rng_of("motion", recording.seed, place)
    share = recording.width / max(len(recording.people), 1)
    size = min(0.27 * recording.height, 0.36 * share) * rng.uniform(0.9, 1.12)
    size = min(max(size, 48.0), 74.0)
    middle = share * (place + rng.uniform(0.46, 0.54)), recording.height * rng.uniform(0.44, 0.5)
    waves = {
        name: (amplitude * rng.uniform(0.6, 1.0), rng.uniform(slow, fast), rng.uniform(0, 2 * math.pi))
        for name, amplitude, slow, fast in (
            ("x", 0.16, 0.15, 0.5), ("y", 0.08, 0.2, 0.6), ("size", 0.05, 0.1, 0.3), ("yaw", 0.34, 0.15, 0.5),
            ("pitch", 0.14, 0.2, 0.6), ("roll", 0.11, 0.15, 0.4), ("mouth", 0.6, 2.0, 3.6), ("phrase", 0.4, 0.5, 0.9),
            ("smile", 1.0, 0.1, 0.4), ("brows", 1.0, 0.2, 0.7),
        )
    }  # fmt: skip
    yaw = rng.uniform(-0.15, 0.15)
    blink = rng.uniform(0.1, 0.9)

    def at(frame: int) -> Pose:
        time = frame / recording.fps
        wave = {name: a * math.sin(2 * math.pi * f * time + phase) for name, (a, f, phase) in waves.items()}
        since = (time - blink) % 2.4  # seconds; a blink takes 0.2
        values = Pose(
            x=middle[0] + size * wave["x"],
            y=middle[1] + size * wave["y"],
            size=size * (1 + wave["size"]),
            yaw=yaw + wave["yaw"],
            pitch=wave["pitch"],
            roll=wave["roll"],
            eyes=min(1.0, abs(since - 0.1) / 0.1),
            mouth=min(max(0.3 + wave["mouth"] * (0.6 + wave["phrase"]), 0.0), 1.0),
            smile=wave["smile"],
            brows=wave["brows"],
        )
        # Rounded, because math libraries disagree in a sine's last digit.
        return Pose(*[round(value, 4) for value in values])

    return [at(frame) for frame in range(recording.frames)]


def moments(recording: Recording, scene: Scene) -> Iterator[Moment]:
    """Yield every frame of a recording before the camera takes it."""
    everybody = [make_identity(person) for person in recording.people]
    motion = poses(recording)
    for index in range(recording.frames):
        canvas = _backdrop(scene, index / recording.fps)
        held = [everyones[index] for everyones in motion]
        for identity, pose in zip(everybody, held, strict=True):
            paint_person(canvas, identity, pose, scene.light)
        yield Moment(canvas, held, index)


def _backdrop(scene: Scene, time: float) -> Pixels:
    picture = scene.background.copy() if scene.balls else scene.background
    for x, y, radius, across, down, *colour in scene.balls:
        cv2.circle(picture, (round(x + across * time), round(y + down * time)), radius, colour, -1)
    return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)


def develop(canvas: Pixels) -> Image:
    """Turn a canvas of shape (3, height, width) into a picture (height, width, 3) as sharp as a lens makes it."""
    picture = np.ascontiguousarray(np.clip(canvas + np.float32(0.5), 0, 255).astype(np.uint8).transpose(1, 2, 0))
    return cv2.GaussianBlur(picture, (3, 3), 0.6)


def add_noise(picture: Image, strength: int, *ids: object) -> Image:
    """Add the sensor's noise that belongs to `ids`: 0.8 levels standard deviation per unit of `strength`, no colour."""
    first, second = rng_of("noise", *ids).integers(0, 256, (2, *picture.shape[:2]), dtype=np.uint8)
    noise = (first.astype(np.int16) + second - 255) * np.int16(strength) // np.int16(128)
    return cv2.add(picture, cv2.merge([noise, noise, noise]), dtype=cv2.CV_8U)
