"""Talking heads as shaded ellipses: who a person is, how the head is held, and the painting of both.

Heads are painted in head coordinates: origin in the middle of the face, u to the picture's right, v down, one unit =
half the height of the face. Every shape is evaluated inside its bounding box only. Arrays of pixels go through +, -,
*, / and square roots alone: these round the same way on every x86-64 processor, which sin or exp of an array do not.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.files import sha256_of_text

Pixels = NDArray[np.float32]
Colour = NDArray[np.float32]
Where = tuple[slice, slice]  # rows and columns of a box in a picture

DEPTH = 0.85  # of the head, against half its height
TEXTURE_SIDE = 128
SKINS = ((222, 178, 150), (236, 198, 172), (178, 126, 94), (124, 86, 64), (204, 156, 118), (150, 104, 78))
HAIRS = ((38, 28, 22), (88, 60, 38), (172, 134, 84), (26, 26, 30), (136, 132, 128), (122, 62, 34))
IRISES = ((62, 42, 28), (88, 112, 138), (84, 98, 58), (48, 34, 26))
SHIRTS = ((52, 66, 96), (126, 44, 48), (196, 190, 178), (48, 88, 66), (70, 70, 74), (150, 118, 66))
SHADOW = np.array((34, 22, 20), np.float32)
SCLERA = np.array((232, 228, 222), np.float32)
TEETH = np.array((226, 220, 206), np.float32)


@dataclass(frozen=True)
class Identity:
    """What stays the same in every recording of a person. Lengths in head units."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    shirt: Colour
    width: float  # half width of the face
    jaw: float  # how much the face narrows towards the chin, 0 to 1
    eye_distance: float  # from the middle of the face
    eye_size: float
    eye_height: float
    brow_weight: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_width: float
    mouth_height: float
    lip_weight: float
    hairline: float
    hair_length: float
    beard: float  # opacity; 0 = none
    glasses: bool
    freckles: float  # contrast of the skin's texture
    texture: Pixels  # TEXTURE_SIDE squared, about -1 to 1


class Pose(NamedTuple):
    """How a head is held in one frame. Pixels, radians, and shares from 0 (closed, neutral) to 1."""

    x: float
    y: float
    size: float  # half height of the face, pixels
    yaw: float
    pitch: float
    roll: float
    eyes: float  # openness
    mouth: float  # openness
    smile: float  # -1 to 1
    brows: float  # raised, -1 to 1


class Light(NamedTuple):
    """Light on a scene: direction towards it in the picture (x, y; it also comes from the front) and its strength."""

    x: float
    y: float
    ambient: float
    tint: Colour  # gain of red, green, blue


class Grid(NamedTuple):
    """Head coordinates of every pixel of a picture: u, v of shape (height, width), and the pose they were made for."""

    u: Pixels
    v: Pixels
    x: float
    y: float
    size: float
    cos: float
    sin: float


def rng_of(*ids: object) -> np.random.Generator:
    """Return the random generator that belongs to the ids, on every machine."""
    return np.random.default_rng(int(sha256_of_text(*ids)[:16], 16))


def make_identity(seed: str) -> Identity:
    """Draw the person that belongs to `seed`."""
    rng = rng_of("identity", seed)

    def one_of(colours: tuple[tuple[int, int, int], ...], spread: float) -> Colour:
        colour = colours[int(rng.integers(len(colours)))]
        return (np.array(colour) + rng.uniform(-spread, spread, 3)).astype(np.float32)

    skin = one_of(SKINS, 8)
    return Identity(
        skin=skin,
        hair=one_of(HAIRS, 6),
        iris=one_of(IRISES, 8),
        lips=(skin * np.array((0.86, 0.56, 0.56)) * rng.uniform(0.9, 1.05)).astype(np.float32),
        shirt=one_of(SHIRTS, 12),
        width=rng.uniform(0.70, 0.80),
        jaw=rng.uniform(0.16, 0.34),
        eye_distance=rng.uniform(0.30, 0.36),
        eye_size=rng.uniform(0.135, 0.165),
        eye_height=rng.uniform(-0.22, -0.15),
        brow_weight=rng.uniform(0.035, 0.06),
        brow_tilt=rng.uniform(-0.2, 0.1),
        nose_length=rng.uniform(0.30, 0.40),
        nose_width=rng.uniform(0.13, 0.19),
        mouth_width=rng.uniform(0.23, 0.30),
        mouth_height=rng.uniform(0.56, 0.63),
        lip_weight=rng.uniform(0.055, 0.085),
        hairline=rng.uniform(-0.74, -0.58),
        hair_length=rng.choice((0.95, 1.05, 1.3, 1.7)),
        beard=float(rng.choice((0.0, 0.0, 0.0, 0.35, 0.6))),
        glasses=bool(rng.integers(5) == 0),
        freckles=rng.uniform(0.04, 0.10),
        texture=_texture(rng),
    )


def _texture(rng: np.random.Generator) -> Pixels:
    """Draw grain of three sizes, from single texels to blotches."""
    texture = np.zeros((TEXTURE_SIDE, TEXTURE_SIDE), np.float32)
    for cell, weight in ((1, 0.3), (2, 0.4), (8, 0.3)):
        coarse = rng.uniform(-1, 1, (TEXTURE_SIDE // cell, TEXTURE_SIDE // cell)).astype(np.float32)
        texture += np.float32(weight) * coarse.repeat(cell, 0).repeat(cell, 1)
    return texture


def make_grid(height: int, width: int, pose: Pose, *, upright: bool = False) -> Grid:
    """Return the head coordinates of a picture's pixels; `upright` leaves the roll out (the body does not lean)."""
    roll = 0.0 if upright else pose.roll
    cos, sin = round(math.cos(roll), 6), round(math.sin(roll), 6)
    x = ((np.arange(width) - pose.x) / pose.size).astype(np.float32)
    y = ((np.arange(height) - pose.y) / pose.size).astype(np.float32)[:, None]
    return Grid(
        x * np.float32(cos) + y * np.float32(sin),
        y * np.float32(cos) - x * np.float32(sin),
        pose.x,
        pose.y,
        pose.size,
        cos,
        sin,
    )


def to_pixels(grid: Grid, u: float, v: float) -> tuple[float, float]:
    """Return the picture's x, y of a point in head coordinates."""
    return grid.x + grid.size * (u * grid.cos - v * grid.sin), grid.y + grid.size * (u * grid.sin + v * grid.cos)


def on_face(identity: Identity, pose: Pose, x: float, y: float) -> tuple[float, float, float]:
    """Turn a point of the face, as seen from the front, by yaw and pitch; return its u, v and its foreshortening."""
    z = math.sqrt(max(1 - (x / identity.width) ** 2 - y * y, 0.05))
    u = x * math.cos(pose.yaw) + DEPTH * z * math.sin(pose.yaw)
    v = y * math.cos(pose.pitch) - DEPTH * z * math.sin(pose.pitch)
    slope = -DEPTH * x / (identity.width**2 * z)
    return round(u, 5), round(v, 5), round(min(max(math.cos(pose.yaw) + slope * math.sin(pose.yaw), 0.35), 1.3), 5)


def ellipse(
    grid: Grid, u: float, v: float, ru: float, rv: float, edge: float, tilt: float = 0.0
) -> tuple[Where, Pixels]:
    """Return the bounding box of a soft ellipse and its mask, 0 to 1 (`tilt`: v gained per unit of u)."""
    grow = math.sqrt(1 + edge) * grid.size
    x, y = to_pixels(grid, u, v)
    reach = rv + abs(tilt) * ru
    across = (ru * abs(grid.cos) + reach * abs(grid.sin)) * grow + 1
    down = (ru * abs(grid.sin) + reach * abs(grid.cos)) * grow + 1
    where = (
        slice(max(int(y - down), 0), max(int(y + down) + 1, 0)),
        slice(max(int(x - across), 0), max(int(x + across) + 1, 0)),
    )
    du = grid.u[where] - np.float32(u)
    dv = grid.v[where] - np.float32(v)
    if tilt:
        dv = dv - np.float32(tilt) * du
    du *= np.float32(1 / ru)
    dv *= np.float32(1 / rv)
    du *= du
    dv *= dv
    du += dv
    return where, _soft(du, edge)


def _soft(squared: Pixels, edge: float) -> Pixels:
    """Turn squared distances (1 = the outline) into a mask, in place."""
    squared *= np.float32(-0.5 / edge)
    squared += np.float32(0.5 / edge + 0.5)
    return np.clip(squared, 0, 1, out=squared)


def mix(canvas: Pixels, where: Where, mask: Pixels, colour: Colour, opacity: float = 1.0) -> None:
    """Lay `colour` over the box `where` of a canvas of shape (3, height, width)."""
    if opacity != 1.0:
        mask = mask * np.float32(opacity)
    for plane, value in zip(canvas, colour, strict=True):
        area = plane[where]
        area += (value - area) * mask


def shade(canvas: Pixels, where: Where, mask: Pixels, gain: float) -> None:
    """Darken (gain < 1) or lighten the box `where` of a canvas."""
    canvas[:, *where] *= mask * np.float32(gain - 1) + np.float32(1)


def paint_person(canvas: Pixels, identity: Identity, pose: Pose, light: Light) -> None:
    """Paint a person's body, face and hair over a canvas of shape (3, height, width), 0 to 255."""
    height, width = canvas.shape[1:]
    _paint_body(canvas, make_grid(height, width, pose, upright=True), identity, light)
    grid = make_grid(height, width, pose)
    mix(canvas, *ellipse(grid, 0, -0.14, identity.width * 1.2, 1.06, 0.06), identity.hair * light.tint * light.ambient)
    paint_face(canvas, grid, identity, pose, light)
    _paint_hair(canvas, grid, identity, pose, light)


def _paint_body(canvas: Pixels, grid: Grid, identity: Identity, light: Light) -> None:
    tint = light.tint
    if identity.hair_length > 1.2:
        reach = identity.hair_length
        mix(canvas, *ellipse(grid, 0, reach - 1, identity.width * 1.22, reach, 0.08), identity.hair * tint * 0.7)
    where, mask = ellipse(grid, 0, 2.15, 1.55, 1.05, 0.06)
    mix(canvas, where, mask, identity.shirt * tint)
    shade(canvas, *ellipse(grid, -np.sign(light.x) * 0.9, 2.2, 0.8, 1.0, 0.9), 0.8)
    mix(canvas, *ellipse(grid, 0, 1.0, 0.4, 0.6, 0.12), identity.skin * tint * 0.78)
    shade(canvas, *ellipse(grid, 0, 0.95, 0.42, 0.3, 0.9), 0.75)


def paint_face(canvas: Pixels, grid: Grid, identity: Identity, pose: Pose, light: Light) -> None:
    """Paint skin and features, without hair, of `identity` in `pose` (made into `grid`) over a canvas."""
    _paint_skin(canvas, grid, identity, pose, light)
    _paint_eyes(canvas, grid, identity, pose)
    _paint_nose(canvas, grid, identity, pose)
    _paint_mouth(canvas, grid, identity, pose)
    if identity.glasses:
        _paint_glasses(canvas, grid, identity, pose)


def _paint_skin(canvas: Pixels, grid: Grid, identity: Identity, pose: Pose, light: Light) -> None:
    """Paint the lit, textured surface of the head, with the beard."""
    tint = light.tint
    for side in (-1, 1):
        ear = ellipse(grid, side * identity.width - 0.3 * pose.yaw, -0.02, 0.1, 0.2, 0.3)
        mix(canvas, *ear, identity.skin * tint * 0.72)
    where, _ = ellipse(grid, 0, 0, identity.width, 1, 0.08)
    u, v = grid.u[where], grid.v[where]
    below = np.maximum(v, np.float32(0))
    across = u / (np.float32(identity.width) * (1 - np.float32(identity.jaw) * below * below))
    squared = across * across + v * v
    facing = np.sqrt(np.maximum(1 - squared, np.float32(0)))
    length = math.sqrt(light.x**2 + light.y**2 + 1)
    lit = across * np.float32(light.x / length) + v * np.float32(light.y / length) + facing * np.float32(1 / length)
    brightness = np.float32(light.ambient) + np.float32(1.05 - light.ambient) * np.clip(lit, 0, 1)
    brightness *= 1 + np.float32(identity.freckles) * _grain(identity, u - np.float32(pose.yaw * DEPTH), v)
    beard = 0
    if identity.beard:
        edge = v + np.float32(pose.pitch * DEPTH - 0.42) + np.float32(0.5) * across * across
        beard = np.clip(edge * np.float32(5), 0, 1) * np.float32(identity.beard)
    mask = _soft(squared, 0.05)
    for plane, skin, hair in zip(canvas, identity.skin * tint, identity.hair * tint, strict=True):
        area = plane[where]
        area += ((skin + (hair - skin) * beard) * brightness - area) * mask
    for side in (-1, 1):
        x, y, narrow = on_face(identity, pose, side * 0.42 * identity.width / 0.75, 0.2)
        mix(canvas, *ellipse(grid, x, y, 0.17 * narrow, 0.14, 0.95), identity.lips * tint, 0.16)


def _grain(identity: Identity, u: Pixels, v: Pixels) -> Pixels:
    """Look the identity's texture up at head coordinates."""
    column = (u * np.float32(45) + np.float32(1024)).astype(np.int32) & (TEXTURE_SIDE - 1)
    row = (v * np.float32(45) + np.float32(1024)).astype(np.int32) & (TEXTURE_SIDE - 1)
    return identity.texture.ravel()[row * TEXTURE_SIDE + column]


def _paint_eyes(canvas: Pixels, grid: Grid, identity: Identity, pose: Pose) -> None:
    opening = identity.eye_size * (0.06 + 0.46 * pose.eyes)
    for side in (-1, 1):
        u, v, narrow = on_face(identity, pose, side * identity.eye_distance, identity.eye_height)
        size = identity.eye_size * narrow
        shade(canvas, *ellipse(grid, u, v - 0.02, size * 1.5, 0.17, 0.9), 0.62)
        mix(canvas, *ellipse(grid, u, v, size * 1.08, opening * 1.25, 0.3), SHADOW, 0.75)
        if pose.eyes > 0.25:
            gaze = u + 0.25 * pose.yaw * size
            mix(canvas, *ellipse(grid, u, v, size, opening, 0.25), SCLERA)
            iris = identity.eye_size * 0.46
            mix(canvas, *ellipse(grid, gaze, v, iris * narrow, min(iris, opening), 0.25), identity.iris)
            mix(canvas, *ellipse(grid, gaze, v, iris * 0.5 * narrow, min(iris * 0.5, opening), 0.4), SHADOW)
            mix(canvas, *ellipse(grid, gaze - 0.025, v - 0.3 * opening, 0.018, 0.018, 0.9), SCLERA, 0.8)
        lid = v - opening * 0.95
        mix(canvas, *ellipse(grid, u, lid, size * 1.05, 0.022, 0.9), SHADOW, 0.85)
        u, v, narrow = on_face(
            identity, pose, side * identity.eye_distance * 1.04, identity.eye_height - 0.2 - 0.05 * pose.brows
        )
        brow = ellipse(grid, u, v, 0.21 * narrow, identity.brow_weight, 0.5, tilt=side * identity.brow_tilt)
        mix(canvas, *brow, identity.hair * 0.75, 0.9)


def _paint_nose(canvas: Pixels, grid: Grid, identity: Identity, pose: Pose) -> None:
    tip = identity.eye_height + identity.nose_length
    middle, v, _ = on_face(identity, pose, 0, tip)
    middle += 0.22 * math.sin(pose.yaw)  # the tip stands out of the face
    v -= 0.15 * math.sin(pose.pitch)
    width = identity.nose_width
    bridge, bridge_v, _ = on_face(identity, pose, 0, identity.eye_height + 0.45 * identity.nose_length)
    shade(canvas, *ellipse(grid, bridge - 0.02, bridge_v, 0.06, identity.nose_length * 0.75, 0.9), 1.16)
    shade(canvas, *ellipse(grid, bridge + 0.1, bridge_v + 0.04, 0.06, identity.nose_length * 0.7, 0.9), 0.72)
    shade(canvas, *ellipse(grid, middle, v + 0.04, width * 1.05, 0.09, 0.8), 0.74)
    shade(canvas, *ellipse(grid, middle, v - 0.03, width * 0.5, 0.07, 0.9), 1.2)
    for side in (-1, 1):
        mix(canvas, *ellipse(grid, middle + side * width * 0.55, v + 0.055, 0.042, 0.026, 0.5), SHADOW, 0.8)


def _paint_mouth(canvas: Pixels, grid: Grid, identity: Identity, pose: Pose) -> None:
    u, v, narrow = on_face(identity, pose, 0, identity.mouth_height)
    width = identity.mouth_width * narrow * (1 + 0.14 * pose.smile - 0.12 * pose.mouth)
    gap = 0.012 + 0.11 * pose.mouth
    shade(canvas, *ellipse(grid, u, v + gap + 0.13, width * 0.6, 0.05, 0.9), 0.8)
    mix(canvas, *ellipse(grid, u, v, width, identity.lip_weight + gap, 0.3), identity.lips, 0.95)
    mix(canvas, *ellipse(grid, u, v, width * 0.86, gap, 0.35), SHADOW, 0.92)
    if pose.mouth > 0.35:
        mix(canvas, *ellipse(grid, u, v - gap * 0.5, width * 0.6, gap * 0.38, 0.5), TEETH, 0.85)
    for side in (-1, 1):
        corner = ellipse(grid, u + side * width, v - 0.03 * pose.smile, 0.035, 0.03, 0.9)
        shade(canvas, *corner, 0.6)
        fold = ellipse(grid, u + side * (width + 0.05), v - 0.14, 0.05, 0.15, 0.95)
        shade(canvas, *fold, 0.92 - 0.06 * pose.smile)


def _paint_glasses(canvas: Pixels, grid: Grid, identity: Identity, pose: Pose) -> None:
    for side in (-1, 1):
        u, v, narrow = on_face(identity, pose, side * identity.eye_distance, identity.eye_height + 0.02)
        where, lens = ellipse(grid, u, v, 0.235 * narrow, 0.18, 0.3)
        frame = np.minimum(lens, 1 - lens) * np.float32(2)
        mix(canvas, where, frame, SHADOW, 0.9)
    u, v, _ = on_face(identity, pose, 0, identity.eye_height)
    mix(canvas, *ellipse(grid, u, v, identity.eye_distance - 0.22, 0.022, 0.6), SHADOW, 0.9)


def _paint_hair(canvas: Pixels, grid: Grid, identity: Identity, pose: Pose, light: Light) -> None:
    """Paint the hair that falls over the forehead: the top of the head above a curved hairline."""
    where, mask = ellipse(grid, 0, -0.1, identity.width * 1.1, 1.04, 0.06)
    u = grid.u[where] - np.float32(0.7 * pose.yaw)
    v = grid.v[where]
    line = np.float32(identity.hairline - 0.6 * pose.pitch) + np.float32(1.35) * u * u
    mask *= np.clip((line - v) * np.float32(14) + np.float32(0.5), 0, 1)
    strands = (1 + np.float32(0.22) * _grain(identity, u * 2, v * np.float32(0.4))) * np.float32(light.ambient + 0.25)
    for plane, hair in zip(canvas, identity.hair * light.tint, strict=True):
        area = plane[where]
        area += (hair * strands - area) * mask
