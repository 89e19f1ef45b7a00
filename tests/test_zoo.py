import socket

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy
from torchvision import models

from pipeline.errors import UserError
from pipeline.models import freezing, mesoinception, stored, weights, zoo
from pipeline.models.network import Head, Network, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform

SMALL = "shufflenet_v2_x0_5"
CLIP = "vit_large_patch14_clip_quickgelu_224.openai"
IMAGENET, CLIP_MEAN = (0.485, 0.456, 0.406), (0.48145466, 0.4578275, 0.40821073)

# Parameters with two classes: the published networks' with 1000, less their last layer, and width x 2 + 2.
# Then: the input each was made for, and a small one that five steps are quick at.
ZOO = {
    "mobilenet_v2": (2_226_434, 224, IMAGENET, "bilinear", 32),
    "resnet18": (11_177_538, 224, IMAGENET, "bilinear", 32),
    "resnet50": (23_512_130, 224, IMAGENET, "bilinear", 32),
    "efficientnet_b0": (4_010_110, 224, IMAGENET, "bicubic", 32),
    "efficientnet_b4": (19_341_616 - 1793 * 1000 + 1793 * 2, 380, IMAGENET, "bicubic", 32),
    "efficientnet_b7": (63_789_521 + 2561, 600, IMAGENET, "bicubic", 32),
    "squeezenet1_0": (1_248_424 - 513 * 1000 + 513 * 2, 224, IMAGENET, "bilinear", 32),
    "nasnetalarge": (88_753_150 - 4033 * 1000 + 4033 * 2, 331, (0.5, 0.5, 0.5), "bicubic", 32),
    "legacy_xception": (22_855_952 - 2049 * 1000 + 2049 * 2, 299, (0.5, 0.5, 0.5), "bicubic", 64),
    CLIP: (303_966_208 - 1024 * 768 + 1025 * 2, 224, CLIP_MEAN, "bicubic", 28),
    "mesoinception4": (28_615 + 17, 256, (0.0, 0.0, 0.0), "bilinear", 64),
    "reactnet_a": (28_253_184 + 65_408 + 2_050, 224, IMAGENET, "bilinear", 32),
    "reactnet_a_real": (28_253_184 + 65_408 + 2_050, 224, IMAGENET, "bilinear", 32),
    "reactnet_a_step1": (28_253_184 + 65_408 + 2_050, 224, IMAGENET, "bilinear", 32),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec(model, outputs=2):
    head = Head(hidden=[], dropout=[], embedding=8, sigmoid=False)
    return Spec(model=model, outputs=outputs, head=head, labels=["real", "fake"])


def built(model, seed=0):
    torch.manual_seed(seed)
    return zoo.build(spec(model))[0]


def small_clip(side):
    """CLIP for pictures smaller than it was made for, which timm builds and zoo.build does not."""
    backbone = timm.create_model(CLIP, num_classes=0, img_size=side)
    network = Network(backbone, 1024, spec(CLIP))
    freezing.freeze(network, "layer_norm")
    return network


# --- the networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_each_network_has_its_size_learns_and_is_stored(name, tmp_path):
    parameters, side, mean, interpolation, small = ZOO[name]
    torch.manual_seed(0)
    network = small_clip(small) if name == CLIP else zoo.build(spec(name))[0]
    facts = zoo._entry(name).facts
    smaller_grid = 1024 * (16 * 16 - 2 * 2) if name == CLIP else 0  # positions of a smaller picture's patches
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters - smaller_grid
    assert (facts.input_size, facts.mean, facts.interpolation) == (side, mean, interpolation)

    inputs = torch.randn(4, 3, small, small, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 0, 1])
    inputs = inputs / 2 + labels[:, None, None, None]
    losses = five_steps(network, inputs, labels)
    assert losses[-1] < losses[0]

    with torch.inference_mode():
        before = network.eval()(inputs)
    assert before.shape == (4, 2)
    if name == CLIP:  # 1.2 GB: benchmarks/zoo.py stores it
        return
    transform = Transform(small, facts.mean, facts.std, facts.interpolation)
    stored.save(tmp_path, Stored(network, transform, {"frame": 0.5, "video": 0.5}, None), {})
    loaded = stored.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with torch.inference_mode():
        assert torch.equal(loaded.network(inputs), before)


def five_steps(network, inputs, labels):
    """Return the loss on one batch before each of five steps and after them; dropout drops the same each time."""
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 3e-4)
    freezing.train_mode(network, "still")
    losses = []
    for _ in range(5):
        torch.manual_seed(2)
        loss = cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    torch.manual_seed(2)
    with torch.no_grad():
        return [*losses, float(cross_entropy(network(inputs), labels))]


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("alexnet", 64),
        ("densenet121", 32),
        ("convnext_tiny", 32),
        ("swin_t", 64),
        ("inception_v3", 75),
        ("googlenet", 64),
        ("mobilenet_v3_small", 32),
        ("mnasnet0_5", 32),
        ("regnet_y_400mf", 32),
        ("test_vit", 160),
        ("test_convnext", 64),
        ("test_efficientnet", 64),
        ("deit_tiny_patch16_224", 224),
        ("swin_tiny_patch4_window7_224", 224),
        ("levit_128s", 224),
    ],
)
def test_every_family_gives_what_the_library_gives(name, side):
    """Only the classifying layer is cut off: with its weights in our head, the outputs are the library's own."""
    extra = {"aux_logits": False, "init_weights": True, "transform_input": True}
    torch.manual_seed(0)
    if name in models.list_models(module=models):
        theirs = models.get_model(name, num_classes=2, **extra if name in ("inception_v3", "googlenet") else {})
    else:
        theirs = timm.create_model(name, num_classes=2)
    ours = built(name, seed=1)
    given = theirs.state_dict()
    match = weights.fill(ours.backbone, given, "theirs")
    assert match.filled == match.expected
    left = sorted(given.keys() - ours.backbone.state_dict().keys())
    if name == "levit_128s":  # its classifier is a BatchNorm and a linear layer: the linear one is ours
        norm = {key.removeprefix("head.bn."): value for key, value in given.items() if key.startswith("head.bn.")}
        scale = norm["weight"] / (norm["running_var"] + 1e-5).sqrt()
        weight = given["head.linear.weight"] * scale
        bias = given["head.linear.bias"] + given["head.linear.weight"] @ (norm["bias"] - norm["running_mean"] * scale)
    else:
        bias, weight = (given[key] for key in left)
    ours.head.load_state_dict({"0.weight": weight.flatten(1), "0.bias": bias})
    inputs = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        assert torch.allclose(ours.eval()(inputs), theirs.eval()(inputs), atol=1e-4)


def test_the_layer_cut_off_is_the_one_that_classifies():
    class Misleading(torch.nn.Module):
        """Its classifier comes first, and more layers give two numbers."""

        def __init__(self, classes):
            super().__init__()
            self.output = torch.nn.Linear(6, classes)
            self.features = torch.nn.Linear(4, 6)
            self.attention = torch.nn.Linear(4, 2)

    network, width = zoo._without_classifier(Misleading)
    assert width == 6
    assert [name for name, _ in network.named_parameters()] == [
        "features.weight", "features.bias", "attention.weight", "attention.bias",
    ]  # fmt: skip

    class Two(torch.nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.one, self.other = torch.nn.Linear(6, classes), torch.nn.Linear(6, classes)

    with pytest.raises(UserError, match="no single classifying layer"):
        zoo._without_classifier(Two)


def test_mesoinception_has_the_parameters_of_the_paper():
    network = mesoinception.mesoinception4(1)
    # Figure 5, by hand: each convolution inputs x outputs x area + outputs, each BatchNorm 2 a channel.
    first = (3 + 1) * 1 + 2 * ((3 + 1) * 4 + (4 * 9 + 1) * 4) + (3 + 1) * 2 + (2 * 9 + 1) * 2 + 2 * 11
    second = (11 + 1) * 2 + 2 * ((11 + 1) * 4 + (4 * 9 + 1) * 4) + (11 + 1) * 2 + (2 * 9 + 1) * 2 + 2 * 12
    rest = (12 * 25 + 1) * 16 + 2 * 16 + (16 * 25 + 1) * 16 + 2 * 16 + (8 * 8 * 16 + 1) * 16 + (16 + 1)
    assert sum(parameter.numel() for parameter in network.parameters()) == first + second + rest == 28_615
    grid = network[:4](torch.zeros(1, 3, 256, 256))
    assert grid.shape == (1, 16, 8, 8)
    assert torch.equal(network[4](grid), grid)


def test_sizes_that_do_not_fit_and_unknown_names_are_refused():
    with pytest.raises(UserError, match=r"deit_tiny_patch16_224 does not take pictures of 64 px: .*224"):
        zoo.check_input(built("deit_tiny_patch16_224"), "deit_tiny_patch16_224", 64)
    with pytest.raises(UserError, match=r"has a network 'resnet81'; did you mean .*resnet18"):
        built("resnet81")
    with pytest.raises(UserError, match=r"has a network 'mesoinception'; did you mean .*mesoinception4"):
        built("mesoinception")
    with pytest.raises(UserError, match=r"train.model test_vit.nonsense: Invalid pretrained tag"):
        built("test_vit.nonsense")


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["safetensors", "pth", "data_parallel", "checkpoint", "wrapped_twice", "stored"])
def test_given_weights_fill_the_backbone_and_leave_the_head(tmp_path, kind):
    source = models.get_model(SMALL, num_classes=1000).state_dict()
    path = tmp_path / ("weights.safetensors" if kind in ("safetensors", "stored") else "weights.pth")
    if kind == "safetensors":
        save_file(source, path)
    elif kind == "stored":
        backbone = {f"backbone.{name}": tensor for name, tensor in source.items() if not name.startswith("fc.")}
        save_file({**backbone, "head.0.weight": torch.zeros(2, 1024), "head.0.bias": torch.zeros(2)}, path)
    else:
        content = {
            "pth": source,
            "data_parallel": {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in source.items()}},
            "checkpoint": {"model_state_dict": source, "optimizer_state_dict": {}},
            "wrapped_twice": {"state_dict": {"model": source}},
        }
        torch.save(content[kind], path)
    network = built(SMALL)
    head = network.head[0].weight.clone()
    match = zoo.load_pretrained(network, str(path))
    assert (match.filled, match.expected, match.missing, match.source) == (280, 280, None, str(path))
    filled = network.backbone.state_dict()
    assert all(torch.equal(filled[name], source[name]) for name in filled)
    assert torch.equal(network.head[0].weight, head)


def test_none_is_left_as_it_was():
    network = built(SMALL)
    assert zoo.load_pretrained(network, "none") is None
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), built(SMALL).parameters(), strict=True))


def test_weights_of_another_network_are_counted(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(models.get_model("shufflenet_v2_x1_0").state_dict(), path)
    match = zoo.load_pretrained(built(SMALL), str(path))
    assert match.filled < 0.2 * match.expected
    assert match.given == len(models.get_model("shufflenet_v2_x1_0").state_dict())
    own = built(SMALL, seed=1).backbone.state_dict()
    names = [name for name in own if not name.endswith("num_batches_tracked")]
    torch.save({name: own[name] for name in names[3:]}, path)
    match = zoo.load_pretrained(built(SMALL), str(path))
    assert (match.filled, match.expected, match.given, match.missing) == (277, 280, 277, names[0])


def test_names_of_older_versions_are_understood():
    """torchvision's files of vision transformers and DenseNets have names that its modules had before."""
    torch.manual_seed(0)
    vit = models.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=3)
    old = dict(vit.state_dict())
    for now, before in (("mlp.0.", "mlp.linear_1."), ("mlp.3.", "mlp.linear_2.")):
        old = {name.replace(now, before): tensor for name, tensor in old.items()}
    fresh = models.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=3)
    match = weights.fill(fresh, dict(old), "old")
    assert match.filled == match.expected == len(old)
    assert torch.equal(fresh.encoder.layers[1].mlp[3].weight, vit.encoder.layers[1].mlp[3].weight)
    wider = models.VisionTransformer(32, 16, 2, 2, 8, 24, num_classes=3)
    match = weights.fill(wider, dict(old), "narrower")  # its old names fit, its sizes do not
    assert match.expected - match.filled == 2 * 4

    dense = models.densenet121(num_classes=2).state_dict()
    old = {name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): tensor for name, tensor in dense.items()}
    assert old.keys() != dense.keys()
    network = built("densenet121")
    renamed = zoo._entry("densenet121").renamed(old, network.backbone)
    assert renamed.keys() == dense.keys()


def test_clip_weights_under_openai_s_names_are_understood(tmp_path):
    name = "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m"
    source = built(name).backbone.state_dict()
    swaps = [
        ("patch_embed.proj", "conv1"), ("pos_embed", "positional_embedding"), ("cls_token", "class_embedding"),
        ("blocks.", "transformer.resblocks."), ("norm_pre", "ln_pre"), ("norm1", "ln_1"), ("norm2", "ln_2"),
        ("norm.", "ln_post."), ("qkv.", "in_proj_"), ("attn.proj", "attn.out_proj"),
        ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
    ]  # fmt: skip
    theirs = {"visual.proj": torch.zeros(source["norm.weight"].shape[0], 512), "logit_scale": torch.zeros(())}
    for key, tensor in source.items():
        for ours, openai in swaps:
            key = key.replace(ours, openai)
        theirs[f"visual.{key}"] = tensor.squeeze() if key in ("class_embedding", "positional_embedding") else tensor
    save_file({key: tensor.contiguous() for key, tensor in theirs.items()}, tmp_path / "open_clip.safetensors")
    network = built(name, seed=1)
    match = zoo.load_pretrained(network, str(tmp_path / "open_clip.safetensors"))
    assert match.filled == match.expected
    assert all(torch.equal(tensor, source[key]) for key, tensor in network.backbone.state_dict().items())


def test_weights_that_timm_cannot_convert_fill_nothing(tmp_path):
    save_file({"features.0.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    for name in ("test_convnext", "test_vit", "swin_tiny_patch4_window7_224"):
        match = zoo.load_pretrained(built(name), str(tmp_path / "other.safetensors"))
        assert match.filled == 0 < match.expected


def test_files_that_are_no_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        weights.read(tmp_path / "absent.pth")
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(UserError, match="cannot be read as weights"):
            weights.read(tmp_path / name)
    for content in ([1, 2], {"epoch": 3}, {"state_dict": {"epoch": 3}}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(UserError, match="holds no table of tensors"):
            weights.read(tmp_path / "other.pth")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize(
    ("name", "url", "file"),
    [
        (SMALL, "https://download.pytorch.org/models/{file}", "shufflenetv2_x0.5-f707e7126e.pth"),
        (
            "test_resnet",
            "https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors",
            "test_resnet.safetensors",
        ),
    ],
)
def test_default_weights_without_network_say_which_file_to_place(name, url, file, offline):
    with pytest.raises(UserError) as caught:
        zoo.load_pretrained(built(name), "default")
    assert f"the default weights of {name} are not on this machine" in str(caught.value)
    assert "Network is unreachable" in str(caught.value)
    assert f"place {url.format(file=file)} as {offline / file}, or name your copy of it in train.pretrained" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    assert list(offline.iterdir()) == []
    source = built(name, seed=1).backbone.state_dict()
    if file.endswith(".pth"):
        torch.save(source, offline / file)
    else:
        save_file(source, offline / file)
    network = built(name)
    match = zoo.load_pretrained(network, "default")
    assert (match.filled, match.source) == (match.expected, f"the default weights of {name}")
    assert all(torch.equal(tensor, source[key]) for key, tensor in network.backbone.state_dict().items())


def test_networks_without_published_weights_say_so():
    for name in ("reactnet_a", "mesoinception4"):
        with pytest.raises(UserError, match=f"nobody publishes weights for {name}"):
            zoo.load_pretrained(built(name), "default")
    unpublished = next(name for name in timm.list_models() if not published(name))
    with pytest.raises(UserError, match=f"timm publishes no weights for {unpublished}"):
        zoo._entry(unpublished).default()


def published(name):
    cfg = timm.get_pretrained_cfg(name)
    return name in models.list_models(module=models) or (cfg is not None and (cfg.hf_hub_id or cfg.url))
