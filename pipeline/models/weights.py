"""Weights that a backbone starts from: read from a file or fetched, matched tensor by tensor, counted."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from pipeline.errors import UserError


class Match(NamedTuple):
    """How many of a backbone's tensors `source` filled, of how many; `missing` names the first that it did not."""

    source: str
    filled: int
    expected: int
    given: int  # tensors in the source
    missing: str | None


def fill(backbone: torch.nn.Module, weights: dict[str, torch.Tensor], source: str) -> Match:
    """Copy what of `weights` has the name and shape of a tensor of `backbone`, and count.

    Whether that is enough is the guard `unmatched_weights` to say: a network that silently starts from random numbers
    is the commonest fault of published detectors.
    """
    own = backbone.state_dict()
    # Old files lack BatchNorm's counter of batches, which nothing uses.
    expected = [name for name in own if not name.endswith("num_batches_tracked")]
    matched = {name: weights[name] for name in expected if name in weights and weights[name].shape == own[name].shape}
    backbone.load_state_dict(own | matched)
    missing = next((name for name in expected if name not in matched), None)
    return Match(source, len(matched), len(expected), len(weights), missing)


def read(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a .safetensors or .pth file by name, without the prefix of DataParallel.

    Raises UserError where there is no such file or it holds no tensors.
    """
    if not path.is_file():
        raise UserError(f"train.pretrained: there is no file {path}; give none, default or the path of a weights file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has errors of its own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"train.pretrained: {path} cannot be read as weights: {reason}") from None
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise UserError(f"train.pretrained: {path} holds no table of tensors; save model.state_dict()")
    return {str(n).removeprefix("module."): t for n, t in content.items() if isinstance(t, torch.Tensor)}


def fetched(fetch: Callable[[], dict[str, torch.Tensor]], by_hand: str) -> dict[str, torch.Tensor]:
    """Return what `fetch` gives; where it cannot, raise UserError that says what to do `by_hand`."""
    try:
        return fetch()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"train.pretrained: the default weights could not be fetched ({reason}); {by_hand}") from None
