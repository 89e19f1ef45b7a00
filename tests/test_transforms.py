"""From pictures to a network's input, in training and in evaluation, and stored with the weights."""

import json

import pytest
import torch

from pipeline.models import stored, transforms, zoo
from pipeline.models.augmentation import Augmentation, augment
from pipeline.models.network import Head, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform

torch.set_num_threads(1)

IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "interpolation": "bilinear"}
NOTHING = Augmentation(**{knob: None if knob == "jpeg" else 0 for knob in Augmentation.model_fields})


def only(**knobs):
    return NOTHING.model_copy(update=knobs)


def pictures(count=4, side=64):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def chance(seed=1):
    return torch.Generator().manual_seed(seed)


def test_evaluation_takes_the_middle_unscaled_and_normalises():
    transform = Transform(56, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0), "bilinear")
    given = pictures()
    found = transforms.for_evaluation(given, transform)
    middle = given[:, :, 4:60, 4:60].double() / 255
    expected = (middle - torch.tensor([0.5, 0.25, 0.0]).view(3, 1, 1)) / torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    assert torch.allclose(found.double(), expected, atol=1e-6)
    assert torch.equal(found, transforms.for_evaluation(given, transform))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluation_scales_to_the_input_size(interpolation):
    flat = torch.full((2, 3, 64, 64), 100, dtype=torch.uint8)
    found = transforms.for_evaluation(flat, Transform(96, **IDENTITY | {"interpolation": interpolation}))
    assert found.shape == (2, 3, 96, 96)
    assert torch.allclose(found, torch.tensor(100 / 255), atol=1e-6)


@pytest.mark.parametrize("crop", [0.5, 0.875, 1.0])
def test_pictures_of_the_stored_side_are_cut_and_not_scaled(crop):
    assert Transform(112, **IDENTITY).stored_side() == 128
    for size in range(32, 601):
        transform = Transform(size, **IDENTITY, crop=crop)
        assert transforms._crop_side(transform.stored_side(), transform) == size


def test_training_crops_lie_in_the_picture_and_some_are_mirrored():
    given = pictures(16)
    found, _ = transforms.for_training(given, torch.zeros(16), Transform(56, **IDENTITY), only(flip=0.5), chance())
    mirrored, places = 0, set()
    for picture, crop in zip(given, (found * 255).round().to(torch.uint8), strict=True):
        windows = {(top, left): picture[:, top : top + 56, left : left + 56] for top in range(9) for left in range(9)}
        plain = [place for place, window in windows.items() if torch.equal(window, crop)]
        turned = [place for place, window in windows.items() if torch.equal(window.flip(-1), crop)]
        assert len(plain) + len(turned) == 1
        mirrored += len(turned)
        places.update(plain + turned)
    assert 0 < mirrored < 16
    assert len(places) > 8


def test_training_without_flip_never_mirrors_and_repeats_with_its_seed():
    given, labels, transform = pictures(), torch.tensor([0, 1, 0, 1]), Transform(64, **IDENTITY, crop=1.0)
    never, kept = transforms.for_training(given, labels, transform, NOTHING, chance())
    always, _ = transforms.for_training(given, labels, transform, only(flip=1), chance())
    assert torch.equal(never, transforms.for_evaluation(given, transform))
    assert torch.equal(kept, labels)
    assert torch.equal(always, never.flip(-1))
    noisy = [transforms.for_training(given, labels, transform, only(noise=0.1), chance(seed))[0] for seed in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])


def test_training_says_which_reals_became_fakes():
    given, labels = pictures(), torch.tensor([0, 1, 0, 1])
    _, learned = transforms.for_training(given, labels, Transform(56, **IDENTITY), only(self_blend=1), chance())
    assert learned.tolist() == [1, 1, 1, 1]
    assert labels.tolist() == [0, 1, 0, 1]


def test_augmented_evaluation_changes_pictures_as_training_does():
    given, how = pictures(), only(flip=0.5, rotation=15, brightness=0.2, self_blend=0)
    plain = Transform(56, **IDENTITY)
    found = transforms.for_evaluation(given, Transform(56, **IDENTITY, augment=how), chance())
    changed, _ = augment(given, torch.zeros(4), how, chance())
    assert torch.equal(found, transforms.for_evaluation(changed, plain))
    again = chance()
    twice = [transforms.for_evaluation(given, Transform(56, **IDENTITY, augment=how), again) for _ in range(2)]
    assert not torch.equal(*twice)


def test_augmented_evaluation_never_makes_fakes_of_reals():
    given, transform = pictures(), Transform(56, **IDENTITY, augment=only(self_blend=1))
    found = transforms.for_evaluation(given, transform, chance())
    assert torch.equal(found, transforms.for_evaluation(given, Transform(56, **IDENTITY)))


@pytest.mark.parametrize("augmentation", [None, only(flip=0.5, rotation=5, jpeg=40)])
def test_a_transform_is_stored_with_the_weights(augmentation, tmp_path):
    head = Head(hidden=[], dropout=[], embedding=128, sigmoid=False)
    network, _ = zoo.build(Spec(model="squeezenet1_1", outputs=1, head=head, labels=["real", "fake"]))
    transform = Transform(96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic", 0.75, augmentation)
    stored.save(tmp_path, Stored(network, transform, {"frame": 0.5, "video": 0.5}, None), {})
    assert stored.load(tmp_path).transform == transform
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["transform"]["augment"] == (augmentation and augmentation.model_dump())
