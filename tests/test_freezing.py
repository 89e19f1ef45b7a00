import pytest
import torch

from pipeline.errors import UserError
from pipeline.models import freezing, zoo
from pipeline.models.network import Head, Spec

torch.set_num_threads(1)


def built(model):
    head = Head(hidden=[], dropout=[], embedding=8, sigmoid=False)
    torch.manual_seed(0)
    return zoo.build(Spec(model=model, outputs=2, head=head, labels=["real", "fake"]))[0]


def learning(network):
    """Return the names of the backbone's modules of which any own parameter learns; the head's all must."""
    assert all(parameter.requires_grad for parameter in network.head.parameters())
    return {name.rpartition(".")[0] for name, p in network.backbone.named_parameters() if p.requires_grad}


def test_head_all_and_layer_norm():
    network = built("test_vit")
    freezing.freeze(network, "head")
    assert learning(network) == set()
    freezing.freeze(network, "layer_norm")
    blocks = {f"blocks.{number}.norm{which}" for number in range(6) for which in (1, 2)}
    assert learning(network) == {*blocks, "norm"}
    freezing.freeze(network, "all")
    assert all(parameter.requires_grad for parameter in network.parameters())
    with pytest.raises(UserError, match=r"train.trainable layer_norm: resnet18 has no LayerNorm"):
        freezing.freeze(built("resnet18"), "layer_norm")


@pytest.mark.parametrize(
    ("name", "number", "last"),
    [
        ("resnet18", 5, [["layer3"], ["layer4"]]),
        ("mobilenet_v2", 19, [["features.17"], ["features.18"]]),
        ("efficientnet_b0", 9, [["features.7"], ["features.8"]]),
        ("squeezenet1_0", 9, [["features.10"], ["features.12"]]),
        ("densenet121", 8, [["features.transition3"], ["features.denseblock4", "features.norm5"]]),
        ("googlenet", 12, [["inception5a"], ["inception5b"]]),
        ("nasnetalarge", 23, [["cell_16"], ["cell_17"]]),
        ("legacy_xception", 16, [["conv3", "bn3"], ["conv4", "bn4"]]),
        ("test_vit", 7, [["blocks.4"], ["blocks.5", "norm"]]),
        ("test_efficientnet", 7, [["blocks.4"], ["conv_head", "bn2"]]),
        ("test_convnext", 5, [["stages.2"], ["stages.3", "head"]]),
        ("vit_b_16", 13, [["encoder.layers.encoder_layer_10"], ["encoder.layers.encoder_layer_11", "encoder.ln"]]),
        ("reactnet_a", 14, [["features.12"], ["features.13"]]),
        ("mesoinception4", 5, [["3"], ["7"]]),
    ],
)
def test_stages_are_those_of_the_network(name, number, last):
    with torch.device("meta" if name in ("reactnet_a", "vit_b_16") else "cpu"):
        network = built(name)
    found = freezing.stages(network.backbone)
    assert len(found) == number
    assert found[-2:] == last
    freezing.freeze(network, 1)
    inside = tuple(f"{module}." for module in last[-1])
    for key, parameter in network.backbone.named_parameters():
        assert parameter.requires_grad == key.startswith(inside)


def test_more_stages_than_there_are_is_refused():
    with pytest.raises(UserError, match=r"train.trainable 6: resnet18 has 5 stages: conv1, layer1, .*layer4; set"):
        freezing.freeze(built("resnet18"), 6)


def test_batchnorms_that_do_not_learn_stand_still():
    network = built("resnet18")
    freezing.freeze(network, 1)
    inputs = torch.randn(4, 3, 32, 32)
    for mode, moved in (("still", {"layer4"}), ("moving", {"bn1", "layer1", "layer2", "layer3", "layer4"})):
        before = {name: buffer.clone() for name, buffer in network.named_buffers() if name.endswith("running_mean")}
        freezing.train_mode(network, mode)
        network(inputs)
        changed = {n.split(".")[1] for n, b in network.named_buffers() if n in before and not torch.equal(b, before[n])}
        assert changed == moved
    freezing.freeze(network, "all")
    freezing.train_mode(network, "still")
    assert all(module.training for module in network.modules())
