"""Every knob of train.augment: what it does to pictures, and what it leaves alone."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torchvision.transforms.v2 import functional

from pipeline.models import augmentation, colours
from pipeline.models.augmentation import Augmentation, augment

torch.set_num_threads(1)

NOTHING = Augmentation(**{knob: None if knob == "jpeg" else 0 for knob in Augmentation.model_fields})
STRONG = {"flip": 1, "rotation": 30, "brightness": 0.5, "contrast": 0.5, "saturation": 0.9, "hue": 0.3, "noise": 0.2}
STRONG |= {"salt_and_pepper": 0.2, "jpeg": 20, "blur": 3, "erase": 1, "self_blend": 1}

shares = st.floats(0, 1)
augmentations = st.builds(
    Augmentation,
    flip=shares,
    rotation=st.floats(0, 180),
    brightness=shares,
    contrast=shares,
    saturation=shares,
    hue=st.floats(0, 0.5),
    noise=shares,
    salt_and_pepper=shares,
    jpeg=st.none() | st.integers(1, 100),
    blur=st.floats(0, 10),
    erase=shares,
    self_blend=shares,
)
seeds = st.integers(0, 2**63 - 1)
classes = st.lists(st.integers(0, 1), min_size=1, max_size=5)


def only(**knobs):
    return NOTHING.model_copy(update=knobs)


def chance(seed=1):
    return torch.Generator().manual_seed(seed)


def scene(seed=0, side=48):
    """Return a picture with colours, edges and even surfaces: uint8 (side, side, 3)."""
    random = np.random.default_rng(seed)
    picture = np.full((side, side, 3), random.integers(60, 200, 3), np.uint8)
    for _ in range(6):
        middle, size = random.integers(0, side, 2).tolist(), int(random.integers(2, 2 + side // 3))
        cv2.circle(picture, middle, size, random.integers(0, 256, 3).tolist(), -1)
    return picture


def scenes(count, side=48):
    return torch.from_numpy(np.stack([scene(seed, side) for seed in range(count)])).permute(0, 3, 1, 2).contiguous()


# --- all of them -----------------------------------------------------------------------------------------------------


@given(how=augmentations, labels=classes, seed=seeds, side=st.integers(8, 40))
def test_pictures_stay_pictures_and_labels_only_change_to_fake_by_blending(how, labels, seed, side):
    pictures, labels = scenes(len(labels), side), torch.tensor(labels)
    before = pictures.clone(), labels.clone()
    found, learned = augment(pictures, labels, how, chance(seed))
    assert found.dtype == torch.uint8 and found.shape == pictures.shape
    assert learned.dtype == labels.dtype and learned.shape == labels.shape
    assert (learned >= labels).all() and set(learned.tolist()) <= {0, 1}
    if how.self_blend == 0:
        assert torch.equal(learned, labels)
    assert torch.equal(pictures, before[0]) and torch.equal(labels, before[1])  # what was given is left alone
    again = augment(pictures, labels, how, chance(seed))
    assert torch.equal(found, again[0]) and torch.equal(learned, again[1])


@given(how=augmentations, seed=seeds, first=st.integers(0, 5))
def test_batches_and_other_pictures_do_not_matter(how, seed, first):
    pictures, labels = scenes(5, 16), torch.tensor([0, 1, 0, 0, 1])
    whole, learned = augment(pictures, labels, how, chance(seed))
    generator = chance(seed)
    parts = [augment(pictures[part], labels[part], how, generator) for part in (slice(first), slice(first, None))]
    assert torch.equal(whole, torch.cat([part for part, _ in parts]))
    assert torch.equal(learned, torch.cat([part for _, part in parts]))
    others = pictures.clone()
    others[1:] = 255 - others[1:]
    assert torch.equal(augment(others, labels, how, chance(seed))[0][0], whole[0])


@given(how=augmentations, other=augmentations, seed=seeds)
def test_as_much_chance_is_used_whatever_comes_out(how, other, seed):
    generators = chance(seed), chance(seed)
    augment(scenes(3, 16), torch.tensor([0, 0, 1]), how, generators[0])
    augment(255 - scenes(3, 24), torch.tensor([1, 0, 1]), other, generators[1])
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


def test_threads_do_not_matter():
    pictures, labels, how = scenes(8, 224), torch.zeros(8), NOTHING.model_copy(update=STRONG)
    one, _ = augment(pictures, labels, how, chance())
    threads = cv2.getNumThreads()
    torch.set_num_threads(3)
    cv2.setNumThreads(2)
    try:
        several, _ = augment(pictures, labels, how, chance())
    finally:
        torch.set_num_threads(1)
        cv2.setNumThreads(threads)
    assert torch.equal(one, several)


@given(labels=classes, seed=seeds)
def test_nothing_asked_is_nothing_done(labels, seed):
    pictures, labels = scenes(len(labels), 16), torch.tensor(labels)
    found, learned = augment(pictures, labels, NOTHING, chance(seed))
    assert found is pictures and learned is labels


@pytest.mark.parametrize("knob", STRONG)
def test_each_knob_changes_pictures_and_no_other_knob(knob):
    pictures, labels = scenes(4), torch.zeros(4)
    changed, _ = augment(pictures, labels, only(**{knob: STRONG[knob]}), chance())
    assert (changed != pictures).flatten(1).any(1).sum() >= 3  # a drawn strength may be next to nothing
    # Erasing comes last: outside its rectangle pictures are as without it, so what else was drawn is the same.
    both, _ = augment(pictures, labels, only(**{knob: STRONG[knob], "erase": 1}), chance())
    erased, _ = augment(pictures, labels, only(erase=1), chance())
    kept = (erased == pictures).all(1, keepdim=True).expand_as(pictures)
    assert kept.float().mean() > 0.4
    if knob != "erase":
        assert torch.equal(both[kept], changed[kept])


def test_knobs_draw_apart():
    even = torch.full((400, 3, 16, 16), 100, dtype=torch.uint8)
    lighter, _ = augment(even, torch.zeros(400), only(brightness=0.5), chance())
    noisier, _ = augment(even, torch.zeros(400), only(noise=0.1), chance())
    drawn = torch.stack([lighter.double().mean((1, 2, 3)), noisier.double().std((1, 2, 3))])
    assert abs(torch.corrcoef(drawn)[0, 1]) < 0.2
    edge = even.clone()
    edge[..., 8:] = 200
    mirrored = augment(edge, torch.zeros(400), only(flip=0.5), chance())[0][:, 0, 0, 0] == 200
    _, blended = augment(edge, torch.zeros(400), only(self_blend=0.5), chance())
    assert (mirrored == (blended == 1)).double().mean() == pytest.approx(0.5, abs=0.13)


@pytest.mark.parametrize("knobs", [{"flip": 1.1}, {"rotation": -1}, {"hue": 0.6}, {"jpeg": 0}, {"blur": "much"}])
def test_what_is_out_of_range_is_refused(knobs):
    with pytest.raises(ValidationError, match=next(iter(knobs))):
        Augmentation.model_validate(NOTHING.model_dump() | knobs)


def test_no_pictures_are_no_pictures():
    found, labels = augment(torch.empty(0, 3, 8, 8, dtype=torch.uint8), torch.empty(0), only(blur=1), chance())
    assert found.shape == (0, 3, 8, 8) and labels.shape == (0,)


# --- one by one ------------------------------------------------------------------------------------------------------


@given(count=st.integers(1, 5), seed=seeds)
def test_mirrored_twice_is_as_before(count, seed):
    pictures = scenes(count, 16)
    once, _ = augment(pictures, torch.zeros(count), only(flip=1), chance(seed))
    twice, _ = augment(once, torch.zeros(count), only(flip=1), chance(seed))
    assert torch.equal(once, pictures.flip(-1))
    assert torch.equal(twice, pictures)


def test_flip_is_a_probability():
    pictures = scenes(1, 8).expand(2000, -1, -1, -1)
    found, _ = augment(pictures, torch.zeros(2000), only(flip=0.3), chance())
    mirrored = (found != pictures).flatten(1).any(1).double().mean()
    assert mirrored == pytest.approx(0.3, abs=0.05)  # five standard deviations


@given(seed=st.integers(0, 50), factor=st.floats(0, 2), turn=st.floats(-0.5, 0.5))
def test_colours_are_those_of_torchvision(seed, factor, turn):
    picture = scene(seed)
    tensor = torch.from_numpy(picture).permute(2, 0, 1).double() / 255
    pairs = [(getattr(colours, name), getattr(functional, f"adjust_{name}"), factor) for name in augmentation.FACTORS]
    for ours, theirs, by in [*pairs, (colours.hue, functional.adjust_hue, turn)]:
        expected = theirs(tensor, by).permute(1, 2, 0).numpy() * 255
        assert np.abs(ours(picture, by) - expected).max() <= 1.5, ours.__name__


def test_brightness_goes_either_way_as_far_as_asked():
    even = torch.full((300, 3, 8, 8), 100, dtype=torch.uint8)
    found, _ = augment(even, torch.zeros(300), only(brightness=0.5), chance())
    assert 50 <= found.min() < 55 and 145 < found.max() <= 150


def test_hue_goes_either_way_as_far_as_asked():
    red = torch.zeros(300, 3, 8, 8, dtype=torch.uint8)
    red[:, 0] = 200
    found, _ = augment(red, torch.zeros(300), only(hue=0.1), chance())
    most = found.amax((0, 2, 3))
    assert most[0] == 200
    assert 110 < most[1] <= 120 and 110 < most[2] <= 120  # a tenth of the circle is 0.6 of the way to yellow or magenta


def test_a_shift_of_colours_is_cut_off():
    picture = np.full((4, 4, 3), (10, 100, 250), np.uint8)
    assert colours.shift(picture, (-20, 5, 20))[0, 0].tolist() == [0, 105, 255]


@given(seed=st.integers(0, 50), degrees=st.floats(-180, 180))
def test_rotation_is_that_of_torchvision_but_for_the_corners(seed, degrees):
    picture = cv2.GaussianBlur(scene(seed), (0, 0), 2)
    expected = functional.rotate(
        torch.from_numpy(picture).permute(2, 0, 1), degrees, functional.InterpolationMode.BILINEAR
    )
    rows, columns = np.indices((48, 48)) - 23.5
    within = rows**2 + columns**2 < 22**2
    difference = np.abs(augmentation.rotated(picture, degrees) - expected.permute(1, 2, 0).numpy().astype(float))
    assert difference[within].max() <= 3


def test_rotated_corners_are_filled_with_the_picture():
    picture = np.full((32, 32, 3), 200, np.uint8)
    assert (augmentation.rotated(picture, 45) == 200).all()


def test_rotation_goes_either_way_and_never_further_than_asked():
    line = np.zeros((65, 65, 3), np.uint8)
    line[31:34, 33:] = 255  # to the right of the middle
    pictures = torch.from_numpy(line).permute(2, 0, 1).expand(200, -1, -1, -1)
    found, _ = augment(pictures, torch.zeros(200), only(rotation=20), chance())
    weights = found[:, 0].double()
    rows, columns = torch.arange(65.0)[:, None] - 32, torch.arange(65.0)[None, :] - 32
    angles = torch.atan2(-(weights * rows).sum((1, 2)), (weights * columns).sum((1, 2))).rad2deg()
    assert angles.min() < -15 and angles.max() > 15
    assert angles.abs().max() < 20.5
    assert abs(angles.mean()) < 4


def test_noise_is_gaussian_up_to_the_deviation_asked():
    pictures = torch.full((300, 3, 32, 32), 128, dtype=torch.uint8)
    found, _ = augment(pictures, torch.zeros(300), only(noise=0.1), chance())
    noise = found.double() - 128
    deviations = noise.flatten(1).std(1) / 255
    assert deviations.max() < 0.103 and deviations.max() > 0.095 and deviations.min() < 0.01
    assert deviations.mean() == pytest.approx(0.05, abs=0.01)
    strong = noise[deviations > 0.05].flatten(1)
    scaled = (strong / strong.std(1, keepdim=True)).flatten()
    assert abs(scaled.mean()) < 0.02
    assert (scaled**4).mean() == pytest.approx(3, abs=0.05)
    assert (noise[:, 0] != noise[:, 1]).double().mean() > 0.5  # each colour has its own


@pytest.mark.parametrize("share", [0.03, 1.0])
def test_salt_and_pepper_are_a_share_of_pixels(share):
    pictures = torch.full((50, 3, 32, 32), 128, dtype=torch.uint8)
    found, _ = augment(pictures, torch.zeros(50), only(salt_and_pepper=share), chance())
    assert set(found.unique().tolist()) <= {0, 128, 255}
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 0], found[:, 2])  # whole pixels
    for value in (0, 255):
        assert (found == value).double().mean() == pytest.approx(share / 2, abs=0.02 if share == 1 else 0.004)


def test_jpeg_draws_qualities_from_the_lowest_to_100():
    picture = scene()
    of_quality = {augmentation.compressed(picture, quality).tobytes(): quality for quality in range(1, 101)}
    pictures = torch.from_numpy(picture).permute(2, 0, 1).expand(300, -1, -1, -1)
    found, _ = augment(pictures, torch.zeros(300), only(jpeg=90), chance())
    drawn = {of_quality[changed.permute(1, 2, 0).numpy().tobytes()] for changed in found}
    assert drawn == set(range(90, 101))


def test_jpeg_loses_more_at_lower_quality_and_keeps_the_colours():
    picture = cv2.GaussianBlur(scene(), (0, 0), 2)
    losses = [
        np.abs(augmentation.compressed(picture, quality).astype(int) - picture).mean() for quality in (5, 50, 100)
    ]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < 2


def test_blur_smooths_up_to_the_deviation_asked():
    edge = torch.zeros(300, 3, 32, 32, dtype=torch.uint8)
    edge[..., 16:] = 255
    found, _ = augment(edge, torch.zeros(300), only(blur=2.0), chance())
    steps = found[:, 0, 16].double().diff(dim=1) / 255  # across the edge: the bell itself, one pixel wider
    deviations = ((steps * (torch.arange(31) - 15) ** 2).sum(1)).sqrt()
    assert (steps >= 0).all()
    assert 1.8 < deviations.max() < 2.1 and deviations.min() < 0.2


def test_a_rectangle_is_erased_with_the_probability_asked():
    pictures = torch.full((600, 3, 40, 40), 128, dtype=torch.uint8)
    found, _ = augment(pictures, torch.zeros(600), only(erase=0.5), chance())
    changed = (found != 128).any(1)
    touched = changed.flatten(1).any(1)
    assert touched.double().mean() == pytest.approx(0.5, abs=0.1)
    areas, aspects, corners = [], [], set()
    for mask in changed[touched].numpy():
        top, left, height, width = *np.argwhere(mask).min(0), *np.ptp(np.argwhere(mask), axis=0) + 1
        assert mask[top : top + height, left : left + width].mean() > 0.95  # noise rarely hits 128 in all colours
        areas.append(height * width / 1600)
        aspects.append(height / width)
        corners.add((top, left))
    assert min(areas) < 0.05 and 0.35 < max(areas) < 0.42
    assert min(aspects) < 0.5 and max(aspects) > 2
    assert len(corners) > 100
    values = found[touched].permute(0, 2, 3, 1)[changed[touched]].double()
    assert values.mean() == pytest.approx(127.5, abs=2) and values.min() == 0 and values.max() == 255


def test_only_reals_are_blended_and_become_fakes():
    pictures, labels = scenes(400, 16), torch.arange(400) % 2
    found, learned = augment(pictures, labels, only(self_blend=0.5), chance())
    changed = (found != pictures).flatten(1).any(1)
    assert not changed[labels == 1].any()
    assert learned[labels == 0].double().mean() == pytest.approx(0.5, abs=0.18)
    assert not changed[learned == 0].any()
    assert changed[(labels == 0) & (learned == 1)].double().mean() > 0.95
