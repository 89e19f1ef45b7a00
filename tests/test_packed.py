import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.models import packed, reactnet, zoo
from pipeline.models.network import Head, Spec

torch.set_num_threads(1)


def build(model="reactnet_a", outputs=2, hidden=()):
    head = Head(hidden=list(hidden), dropout=[], embedding=8, sigmoid=False)
    torch.manual_seed(1)
    return zoo.build(Spec(model=model, outputs=outputs, head=head, labels=["real", "fake"]))[0]


def trained(**spec):
    """A network with every shift, slope and statistic away from where it started, and some weights exactly zero."""
    network = build(**spec)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn(parameter.shape)
        for layer in network.modules():
            if isinstance(layer, reactnet.BinaryConv2d):
                layer.weight[0, 0], layer.weight[-1, 0] = 0.0, -0.0
        network.train()(torch.randn(4, 3, 64, 64))  # for the running statistics
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return trained()


@pytest.fixture(scope="module")
def whole(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "packed.safetensors"
    packed.save(network, path)
    return path


def test_outputs_are_bit_equal(network, whole):
    loaded = packed.load(whole)
    assert loaded.spec == network.spec
    assert not loaded.training
    for side in (32, 75):
        pictures = torch.randn(3, 3, side, side)
        with torch.inference_mode():
            outputs = network(pictures)
            assert torch.equal(loaded(pictures), outputs)
        assert (outputs[0] != outputs[1]).all()


def test_outputs_are_bit_equal_with_another_head(tmp_path):
    other = trained(outputs=1, hidden=[8])
    packed.save(other, tmp_path / "packed.safetensors")
    pictures = torch.randn(2, 3, 32, 32)
    assert torch.equal(packed.load(tmp_path / "packed.safetensors")(pictures), other(pictures))


def test_a_binary_weight_takes_one_bit(network, whole):
    size = whole.stat().st_size
    tensors = safetensors.torch.load_file(whole)
    bits = sum(tensor.numel() for name, tensor in tensors.items() if name.endswith(".bits"))
    real = sum(tensor.nbytes for name, tensor in tensors.items() if not name.endswith(".bits"))
    assert bits == 28_253_184 // 8
    # Real parameters, BatchNorm's running statistics (one pair a channel) and scales: some 0.4 MB.
    scales, pairs, counters = 4960 + 5952, 32 + 4960 + 5952, 32
    assert real == 4 * (65_408 + 2_050 + 2 * pairs + scales) + 8 * counters
    assert bits + real < size < bits + real + 50_000  # the rest are names and shapes
    assert size < 4_000_000  # 3.8 MiB; the same weights as float32 take 113 MB


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_bits_and_scales_are_the_scaled_signs(out, width, kernel, seed):
    weight = torch.from_numpy(
        np.random.default_rng(seed).integers(-2, 3, (out, width, kernel, kernel)) * np.float32(0.3)
    )
    bits = torch.from_numpy(np.packbits(weight.numpy() >= 0))
    assert bits.numel() == -(-weight.numel() // 8)
    unpacked = packed._unpacked(bits, reactnet.scale(weight).flatten(), weight.shape)
    assert torch.equal(unpacked, reactnet.scaled_sign(weight))


def test_only_what_has_binary_weights_is_packed(network, tmp_path):
    assert packed.is_binary(network)
    real = build("reactnet_a_step1")
    assert not packed.is_binary(real)
    with pytest.raises(ValueError, match="reactnet_a_step1 has no binary weights"):
        packed.save(real, tmp_path / "packed.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_what_was_there(network, tmp_path, monkeypatch):
    path = tmp_path / "packed.safetensors"
    path.write_bytes(b"as it was")

    def full(tensors, part, metadata):
        part.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        packed.save(network, path)
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, b"as it was")]


def flip_a_bit(content):
    damaged = bytearray(content)
    damaged[-1000] ^= 1
    return bytes(damaged)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "cannot be read as a packed network"),
        (lambda content: content[:1000], "cannot be read as a packed network"),
        (lambda content: b"", "cannot be read as a packed network"),
        (lambda content: b"not weights at all", "cannot be read as a packed network"),
        (flip_a_bit, "is damaged: its tensors are not those that were written"),
    ],
)
def test_damaged_files_are_refused(whole, damage, message, tmp_path):
    path = tmp_path / "packed.safetensors"
    path.write_bytes(damage(whole.read_bytes()))
    with pytest.raises(UserError, match=f"packed.safetensors {message}"):
        packed.load(path)


def test_files_of_others_are_refused(network, whole, tmp_path):
    with pytest.raises(UserError, match=r"absent.safetensors is missing"):
        packed.load(tmp_path / "absent.safetensors")
    path = tmp_path / "other.safetensors"
    for facts in (None, {"format": "pt"}, {"spec": "{}"}):
        safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata=facts)
        with pytest.raises(UserError, match=r"other.safetensors is no packed network"):
            packed.load(path)
    # Whole, but of another network than it says.
    with safetensors.safe_open(whole, framework="pt") as file:
        facts = file.metadata()
    tensors = safetensors.torch.load_file(whole)
    wrong = network.spec.model_copy(update={"outputs": 1}).model_dump_json()
    safetensors.torch.save_file(tensors, path, metadata=facts | {"spec": wrong})
    with pytest.raises(UserError, match=r"other tensors than reactnet_a has: size mismatch for head.0.bias"):
        packed.load(path)
