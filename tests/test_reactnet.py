import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pipeline.errors import UserError
from pipeline.models import reactnet, zoo
from pipeline.models.network import Head, Spec
from pipeline.models.reactnet import BinaryConv2d, Block, RPReLU, RSign, reactnet_a
from pipeline.training import phases

torch.set_num_threads(1)
NO_HIDDEN = Head(hidden=[], dropout=[], embedding=8, sigmoid=False)
STEPS = [(False, False), (False, True), (True, True)]
values = st.floats(-3, 3, allow_subnormal=False)


def gradient(function, at):
    """The gradient of the sum of `function`, each value weighted differently."""
    inputs = torch.tensor(at, dtype=torch.float64).reshape(1, -1, 1, 1).requires_grad_()
    weights = torch.arange(1.0, inputs.numel() + 1, dtype=torch.float64).reshape(1, -1, 1, 1)
    (function(inputs) * weights).sum().backward()
    return (inputs.grad / weights).flatten().tolist()


# --- counts ----------------------------------------------------------------------------------------------------------


def test_counts_are_those_of_the_paper():
    network = reactnet_a(2)
    binary = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, BinaryConv2d))
    classifier = sum(tensor.numel() for tensor in network.classifier.parameters())
    total = sum(tensor.numel() for tensor in network.parameters())
    assert (binary, total - binary - classifier, classifier) == (28_253_184, 65_408, 2_050)


def test_operations_are_those_of_the_paper():
    binary, real = reactnet_a(1000), reactnet_a(1000, False, True)
    assert reactnet.operations(binary, 224) == pytest.approx(87.1e6, abs=0.05e6)
    # 4.82 billion multiply-adds without a single sign: those of the stem and of the last layer are real in both.
    in_both = 112 * 112 * 32 * 27 + 1024 * 1000
    assert reactnet.operations(real, 224) - in_both == 64 * (reactnet.operations(binary, 224) - in_both)
    assert binary.training  # it is left as it was


# --- signs and their gradients ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=20))
def test_gradient_through_the_sign_of_an_activation(at):
    expected = [2 + 2 * x if -1 <= x < 0 else 2 - 2 * x if 0 <= x < 1 else 0 for x in at]
    assert gradient(reactnet.sign, at) == pytest.approx(expected)
    # It is the derivative of the function that stands in for the sign in the real-valued twin.
    assert gradient(reactnet.soft_sign, at) == pytest.approx(expected)
    step = 1e-6
    below, above = (reactnet.soft_sign(torch.tensor(at, dtype=torch.float64) + by) for by in (-step, step))
    assert ((above - below) / (2 * step)).tolist() == pytest.approx(expected, abs=1e-5)


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=20))
def test_gradient_through_the_scaled_sign_of_a_weight(at):
    expected = [1.0 if abs(w) <= 1 else 0.0 for w in at]
    assert gradient(reactnet.scaled_sign, at) == expected


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=20))
def test_soft_sign_is_the_polynomial(at):
    def polynomial(x):
        return -1 if x < -1 else 2 * x + x * x if x < 0 else 2 * x - x * x if x < 1 else 1

    assert reactnet.soft_sign(torch.tensor(at, dtype=torch.float64)).tolist() == pytest.approx(
        list(map(polynomial, at))
    )


def test_the_sign_of_zero_is_plus_one_everywhere():
    zeros = torch.tensor([0.0, -0.0, -1e-30, 1e-30])
    assert reactnet.sign(zeros).tolist() == [1, 1, -1, 1]
    weight = torch.tensor([0.0, -0.0, -2.0, 2.0]).reshape(1, 4, 1, 1)
    assert reactnet.scaled_sign(weight).flatten().tolist() == [1, 1, -1, 1]  # their mean magnitude is 1


def test_each_output_channel_has_its_own_scale():
    weight = torch.stack([torch.full((3, 3, 3), -0.5), torch.arange(27.0).reshape(3, 3, 3) - 13])
    scaled = reactnet.scaled_sign(weight)
    assert torch.equal(scaled[0], weight[0])
    assert torch.equal(scaled[1] > 0, weight[1] >= 0)
    assert scaled[1].abs().flatten().tolist() == pytest.approx([182 / 27] * 27)


# --- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_binary_convolution_counts_equal_bits(seed):
    random = np.random.default_rng(seed)
    signs, weight = random.choice([-1, 1], (2, 24, 3, 3)), random.normal(size=(5, 24, 1, 1))
    layer = BinaryConv2d(24, 5, 1, bias=False)
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    unlike = ((signs < 0)[:, None] != (weight[..., 0, 0] < 0)[None, :, :, None, None]).sum(2)
    expected = np.abs(weight).mean((1, 2, 3))[:, None, None] * (24 - 2 * unlike)
    np.testing.assert_allclose(layer(torch.tensor(signs, dtype=torch.float32)).detach(), expected, rtol=1e-5, atol=1e-5)


def test_shifts_and_slopes_are_learned_per_channel():
    inputs = torch.tensor([-1.0, 1.0]).reshape(1, 2, 1, 1)
    rsign = RSign(2, reactnet.sign)
    assert rsign(inputs).flatten().tolist() == [-1, 1]
    rsign.shift.data = torch.tensor([1.5, -1.5])
    assert rsign(inputs).flatten().tolist() == [1, -1]
    rprelu = RPReLU(2)
    assert rprelu(inputs).flatten().tolist() == [-0.25, 1]
    rprelu.before.data, rprelu.after.data = torch.tensor([-1.0, -3.0]), torch.tensor([10.0, 20.0])
    rprelu.prelu.weight.data = torch.tensor([0.5, 0.25])
    assert rprelu(inputs).flatten().tolist() == [0.5 * -2 + 10, 0.25 * -2 + 20]
    (rsign(inputs) * rprelu(inputs)).sum().backward()
    for parameter in (rsign.shift, rprelu.before, rprelu.after, rprelu.prelu.weight):
        assert parameter.grad.shape == (2,)


def test_a_doubling_block_has_both_shortcuts_and_duplicates_the_second():
    block = Block(4, 8, True, BinaryConv2d, reactnet.sign)
    for norm in (block.norm1, *block.norm2):
        torch.nn.init.zeros_(norm.weight)  # no convolution comes through: the shortcuts alone are left
    inputs = torch.randn(2, 4, 6, 6)
    once = functional.leaky_relu(functional.avg_pool2d(inputs, 2), 0.25)
    twice = functional.leaky_relu(once, 0.25)
    assert torch.equal(block(inputs), torch.cat([twice, twice], 1))
    torch.nn.init.ones_(block.norm2[1].weight)  # now the second half has more than the shortcut
    assert torch.equal(block(inputs)[:, :4], twice)
    assert (block(inputs)[:, 4:] - twice).abs().mean() > 0.1


@pytest.mark.parametrize(("weights", "activations"), STEPS)
def test_what_is_binary_in_each_step(weights, activations):
    network = reactnet_a(1, weights, activations)
    given = []
    convolutions = [layer for name, layer in network.named_modules() if ".conv" in name and hasattr(layer, "weight")]
    assert len(convolutions) == 13 + 13 + 5  # five blocks double the width
    assert all(isinstance(layer, BinaryConv2d) == weights for layer in convolutions)
    for layer in convolutions:
        layer.register_forward_hook(lambda layer, inputs, outputs: given.append(set(inputs[0].unique().tolist())))
    network(torch.randn(2, 3, 32, 32))
    assert len(given) == len(convolutions)
    assert all((values == {-1, 1}) == activations for values in given)


def test_binary_weights_on_real_activations_are_refused():
    with pytest.raises(ValueError, match="binary weights need binary activations"):
        reactnet_a(2, True, False)


# --- the network -----------------------------------------------------------------------------------------------------


def test_weights_start_on_both_sides_of_zero():
    for name, layer in reactnet_a(2).named_modules():
        if isinstance(layer, BinaryConv2d):
            positive = (layer.weight >= 0).float().mean((1, 2, 3))
            assert positive.min() > 0.1 and positive.max() < 0.9, name
            assert 0.45 < positive.mean() < 0.55, name


@pytest.mark.parametrize("side", [32, 33, 50, 112])
def test_pictures_of_any_side(side):
    assert reactnet_a(3).eval()(torch.zeros(2, 3, side, side)).shape == (2, 3)


def test_every_weight_is_handed_over_from_step_to_step():
    twin, step1, step2 = (
        zoo.build(Spec(model=name, outputs=1, head=NO_HIDDEN, labels=["real", "fake"]))[0]
        for name in ("reactnet_a_real", "reactnet_a_step1", "reactnet_a")
    )
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape) if tensor.is_floating_point() else tensor + 7)
    phases.hand_over(twin, step1)
    phases.hand_over(step1, step2)
    given = twin.state_dict()
    assert len(given) > 13 * 20
    assert all(torch.equal(tensor, given[name]) for name, tensor in step2.state_dict().items())
    other = zoo.build(Spec(model="resnet18", outputs=1, head=NO_HIDDEN, labels=["real", "fake"]))[0]
    with pytest.raises(UserError, match="cannot go on from the weights of resnet18"):
        phases.hand_over(other, step2)


def test_it_memorises_random_pictures():
    torch.manual_seed(0)
    network = reactnet_a(2)
    pictures = functional.interpolate(torch.randn(16, 3, 4, 4), 64)  # noise of many pixels: fine noise has one mean
    labels = torch.arange(16) % 2
    signs = {name: layer.weight >= 0 for name, layer in network.named_modules() if isinstance(layer, BinaryConv2d)}
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(7):
        loss = functional.cross_entropy(network(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        outputs = network(pictures)
    assert (outputs.argmax(1) == labels).all()
    assert functional.cross_entropy(outputs, labels) < 0.1
    # Not by the real-valued part alone: binary weights of every layer have changed sides.
    for name, before in signs.items():
        assert ((network.get_submodule(name).weight >= 0) != before).any(), name
