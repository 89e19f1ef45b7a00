"""Build any torchvision classification network or timm network by its name, with or without pretrained weights."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from pipeline.errors import UserError

MATCHED = 0.99  # share of the backbone's tensors that given weights must fill

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Facts(NamedTuple):
    """What a network expects of its input: mean and standard deviation of RGB in 0..1, and how to scale pictures."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]


def build(name: str, pretrained: str, num_outputs: int) -> tuple[torch.nn.Module, Facts]:
    """Return the network `name` with a new head of `num_outputs` raw outputs (no sigmoid), and the input it expects.

    `name` is looked up among torchvision's classification networks, then among timm's. `pretrained`: `none` (random
    weights from torch's seed), `default` (the library's own, cached or downloaded), or the path of a .safetensors
    or .pth file. The head is always new.

    Raises UserError for an unknown name, weights that are absent or fill less than 99 % of the backbone's tensors.
    """
    make, facts, default_weights = _torchvision(name) or _timm(name) or _unknown(name)
    model = make(num_outputs)
    if pretrained != "none":
        weights = default_weights() if pretrained == "default" else _read_weights(Path(pretrained))
        source = f"the default weights of {name}" if pretrained == "default" else pretrained
        load_backbone(model, make(num_outputs + 1), weights, source)
    return model, facts


def check_input(model: torch.nn.Module, name: str, input_size: int) -> None:
    """Raise UserError unless `model` turns pictures of side `input_size` (pixels) into one number each."""
    was_training = model.training
    try:
        with torch.no_grad():
            output = model.eval()(torch.zeros(2, 3, input_size, input_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"train.model {name} does not take pictures of {input_size} px: {reason}") from None
    finally:
        model.train(was_training)
    if not isinstance(output, torch.Tensor) or output.shape != (2, 1):
        raise UserError(f"train.model {name} does not give one number per picture; choose a classification network")


def load_backbone(
    model: torch.nn.Module, other_head: torch.nn.Module, weights: dict[str, torch.Tensor], source: str
) -> None:
    """Fill `model` with the `weights` of another head; `other_head` is the same network with another output count.

    Tensors whose shapes differ between `model` and `other_head` are the head and stay as they are; all others are the
    backbone. Raises UserError when `weights` hold less than 99 % of the backbone by name and shape: a network that
    silently starts from random numbers is the commonest fault of published detectors.
    """
    shapes = {name: tensor.shape for name, tensor in other_head.state_dict().items()}
    own = model.state_dict()
    # Old files lack BatchNorm's counter of batches, which nothing uses.
    backbone = [n for n, t in own.items() if t.shape == shapes[n] and not n.endswith("num_batches_tracked")]
    matched = {n: weights[n] for n in backbone if n in weights and weights[n].shape == own[n].shape}
    if len(matched) < MATCHED * len(backbone):
        example = next(n for n in backbone if n not in matched)
        raise UserError(
            f"{source}: {len(matched)} of the network's {len(backbone)} backbone tensors match in name and shape "
            f"(the file holds {len(weights)}; {example} is missing or of another shape): it belongs to another network"
        )
    model.load_state_dict(own | matched)


Recipe = tuple[Callable[[int], torch.nn.Module], Facts, Callable[[], dict[str, torch.Tensor]]]


def _torchvision(name: str) -> Recipe | None:
    from torchvision import models

    if name not in models.list_models(module=models):
        return None
    weights = models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    # These two carry a second head for training and normalise once more inside when pretrained.
    extra: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        extra = {"aux_logits": False, "init_weights": True, "transform_input": True}

    def download() -> dict[str, torch.Tensor]:
        place = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
        return _fetched(
            lambda: weights.get_state_dict(progress=False, check_hash=True), f"save {weights.url} as {place}"
        )

    facts = _facts(preset.mean, preset.std, preset.interpolation.value)
    return (lambda outputs: models.get_model(name, weights=None, num_classes=outputs, **extra)), facts, download


def _timm(name: str) -> Recipe | None:
    import timm

    if not timm.is_model(name):
        return None
    cfg = timm.get_pretrained_cfg(name)
    facts = _facts(cfg.mean, cfg.std, cfg.interpolation) if cfg else _facts(_IMAGENET_MEAN, _IMAGENET_STD, "bilinear")

    def download() -> dict[str, torch.Tensor]:
        if cfg is None or not (cfg.hf_hub_id or cfg.url):
            raise UserError(f"train.pretrained: timm publishes no weights for {name}; set it to none or to a file")
        url = f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/model.safetensors" if cfg.hf_hub_id else cfg.url
        return _fetched(
            lambda: dict(timm.create_model(name, pretrained=True).state_dict()), f"set it to the path of {url}"
        )

    return (lambda outputs: timm.create_model(name, pretrained=False, num_classes=outputs)), facts, download


def _unknown(name: str) -> Recipe:
    import timm
    from torchvision import models

    known = sorted({*models.list_models(module=models), *timm.list_models()})
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "see torchvision.models and timm.list_models()"
    raise UserError(f"train.model: neither torchvision nor timm has a network {name!r}; {hint}")


def _fetched(fetch: Callable[[], dict[str, torch.Tensor]], by_hand: str) -> dict[str, torch.Tensor]:
    try:
        return fetch()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"train.pretrained: the default weights could not be fetched ({reason}); {by_hand}") from None


def _facts(mean: Any, std: Any, interpolation: str) -> Facts:
    (r, g, b), (sr, sg, sb) = mean, std
    return Facts((r, g, b), (sr, sg, sb), "bicubic" if interpolation == "bicubic" else "bilinear")


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
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
