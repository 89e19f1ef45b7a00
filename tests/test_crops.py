import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import crops
from pipeline.crops import TEMPLATE

Box = tuple[int, int, int, int]

sides = st.integers(20, 300)
boxes = st.tuples(st.integers(-100, 400), st.integers(-100, 400), sides, sides)
margins = st.floats(0, 1)
EYES_NOSE_MOUTH = list(range(10))  # any landmarks: `margin` only asks whether there are some


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def by_margin(loose: np.ndarray, at: tuple[int, int], box: Box, margin: float, size: int) -> np.ndarray:
    return crops.final_picture(loose, at, box, EYES_NOSE_MOUTH, alignment="margin", margin=margin, size=size)


def by_similarity(loose: np.ndarray, landmarks: np.ndarray, margin: float, size: int) -> np.ndarray:
    points = [int(value) for value in np.ravel(landmarks)]
    return crops.final_picture(loose, (0, 0), (0, 0, 1, 1), points, alignment="similarity", margin=margin, size=size)


# --- squares ---------------------------------------------------------------------------------------------------------


@given(box=boxes, margin=margins)
def test_the_square_holds_the_box_in_its_middle(box: Box, margin: float) -> None:
    x, y, width, height = box
    left, top, side = crops.square_around(box, margin)
    assert side == round(max(width, height) * (1 + 2 * margin))
    assert left <= x and top <= y and left + side >= x + width and top + side >= y + height
    assert abs((left + side / 2) - (x + width / 2)) <= 1
    assert abs((top + side / 2) - (y + height / 2)) <= 1


@given(box=boxes, small=margins, large=margins)
def test_a_smaller_margin_lies_within_a_larger_one(box: Box, small: float, large: float) -> None:
    """So shard.margin up to extract.margin can be cut out of the loose crop."""
    small, large = sorted((small, large))
    x, y, side = crops.square_around(box, small)
    outer_x, outer_y, outer_side = crops.square_around(box, large)
    assert outer_x <= x and outer_y <= y and x + side <= outer_x + outer_side and y + side <= outer_y + outer_side


@given(box=boxes, margin=margins, width=st.integers(20, 300), height=st.integers(20, 300))
def test_the_part_within_the_frame(box: Box, margin: float, width: int, height: int) -> None:
    square = crops.square_around(box, margin)
    x, y, part_width, part_height = crops.clip_to_frame(square, width, height)
    inside = np.zeros((height, width), bool)
    rows, columns = np.ogrid[:height, :width]
    inside[
        (rows >= square[1])
        & (rows < square[1] + square[2])
        & (columns >= square[0])
        & (columns < square[0] + square[2])
    ] = True
    if not inside.any():
        assert part_width <= 0 or part_height <= 0
        return
    assert x >= 0 and y >= 0 and x + part_width <= width and y + part_height <= height
    assert inside[y : y + part_height, x : x + part_width].all() and inside.sum() == part_width * part_height


# --- pictures --------------------------------------------------------------------------------------------------------


def test_sharpness_falls_with_blur() -> None:
    sharp = noise(64, 64)
    blurred = sharp.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1).astype(np.uint8)
    assert crops.sharpness(sharp) > crops.sharpness(blurred) > crops.sharpness(np.full_like(sharp, 7)) == 0


def test_png_is_without_loss_and_jpeg_as_good_as_asked() -> None:
    y, x = np.mgrid[:80, :120]
    picture = np.stack([x * 2, y * 3, (x + y) % 256], axis=-1).astype(np.uint8)

    def decoded(content: bytes) -> np.ndarray:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)

    png, fine, coarse = (crops.encode(picture, quality) for quality in (None, 95, 50))
    assert (png[:4], fine[:2], coarse[:2]) == (b"\x89PNG", b"\xff\xd8", b"\xff\xd8")
    assert np.array_equal(decoded(png), picture)
    assert 0 < np.abs(decoded(fine) - picture).mean() < np.abs(decoded(coarse) - picture).mean() < 8
    plain = cv2.imencode(".jpg", picture[..., ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert len(fine) < len(plain) and np.array_equal(decoded(fine), decoded(plain))


# --- alignment none and margin ---------------------------------------------------------------------------------------


@given(
    box=st.tuples(st.integers(-20, 90), st.integers(-20, 70), st.integers(21, 80), st.integers(21, 80)),
    margin=st.floats(0, 0.5),
    size=st.sampled_from([16, 32, 57]),
)
def test_the_final_picture_is_the_same_from_frame_and_loose_crop(box: Box, margin: float, size: int) -> None:
    frame = noise(80, 100)
    x, y, width, height = crops.clip_to_frame(crops.square_around(box, 0.5), 100, 80)
    from_loose = by_margin(frame[y : y + height, x : x + width], (x, y), box, margin, size)
    assert from_loose.shape == (size, size, 3) and from_loose.dtype == np.uint8
    assert np.array_equal(from_loose, by_margin(frame, (0, 0), box, margin, size))


def test_the_final_picture_repeats_the_edge_beyond_the_frame() -> None:
    frame = np.zeros((40, 40, 3), np.uint8)
    frame[:, 0] = 255
    picture = by_margin(frame, (0, 0), (-20, 0, 40, 40), 0, 40)
    assert (picture[:, :21] == 255).all() and (picture[:, 21:] == 0).all()


def test_the_final_picture_of_equal_size_is_a_plain_cut() -> None:
    frame = noise(60, 60)
    assert np.array_equal(by_margin(frame, (0, 0), (10, 20, 32, 32), 0, 32), frame[20:52, 10:42])


@pytest.mark.parametrize(("alignment", "landmarks"), [("none", EYES_NOSE_MOUTH), ("margin", []), ("similarity", [])])
def test_all_of_the_crop_is_squeezed(alignment: crops.Alignment, landmarks: list[int]) -> None:
    frame = noise(60, 120)
    box = (10, 10, 20, 20) if landmarks else None
    picture = crops.final_picture(frame, (0, 0), box, landmarks, alignment=alignment, margin=0.1, size=30)
    areas = frame.reshape(30, 2, 30, 4, 3).mean(axis=(1, 3))
    assert np.abs(picture - areas).max() <= 0.5 + 1e-6


def test_what_is_squeezed_along_one_side_alone_does_not_alias() -> None:
    """The crop is narrower than the picture and higher: areas are averaged downwards, and across it grows smoothly."""
    stripes = np.zeros((200, 20, 3), np.uint8)
    stripes[::2] = 255
    picture = crops.final_picture(stripes, (0, 0), (0, 0, 20, 200), [], alignment="none", margin=0, size=40)
    assert np.abs(picture.astype(int) - 128).max() <= 26  # 5 rows each: 2 or 3 of them white


# --- alignment similarity --------------------------------------------------------------------------------------------


def placed(scale: float, degrees: float, middle: tuple[float, float]) -> np.ndarray:
    """Return the landmarks of a face like TEMPLATE, `scale` times as large, turned, with its nose at `middle`."""
    points = np.array(TEMPLATE) - TEMPLATE[2]
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.rint(points @ turn.T * scale + middle).astype(int)


@given(
    scale=st.floats(0.6, 4),
    degrees=st.floats(-40, 40),
    shift=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    margin=st.sampled_from([0, 0.13, 0.5]),
    size=st.sampled_from([112, 128, 224]),
)
def test_landmarks_come_to_lie_on_the_template(
    scale: float, degrees: float, shift: tuple[int, int], margin: float, size: int
) -> None:
    side = round(300 * scale)
    landmarks = placed(scale, degrees, (side / 2 + shift[0], side / 2 + shift[1]))
    radius = max(2.0, 3 * scale)
    y, x = np.mgrid[:side, :side]
    distances = ((x[..., None] - landmarks[:, 0]) ** 2 + (y[..., None] - landmarks[:, 1]) ** 2).min(axis=-1)
    dots = (255 * np.exp(-distances / (2 * radius**2))).astype(np.uint8)
    picture = by_similarity(np.repeat(dots[..., None], 3, axis=-1), landmarks, margin, size)[..., 0].astype(float)
    assert picture.shape == (size, size)
    one = size / (1 + 2 * margin)  # side of the template in the picture, pixels
    for point in ((np.array(TEMPLATE) + 0.5) / 112 + margin) * one - 0.5:
        y, x = np.mgrid[:size, :size]
        near = picture * (np.hypot(x - point[0], y - point[1]) < 0.09 * one)
        centre = np.array([(near * x).sum(), (near * y).sum()]) / near.sum()
        # Landmarks are whole pixels of the frame: half of one is what they may be off.
        assert np.abs(centre - point).max() < 0.4 + 0.8 * one / 112 / scale


def test_it_is_the_least_squares_similarity() -> None:
    """As InsightFace cuts a face, for landmarks that no similarity brings onto the template exactly."""
    frame = cv2.GaussianBlur(noise(120, 130), (0, 0), 2)
    landmarks = placed(0.8, 17, (66, 60)) + np.array([[2, -3], [-1, 2], [3, 0], [0, -2], [-3, 1]])
    # u = a x - b y + c, v = b x + a y + d
    rows = [[(x, -y, 1, 0), (y, x, 0, 1)] for x, y in landmarks]
    (a, b, c, d), *_ = np.linalg.lstsq(np.reshape(rows, (10, 4)), np.ravel(TEMPLATE), rcond=None)
    expected = cv2.warpAffine(
        frame,
        np.array([[a, -b, c], [b, a, d]]),
        (112, 112),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    assert np.hypot(a, b) > 1  # enlarged: one warp is all there is to it
    assert np.abs(by_similarity(frame, landmarks, 0, 112).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("scale", [1.3, 2.2, 4.7])
@pytest.mark.parametrize("degrees", [0, 20])
def test_a_fine_grating_does_not_alias(scale: float, degrees: float) -> None:
    side = round(260 * scale)
    grating = 127 + 120 * np.cos(np.pi * 0.95 * np.arange(side))
    frame = np.broadcast_to(grating[None, :, None], (side, side, 3)).astype(np.uint8)
    landmarks = placed(scale, degrees, (side / 2, side / 2))
    plain = frame[:: round(scale + 0.5), :: round(scale + 0.5)]
    picture = by_similarity(frame, landmarks, 0, 112)
    assert picture.std() < 0.5 * plain.std() and picture.std() < 60 / scale


def test_edge_pixels_repeat_where_the_crop_ends() -> None:
    frame = np.full((60, 60, 3), 90, np.uint8)
    frame[:, 0], frame[:, -1], frame[0], frame[-1] = 200, 200, 200, 200
    picture = by_similarity(frame, placed(0.5, 0, (30, 30)), 1.0, 112)
    assert (picture[[0, -1]] == 200).all() and (picture[:, [0, -1]] == 200).all()
    assert (picture[46:66, 46:66] == 90).all()


def test_it_is_the_same_from_frame_and_loose_crop() -> None:
    frame = cv2.GaussianBlur(noise(300, 400), (0, 0), 1)
    landmarks = placed(0.9, -9, (210, 150))
    x, y = 90, 40
    knobs = {"alignment": "similarity", "margin": 0.1, "size": 96}
    from_frame = crops.final_picture(frame, (0, 0), (0, 0, 1, 1), landmarks.ravel().tolist(), **knobs)
    loose = frame[y : y + 220, x : x + 240]
    from_loose = crops.final_picture(loose, (x, y), (0, 0, 1, 1), landmarks.ravel().tolist(), **knobs)
    assert np.abs(from_frame.astype(int) - from_loose).max() <= 1


def test_landmarks_on_one_point_are_refused() -> None:
    with pytest.raises(ValueError, match="all landmarks lie on one point, 7, 8"):
        by_similarity(noise(50, 50), np.array([[7, 8]] * 5), 0, 112)


def test_nonsense_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hardly any similarity fits, the crop would shrink to a dot; what is averaged must stay bounded."""
    sides, warp_affine = [], cv2.warpAffine

    def warp(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], **how: int) -> np.ndarray:
        sides.append(size[0])
        return warp_affine(picture, matrix, size, **how)

    monkeypatch.setattr(cv2, "warpAffine", warp)
    spread = np.array(TEMPLATE) - np.mean(TEMPLATE, axis=0)
    flat = spread * [-1, 1] * [(spread[:, 1] ** 2).sum() / (spread[:, 0] ** 2).sum(), 1] + 56
    assert by_similarity(noise(112, 112), np.rint(flat), 0, 64).shape == (64, 64, 3)
    assert 112 < sides[0] <= 2 * 112 + 64
