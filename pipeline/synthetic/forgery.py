"""Forgeries of rendered recordings, with the traces that face generators leave.

A generator makes a face of limited resolution, without the camera's noise and a little off in colour, and a mask
blends it into every frame on its own, so that it flickers. The methods differ in what they replace (the face, the
expression, the mouth), in the mask, and in how strong each trace is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthetic.faces import (
    Grid,
    Identity,
    Pixels,
    Pose,
    Where,
    ellipse,
    make_grid,
    make_identity,
    on_face,
    paint_face,
    rng_of,
)
from pipeline.synthetic.recordings import (
    Image,
    Moment,
    Recording,
    Scene,
    add_noise,
    develop,
    make_scene,
    moments,
    poses,
)

EXACT = cv2.INTER_LINEAR_EXACT  # the same on every processor


class Method(NamedTuple):
    """One way to forge. Lengths in head units (half the height of the face)."""

    replaces: Literal["face", "expression", "mouth"]  # what is taken from the donor; else the target's own identity
    mask: Literal["box", "oval"]
    width: float  # half width of the mask, against the face's
    height: float  # half height of the mask
    feather: float  # width of the mask's edge, share of its radius
    resolution: float  # pixels the generator spends on the height of the face
    colour: float  # mismatch of each colour channel, levels
    flicker: float  # change of brightness from frame to frame, share
    jitter: float  # movement of the mask from frame to frame


METHODS = {
    "Celeb-synthesis": Method("face", "oval", 0.90, 0.78, 0.40, 52, 8, 0.03, 0.01),
    "Deepfakes": Method("face", "box", 0.80, 0.66, 0.25, 32, 12, 0.03, 0.01),
    "Face2Face": Method("expression", "oval", 0.90, 0.80, 0.20, 46, 5, 0.02, 0.01),
    "FaceSwap": Method("face", "oval", 0.86, 0.76, 0.05, 90, 13, 0.02, 0.03),
    "NeuralTextures": Method("mouth", "oval", 0.62, 0.34, 0.45, 30, 6, 0.02, 0.01),
    "FaceShifter": Method("face", "oval", 1.0, 0.90, 0.35, 56, 8, 0.01, 0.0),
}


@dataclass(frozen=True)
class Forgery:
    """What was done to a recording: the method, whose face or expression went in, and into which of its people."""

    method: str
    donor: Recording
    place: int = 0


def film(recording: Recording, forgery: Forgery | None = None) -> Iterator[Image]:
    """Yield the frames, (height, width, 3) RGB, of a recording as its camera took them, or forged."""
    scene = make_scene(recording)
    forge = _forger(recording, scene, forgery) if forgery else None
    for moment in moments(recording, scene):
        picture = add_noise(develop(moment.canvas), scene.noise, recording.seed, moment.number)
        yield forge(moment, picture) if forge else picture


def _forger(recording: Recording, scene: Scene, forgery: Forgery) -> Callable[[Moment, Image], Image]:
    """Return the function that forges a frame: (what was before the camera, its picture) -> picture."""
    method = METHODS[forgery.method]
    donor = forgery.donor.people[0]
    identity = make_identity(recording.people[forgery.place])
    if method.replaces == "face":
        identity = _recoloured(make_identity(donor), identity)
    expressions = poses(replace(forgery.donor, frames=recording.frames))[0]
    ids = forgery.method, recording.seed, donor
    rng = rng_of("quality", *ids)
    quality = rng.uniform(0.9, 1.6)  # some forgeries come out better than others
    cast = (method.colour / quality * rng.choice((-1.0, -0.6, 0.6, 1.0), 3)).astype(np.float32)

    def forge(moment: Moment, picture: Image) -> Image:
        rng = rng_of("flicker", *ids, moment.number)
        target = moment.poses[forgery.place]
        pose = _driven(target, expressions[moment.number], method)
        grid = make_grid(picture.shape[0], picture.shape[1], target)
        where, mask = _mask(method, identity, grid, target, rng.uniform(-method.jitter, method.jitter, 2))
        paint_face(moment.canvas, grid, identity, pose, scene.light)
        made = _generated(develop(moment.canvas[:, *where]), quality * method.resolution / (2 * target.size))
        made *= np.float32(1 + rng.uniform(-method.flicker, method.flicker))
        made += cast
        area = picture[where].astype(np.float32)
        area += (np.clip(made, 0, 255) - area) * mask[..., None]
        picture[where] = (area + np.float32(0.5)).astype(np.uint8)
        return picture

    return forge


def _recoloured(donor: Identity, target: Identity) -> Identity:
    """Return the donor with most of the target's complexion: what a generator's colour transfer achieves."""
    share = np.float32(0.75)
    skin, lips = donor.skin + share * (target.skin - donor.skin), donor.lips + share * (target.lips - donor.lips)
    return replace(donor, skin=skin, lips=lips)


def _driven(target: Pose, donor: Pose, method: Method) -> Pose:
    """Return the pose to paint: the target's, with the donor's expression or mouth where the method transfers it."""
    if method.replaces == "face":
        return target
    if method.replaces == "mouth":
        return target._replace(mouth=donor.mouth, smile=donor.smile)
    return target._replace(eyes=donor.eyes, mouth=donor.mouth, smile=donor.smile, brows=donor.brows)


def _mask(
    method: Method, identity: Identity, grid: Grid, pose: Pose, shift: NDArray[np.float64]
) -> tuple[Where, Pixels]:
    """Return the bounding box of a method's mask in the picture, and the mask, 0 to 1."""
    u, v, narrow = on_face(identity, pose, 0, identity.mouth_height if method.replaces == "mouth" else 0.12)
    u, v = 0.6 * u + shift[0], v + shift[1]
    width, height = method.width * identity.width * narrow, method.height
    where, oval = ellipse(grid, u, v, width, height, method.feather)
    if method.mask == "oval":
        return where, oval
    across = np.abs(grid.u[where] - np.float32(u)) * np.float32(1 / width)
    down = np.abs(grid.v[where] - np.float32(v)) * np.float32(1 / height)
    return where, np.clip((1 - np.maximum(across, down)) * np.float32(1 / method.feather), 0, 1)


def _generated(picture: Image, scale: float) -> Pixels:
    """Return a picture (height, width, 3) with no more detail than a generator of `scale` times its size makes."""
    height, width = picture.shape[:2]
    small = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    small = cv2.resize(small, (max(round(width * scale), 2), max(round(height * scale), 2)), interpolation=EXACT)
    return cv2.resize(small, (width, height), interpolation=EXACT).astype(np.float32)
