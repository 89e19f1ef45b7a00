"""Weights that a backbone starts from: read from a file or fetched, matched tensor by tensor, counted."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from pipeline.errors import UserError, first_line

PATIENCE = 30  # seconds that a server may be silent
WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training scripts put a table of tensors under
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile

Tensors = dict[str, torch.Tensor]


class Match(NamedTuple):
    """How many of a backbone's tensors `source` filled, of how many; `missing` names the first that it did not."""

    source: str
    filled: int
    expected: int
    given: int  # tensors in the source
    missing: str | None


def fill(backbone: torch.nn.Module, weights: Tensors, source: str) -> Match:
    """Copy what of `weights` has the name and shape of a tensor of `backbone`, and count.

    Names of older versions of a network are understood where its own modules understand them. Whether what was filled
    is enough is the guard `unmatched_weights` to say: a network that silently starts from random numbers is the
    commonest fault of published detectors.
    """
    own = backbone.state_dict()
    fitting = {name: tensor for name, tensor in weights.items() if name not in own or own[name].shape == tensor.shape}
    try:
        lacking = set(backbone.load_state_dict(fitting, strict=False).missing_keys)
    except (RuntimeError, ValueError):  # old names, but of tensors of another size: what has its name is left
        fitting = {name: tensor for name, tensor in fitting.items() if name in own}
        lacking = own.keys() - fitting.keys()
        own.update(fitting)
        backbone.load_state_dict(own)
    # Old files lack BatchNorm's counter of batches, which nothing uses.
    expected = [name for name in own if not name.endswith("num_batches_tracked")]
    missing = [name for name in expected if name in lacking]
    return Match(source, len(expected) - len(missing), len(expected), len(weights), missing[0] if missing else None)


def read(path: Path) -> Tensors:
    """Return the tensors of a .safetensors or .pth file by name.

    Wrappers and prefixes that training scripts put around them are taken off; of a network stored by this package
    (model.safetensors) the backbone's tensors are returned. Raises UserError where there is no such file or it holds
    no tensors.
    """
    if not path.is_file():
        raise UserError(f"train.pretrained: there is no file {path}; give none, default or the path of a weights file")
    content = _content(path)
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    table = content if isinstance(content, dict) else {}
    tensors = {str(name): tensor for name, tensor in table.items() if isinstance(tensor, torch.Tensor)}
    if not tensors:
        raise UserError(f"train.pretrained: {path} holds no table of tensors; save model.state_dict()")
    for prefix in PREFIXES:
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    ours = {n.removeprefix("backbone."): tensor for n, tensor in tensors.items() if n.startswith("backbone.")}
    return ours or tensors


def fetched(url: str, place: Path, network: str) -> Tensors:
    """Return the tensors of the file at `url`, which is kept as `place`; where that is there, nothing is fetched.

    Raises UserError, which says what to place where, when it cannot be fetched.
    """
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = torch.hub.HASH_REGEX.search(place.name)  # of files that carry the start of their SHA-256 in their name
        try:
            with _impatient():
                torch.hub.download_url_to_file(url, str(place), digest and digest[1], progress=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"train.pretrained: the default weights of {network} are not on this machine and could not be fetched "
                f"({first_line(error)}); place {url} as {place}, or name your copy of it in train.pretrained"
            ) from None
    return read(place)


@contextmanager
def _impatient() -> Iterator[None]:
    """Give up on a server that does not answer, where torch would wait for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _content(path: Path) -> object:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # each reader has errors of its own, and torch's advice to read files that may run programs
        raise UserError(
            f"train.pretrained: {path} cannot be read as weights; give a .safetensors file, or one that "
            "torch.save wrote of tensors alone (model.state_dict())"
        ) from None
