import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from fabricated_shards import write_dataset
from pipeline.errors import UserError
from pipeline.models import scoring, stored, transforms, zoo
from pipeline.models.transforms import Transform
from pipeline.reading import Samples

SMALL = "shufflenet_v2_x0_5"
WEIGHTS = Path(__file__).resolve().parents[2] / "shared" / "weights" / "squeezenet1_0_imagenet.safetensors"


def small(pretrained="none", seed=0):
    torch.manual_seed(seed)
    return zoo.build(SMALL, pretrained, 1)[0]


@pytest.mark.parametrize(
    ("name", "interpolation"),
    [(SMALL, "bilinear"), ("squeezenet1_1", "bilinear"), ("test_vit", "bicubic"), ("mobilenet_v3_small", "bilinear")],
)
def test_networks_of_both_libraries_give_one_logit(name, interpolation):
    network, facts = zoo.build(name, "none", 1)
    size = 160 if name == "test_vit" else 64
    zoo.check_input(network, name, size)
    assert network.eval()(torch.zeros(3, 3, size, size)).shape == (3, 1)
    assert facts.interpolation == interpolation
    expected = (0.5, 0.5, 0.5) if name == "test_vit" else (0.485, 0.456, 0.406)
    assert facts.mean == expected


def test_networks_with_a_second_head_have_only_one():
    network, _ = zoo.build("googlenet", "none", 1)
    assert network.train()(torch.zeros(2, 3, 64, 64)).shape == (2, 1)


def test_unknown_network_is_answered_with_close_names():
    with pytest.raises(UserError, match=r"has a network 'resnet81'; did you mean .*resnet18"):
        zoo.build("resnet81", "none", 1)


def test_a_size_that_does_not_fit_is_refused():
    network, _ = zoo.build("deit_tiny_patch16_224", "none", 1)
    with pytest.raises(UserError, match=r"deit_tiny_patch16_224 does not take pictures of 64 px: .*224"):
        zoo.check_input(network, "deit_tiny_patch16_224", 64)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_given_weights_fill_the_backbone_and_leave_the_head(tmp_path, suffix):
    from safetensors.torch import save_file

    path = tmp_path / f"weights{suffix}"
    source = zoo.build(SMALL, "none", 1000)[0].state_dict()
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in source.items()}}, path)
    else:
        save_file(source, path)
    filled = small(str(path)).state_dict()
    assert filled["fc.weight"].shape == (1, 1024)
    assert all(torch.equal(filled[name], source[name]) for name in source if not name.startswith("fc."))


def test_weights_of_another_network_are_refused_with_counts(tmp_path):
    path = tmp_path / "other.pth"
    weights = zoo.build("shufflenet_v2_x1_0", "none", 1000)[0].state_dict()
    torch.save(weights, path)
    with pytest.raises(UserError, match=r"other.pth: \d+ of the network's 280 backbone tensors match"):
        small(str(path))
    # 1 % may lack: of 280 tensors two, not three.
    own = {name: tensor for name, tensor in small(seed=1).state_dict().items() if not name.startswith("fc.")}
    for missing, accepted in ((2, True), (3, False)):
        torch.save(dict(list(own.items())[missing:]), path)
        if accepted:
            small(str(path))
        else:
            with pytest.raises(UserError, match="277 of the network's 280"):
                small(str(path))


def test_files_that_are_no_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        small(str(tmp_path / "absent.pth"))
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(UserError, match="cannot be read as weights"):
            small(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "where"), [(SMALL, r"shufflenetv2_x0.5-f707e7126e.pth"), ("test_resnet", "model.safetensors")]
)
def test_default_weights_without_network_say_which_file_to_place(name, where, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(UserError, match=where) as caught:
        zoo.build(name, "default", 1)
    assert "\n" not in str(caught.value)


def test_real_imagenet_weights_fill_squeezenet():
    if not WEIGHTS.exists():
        pytest.skip(f"{WEIGHTS} is not there")
    network, facts = zoo.build("squeezenet1_0", str(WEIGHTS), 1)
    assert facts.mean == (0.485, 0.456, 0.406)
    from safetensors.torch import load_file

    assert torch.equal(network.state_dict()["features.0.weight"], load_file(WEIGHTS)["features.0.weight"])


IDENTITY = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "interpolation": "bilinear"}


def pictures(count=4, side=64):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


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
    found = transforms.for_training(given, Transform(56, **IDENTITY), 0.5, torch.Generator().manual_seed(1))
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
    given, transform = pictures(), Transform(64, **IDENTITY, crop=1.0)
    never = transforms.for_training(given, transform, 0.0, torch.Generator().manual_seed(1))
    always = transforms.for_training(given, transform, 1.0, torch.Generator().manual_seed(1))
    assert torch.equal(never, transforms.for_evaluation(given, transform))
    assert torch.equal(always, never.flip(-1))


def test_a_stored_network_scores_as_before(tmp_path):
    table = write_dataset(tmp_path, "one", {"test": {"real": 2, "swap": 2}})
    samples = Samples(table, {"one": tmp_path / "shard/one"})
    network, facts = zoo.build(SMALL, "none", 1)
    transform = Transform(48, *facts)
    stored.save(tmp_path, network.state_dict(), SMALL, transform, {"frame": 0.4, "video": 0.6}, {"best_epoch": 3})
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["labels"] == {"0": "real", "1": "fake"}
    assert card["best_epoch"] == 3
    loaded = stored.load(tmp_path)
    assert loaded.transform == transform
    assert loaded.thresholds == {"frame": 0.4, "video": 0.6}
    before = scoring.logits(network, transform, samples, 5)
    assert np.array_equal(scoring.logits(loaded.network, loaded.transform, samples, 5), before)
    assert np.isfinite(before).all()
    assert scoring.logits(network, transform, samples, 1) == pytest.approx(before, abs=1e-5)


def test_a_stored_network_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"model.json is missing"):
        stored.load(tmp_path)
    network, facts = zoo.build(SMALL, "none", 1)
    stored.save(tmp_path, network.state_dict(), "shufflenet_v2_x1_0", Transform(48, *facts), {}, {})
    with pytest.raises(UserError, match=r"is not of the network in model.json"):
        stored.load(tmp_path)


def test_probability_is_the_logistic_function_at_any_size():
    logit = np.array([-1000.0, -2.0, 0.0, 2.0, 1000.0])
    assert scoring.probability(logit) == pytest.approx([0, 1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2), 1])
