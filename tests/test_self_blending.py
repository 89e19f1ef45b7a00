"""Self-blended images: a border about the face, and nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models import self_blending
from pipeline.models.self_blending import mask_of_a_face, self_blended

seeds = st.integers(0, 2**32)
sides = st.integers(32, 160)


def grain(side=96):
    return np.random.default_rng(0).integers(60, 200, (side, side, 3)).astype(np.uint8)


def chance(seed):
    return np.random.default_rng(seed)


@given(side=st.integers(8, 160), seed=seeds)
def test_a_fake_is_a_picture_that_its_chance_decides(side, seed):
    picture = grain(side)
    before = picture.copy()
    fake = self_blended(picture, chance(seed))
    assert fake.dtype == np.uint8 and fake.shape == picture.shape
    assert np.array_equal(picture, before)
    assert np.array_equal(fake, self_blended(picture, chance(seed)))
    assert not np.array_equal(fake, self_blended(picture, chance(seed + 1)))


@given(side=sides, seed=seeds)
def test_as_much_chance_is_used_whatever_the_picture(side, seed):
    one, other = chance(seed), chance(seed)
    self_blended(grain(side), one)
    self_blended(255 - grain(side), other)
    assert one.bit_generator.state == other.bit_generator.state


@given(side=sides, seed=seeds)
def test_the_mask_is_soft_and_covers_a_face_in_the_middle(side, seed):
    mask = mask_of_a_face(side, chance(seed))
    assert mask.dtype == np.float32 and mask.shape == (side, side)
    assert mask.min() >= 0 and mask.max() <= 1 + 1e-6
    assert mask[side // 2, side // 2] > 0.9
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.5
    assert 0.05 < mask.mean() < 0.45
    assert ((mask > 0.1) & (mask < 0.9)).any()  # an edge, not a step


def test_masks_differ_in_size_shape_and_softness():
    masks = np.stack([mask_of_a_face(64, chance(seed)) for seed in range(100)])
    areas, soft = masks.mean((1, 2)), ((masks > 0.1) & (masks < 0.9)).mean((1, 2))
    assert areas.max() > 1.5 * areas.min()
    assert soft.max() > 2 * soft.min()
    heights, widths = ((masks > 0.5).any(axis).sum(1) for axis in (2, 1))
    assert (heights / widths).mean() == pytest.approx(1 / 0.75, abs=0.1)  # faces are higher than wide


def test_one_side_of_the_border_is_the_picture_itself():
    """Either what is about the face stays as it was, to the bit, or the face does but for being moved."""
    picture, outside, inside = cv2.GaussianBlur(grain(), (0, 0), 3), 0, 0
    for seed in range(100):
        fake = self_blended(picture, chance(seed)).astype(int)
        corners = np.abs(fake - picture)[[0, 0, -1, -1], [0, -1, 0, -1]]
        outside += corners.max() == 0
        inside += corners.max() > 0
    assert 30 < outside < 70 and inside == 100 - outside


def test_the_ratio_says_how_much_of_the_source_is_seen(monkeypatch):
    picture = grain()
    changes = []
    for ratio in (0.0, 0.25, 1.0):
        monkeypatch.setattr(self_blending, "RATIOS", (ratio,) * 6)
        fakes = np.stack([self_blended(picture, chance(seed)) for seed in range(30)]).astype(float)
        monkeypatch.setattr(self_blending, "RATIOS", (0.0,) * 6)
        targets = np.stack([self_blended(picture, chance(seed)) for seed in range(30)])
        changes.append(np.abs(fakes - targets).mean())
    assert changes[0] == 0
    assert changes[2] == pytest.approx(4 * changes[1], rel=0.05)


def test_fakes_of_real_faces_are_hardly_to_be_seen(clips: Path):
    """A fake resembles its picture: mean difference of a few levels, nothing glaring."""
    capture = cv2.VideoCapture(str(clips / "faces" / "webcam_talking.mp4"))
    frame = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
    side = min(frame.shape[:2])
    left = (frame.shape[1] - side) // 2
    picture = cv2.resize(frame[:side, left : left + side], (128, 128), interpolation=cv2.INTER_AREA)
    changes = [np.abs(self_blended(picture, chance(seed)).astype(int) - picture).mean() for seed in range(50)]
    assert min(changes) > 0.3 and max(changes) < 20
    assert 1 < np.mean(changes) < 8
