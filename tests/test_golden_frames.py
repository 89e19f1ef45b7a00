"""Colour, shape of pixels and rotation of decoded frames, against values computed without FFmpeg."""

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from exact_decoding import decode
from pipeline import decoding, video

# Weights of red and blue in luma: ITU-R BT.601-7 and BT.709-6, section 2.5.1 and 3.2; BT.2020-2, table 4.
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
PATCHES = [(200, 60, 50), (60, 190, 70), (50, 80, 210), (128, 128, 128), (235, 220, 40), (16, 16, 16), (245, 245, 245)]
# Codes of ITU-T H.273 for x264: matrix and what it stands for here.
TAGS = {"bt709": "bt709", "smpte170m": "bt601", "bt470bg": "bt601", "bt2020nc": "bt2020", None: "bt601"}


def to_yuv(rgb: np.ndarray, matrix: str, full: bool, bits: int) -> list[np.ndarray]:
    """Return luma and the two colour differences of `rgb`, uint8 (..., 3), by the formulas of the standards."""
    red, blue = WEIGHTS[matrix]
    r, g, b = np.moveaxis(rgb / 255.0, -1, 0)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    scale = 2 ** (bits - 8)
    gains = (255.0, 255.0, 0) if full else (219.0, 224.0, 16)
    planes = [gains[0] * y + gains[2], gains[1] * u + 128, gains[1] * v + 128]
    return [np.clip(np.round(plane * scale), 0, 256 * scale - 1).astype(np.uint16) for plane in planes]


def patches(width: int, height: int) -> np.ndarray:
    """Return a picture of vertical stripes in the colours of PATCHES, uint8 (height, width, 3)."""
    return np.array(PATCHES, np.uint8)[np.arange(width) * len(PATCHES) // width][None].repeat(height, 0)


def yuv_frame(planes: list[np.ndarray], pix_fmt: str) -> av.VideoFrame:
    """Return a frame of given samples; the colour planes are thinned as the pixel format asks."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, samples in zip(frame.planes, planes, strict=False):
        across, down = round(width / plane.width), round(height / plane.height)
        wide = 2 if "10" in pix_fmt else 1
        rows = np.zeros((plane.height, plane.line_size // wide), np.uint16 if wide == 2 else np.uint8)
        thinned = samples[::down, ::across][: plane.height, : plane.width]
        rows[:, : plane.width] = thinned
        plane.update(rows.tobytes())
    return frame


def write(path: Path, frame: av.VideoFrame, *, tag: str | None, full: bool, rotate: int = 0, extra: str = "") -> Path:
    """Encode four times the same frame with x264, nearly without loss, in a way that gives the same file everywhere."""
    params = "cpu-independent=1:mbtree=0" + (f":colormatrix={tag}" if tag else "") + extra
    params += ":fullrange=on" if full else ""
    options = {"threads": "1", "crf": "1", "x264-params": params}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        if rotate:
            stream.set_display_rotation(rotate)
        for number in range(4):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def first_picture(path: Path) -> np.ndarray:
    pts = video.scan(path)["pts"]
    picture = decode(path, pts[:1])[pts[0]]
    assert picture is not None
    return picture


def assert_stripes(picture: np.ndarray, tolerance: int = 3) -> None:
    """Compare the middle of each stripe: at its edges, thinned colour is mixed."""
    width = picture.shape[1]
    middles = [(2 * number + 1) * width // (2 * len(PATCHES)) for number in range(len(PATCHES))]
    difference = np.abs(picture[picture.shape[0] // 2, middles].astype(int) - np.array(PATCHES))
    assert difference.max() <= tolerance, difference


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("tag", TAGS)
def test_colours_are_those_that_were_meant(tmp_path: Path, tag: str | None, full: bool, pix_fmt: str) -> None:
    planes = to_yuv(patches(112, 32), TAGS[tag], full, 10 if "10" in pix_fmt else 8)
    path = write(tmp_path / "a.mp4", yuv_frame(planes, pix_fmt), tag=tag, full=full)
    facts = video.scan(path)
    assert facts["color_space"] == (tag or "unspecified")
    if full or tag:
        assert facts["color_range"] == ("pc" if full else "tv")
    assert_stripes(first_picture(path))


def test_the_matrix_matters() -> None:
    """Read by the other matrix the colours would be off by more than the tests here allow."""
    frame = yuv_frame(to_yuv(patches(112, 32), "bt709", False, 8), "yuv420p")
    assert frame.colorspace == 2  # no tag
    with pytest.raises(AssertionError):
        assert_stripes(decoding.upright(frame, None))
    frame.colorspace = Colorspace.ITU709
    assert_stripes(decoding.upright(frame, None))
    frame.color_range = ColorRange.JPEG
    with pytest.raises(AssertionError):
        assert_stripes(decoding.upright(frame, None))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (2, 3), (5, 7), (17, 33), (113, 31)])
@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuvj420p", "yuv444p", "gray", "yuv420p10le", "rgb24", "gbrp", "yuva420p"]
)
def test_odd_sizes_and_pixel_formats(size: tuple[int, int], pix_fmt: str) -> None:
    width, height = size
    grey = np.full((height, width, 3), 180, np.uint8)
    # One thread: with more, libswscale leaves a row of odd pictures as it was now and then.
    frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=pix_fmt, threads=1)
    picture = decoding.upright(frame, None)
    assert picture.shape == (height, width, 3) and picture.dtype == np.uint8 and picture.flags.c_contiguous
    assert np.abs(picture.astype(int) - 180).max() <= 2


def test_odd_widths_have_the_same_colours() -> None:
    """FFmpeg converts odd widths another way."""
    for width in (111, 112, 113):
        assert_stripes(decoding.upright(yuv_frame(to_yuv(patches(width, 31), "bt601", False, 8), "yuv420p"), None))


def test_transparency_is_left_out() -> None:
    pixels = np.dstack([patches(70, 8), np.zeros((8, 70), np.uint8)])
    picture = decoding.upright(av.VideoFrame.from_ndarray(pixels, format="rgba"), None)
    assert np.array_equal(picture, patches(70, 8))


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (-90, -1), (180, 2)])
def test_frames_are_turned_as_the_display_matrix_asks(tmp_path: Path, rotation: int, turns: int) -> None:
    frame = yuv_frame(to_yuv(patches(112, 32), "bt601", False, 8), "yuv420p")
    path = write(tmp_path / "a.mp4", frame, tag=None, full=False, rotate=rotation)
    assert video.scan(path)["rotation"] == -rotation % 360
    picture = first_picture(path)
    assert_stripes(np.rot90(picture, -turns))
    assert picture.flags.c_contiguous


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (None, (40, 30)),
        (Fraction(1), (40, 30)),
        (Fraction(427, 426), (40, 30)),  # as good as square
        (Fraction(3, 2), (60, 30)),
        (Fraction(2, 3), (40, 45)),
        (Fraction(4), (160, 30)),
        (Fraction(1, 4), (40, 120)),
        (Fraction(5), (40, 30)),  # nonsense
        (Fraction(1, 1000), (40, 30)),
        (Fraction(-3, 2), (40, 30)),
    ],
)
def test_pixels_become_square(aspect: Fraction | None, size: tuple[int, int]) -> None:
    pixels = patches(40, 30)
    picture = decoding.upright(av.VideoFrame.from_ndarray(pixels, format="rgb24"), aspect)
    expected = pixels if size == (40, 30) else cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(picture, expected)


def test_pixels_become_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    frame = yuv_frame(to_yuv(patches(112, 60), "bt601", False, 8), "yuv420p")
    path = write(tmp_path / "a.mp4", frame, tag=None, full=False, rotate=90, extra=":sar=2/3")
    assert video.scan(path)["sample_aspect"] == "2:3"
    picture = first_picture(path)
    assert picture.shape == (112, 90, 3)
    assert_stripes(np.rot90(picture, -1))


def test_real_pixels_that_are_not_square(clips: Path) -> None:
    path = clips / "traps/sample_aspect_2by3.mp4"
    facts = video.scan(path)
    assert first_picture(path).shape == (round(facts["height"] * 1.5), facts["width"], 3)


# SHA-256 of the first picture, with the locked packages on x86-64; a change here changes every crop.
GOLDEN = {
    "bt709": "173582b22d1b12a826b6e0a07cfda003eff61dace6c0592373b05b944aee4f29",
    "bt601": "805c3ada0e8aa8891624c3e912e97919b1eea99a6286c8a0a5aa5c212b352782",
    "10 bit": "247fd6ebcbf050077cd42f48ac957162a9bd584407f77b52ebd40010319efb50",
}


def golden(folder: Path) -> dict[str, np.ndarray]:
    pictures = {}
    for name, tag, pix_fmt in (
        ("bt709", "bt709", "yuv420p"),
        ("bt601", None, "yuv420p"),
        ("10 bit", None, "yuv420p10le"),
    ):
        planes = to_yuv(patches(112, 32), TAGS[tag], False, 10 if "10" in pix_fmt else 8)
        pictures[name] = first_picture(write(folder / f"{name}.mp4", yuv_frame(planes, pix_fmt), tag=tag, full=False))
    return pictures


def test_pictures_are_the_same_to_the_byte(tmp_path: Path) -> None:
    found = {name: hashlib.sha256(picture.tobytes()).hexdigest() for name, picture in golden(tmp_path).items()}
    assert found == GOLDEN


TRAPS = {
    "traps/bt709_full_range.mp4": "d53e7f7bae5f8f9e548e782d748a54b005979864a3d91850c6c25b86592aa8da",
    "traps/h264_10bits.mp4": "1987074d6acaf4dd2155bbd89529d6d6ef08b5ef9f6cf82c0188115e3d0ce764",
    "traps/rotated_90.mov": "451ea454997855ac0b949dbfa7e9637b4b4464a552c9742fdebac2e07c9eb07e",
    "traps/sample_aspect_2by3.mp4": "35653ffbf2aa8b10d8ba4abc20029679f841800af89695e6ecf678cd25113663",
    "traps/one_pixel.mp4": "05d6cb0338b455d0265d55e4ed3bb7931a406e57aab1e3080da6a808ca2fd899",
    "traps/av1.mkv": "9e8cb996f6070b68f30e54af2e109d87bd3976875d976fc95f9e307a19f9c966",
    "faces/head_pose_male.gif": "e29d9b110627c94f4672ba50cbe525dc719547ca25c1b472e8e3fa07d5c10ad1",
    "faces/asl_no.mkv": "ce34ac1853832d519d9f6a16a0c15ccfd719908d187eef7ff496fafe2acf6b1a",
    "faces/webcam_talking.webm": "db70d6913f66dede89b06af286591acb84c0b7011ad01096bb6b5f790cc0a0df",
    "faces/office_720p.264": "fddc4c9d10384591c7cc3773e086e2d24c1f0f9c4c80f0c77610e0304bb6c246",
}


def test_real_clips_are_the_same_to_the_byte(clips: Path) -> None:
    found = {name: hashlib.sha256(first_picture(clips / name).tobytes()).hexdigest() for name in TRAPS}
    assert found == TRAPS
