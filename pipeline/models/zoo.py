"""Build any torchvision classification network or timm network by its name, with a head of our own."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from pipeline.errors import UserError
from pipeline.models import weights
from pipeline.models.network import Network, Spec

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Facts(NamedTuple):
    """What a network expects of its input: side in pixels, mean and deviation of RGB in 0..1, how to scale pictures."""

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]


class Entry(NamedTuple):
    """A network of the zoo: `make` builds it for a number of classes, `default` gives its published weights."""

    make: Callable[[int], torch.nn.Module]
    facts: Facts
    default: Callable[[], dict[str, torch.Tensor]]


def build(spec: Spec) -> tuple[Network, Facts]:
    """Return the network that `spec` describes, with random weights from torch's seed, and the input it expects.

    `spec.model` is looked up among torchvision's classification networks, then among timm's.
    Raises UserError for an unknown name.
    """
    entry = _entry(spec.model)
    backbone = entry.make(2)
    width = _cut_off_classifier(backbone, 2)
    return Network(backbone, width, spec), entry.facts


def load_pretrained(network: Network, pretrained: str) -> weights.Match | None:
    """Fill the backbone: `none` leaves it as it is (and returns None), `default` takes the library's own weights
    (cached or downloaded), else it is the path of a file. The head stays new.

    Raises UserError for weights that are absent or cannot be read; whether enough of them fit is for the caller to say.
    """
    if pretrained == "none":
        return None
    name = network.spec.model
    if pretrained == "default":
        return weights.fill(network.backbone, _entry(name).default(), f"the default weights of {name}")
    return weights.fill(network.backbone, weights.read(Path(pretrained)), pretrained)


def _cut_off_classifier(backbone: torch.nn.Module, classes: int) -> int:
    """Put the identity in place of the last layer that gives `classes` outputs; return how many features it took."""
    for name, layer in reversed(list(backbone.named_modules())):
        if isinstance(layer, torch.nn.Linear) and layer.out_features == classes:
            width = layer.in_features
        elif isinstance(layer, torch.nn.Conv2d) and layer.out_channels == classes:
            width = layer.in_channels
        else:
            continue
        parent, _, last = name.rpartition(".")
        setattr(backbone.get_submodule(parent), last, torch.nn.Identity())
        return width
    raise UserError("train.model: this network has no classifying layer; choose a classification network")


def check_input(network: torch.nn.Module, name: str, input_size: int) -> None:
    """Raise UserError unless `network` turns pictures of side `input_size` (pixels) into one row of numbers each."""
    was_training = network.training
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(2, 3, input_size, input_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"train.model {name} does not take pictures of {input_size} px: {reason}") from None
    finally:
        network.train(was_training)
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 2:
        raise UserError(f"train.model {name} does not give one row per picture; choose a classification network")


def _entry(name: str) -> Entry:
    return _torchvision(name) or _timm(name) or _unknown(name)


def _torchvision(name: str) -> Entry | None:
    from torchvision import models

    if name not in models.list_models(module=models):
        return None
    published = models.get_model_weights(name).DEFAULT
    preset = published.transforms()
    # These two carry a second head for training and normalise once more inside when pretrained.
    extra: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        extra = {"aux_logits": False, "init_weights": True, "transform_input": True}

    def download() -> dict[str, torch.Tensor]:
        place = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rsplit("/", 1)[1]
        return weights.fetched(
            lambda: published.get_state_dict(progress=False, check_hash=True), f"save {published.url} as {place}"
        )

    facts = _facts(preset.crop_size[0], preset.mean, preset.std, preset.interpolation.value)
    return Entry(lambda classes: models.get_model(name, weights=None, num_classes=classes, **extra), facts, download)


def _timm(name: str) -> Entry | None:
    import timm

    if not timm.is_model(name):
        return None
    cfg = timm.get_pretrained_cfg(name)
    facts = _facts(224, _IMAGENET_MEAN, _IMAGENET_STD, "bilinear")
    if cfg:
        facts = _facts(cfg.input_size[1], cfg.mean, cfg.std, cfg.interpolation)

    def download() -> dict[str, torch.Tensor]:
        if cfg is None or not (cfg.hf_hub_id or cfg.url):
            raise UserError(f"train.pretrained: timm publishes no weights for {name}; set it to none or to a file")
        url = f"https://huggingface.co/{cfg.hf_hub_id}/resolve/main/model.safetensors" if cfg.hf_hub_id else cfg.url
        return weights.fetched(
            lambda: dict(timm.create_model(name, pretrained=True).state_dict()), f"set it to the path of {url}"
        )

    return Entry(lambda classes: timm.create_model(name, pretrained=False, num_classes=classes), facts, download)


def _unknown(name: str) -> Entry:
    import timm
    from torchvision import models

    known = sorted({*models.list_models(module=models), *timm.list_models()})
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "see torchvision.models and timm.list_models()"
    raise UserError(f"train.model: neither torchvision nor timm has a network {name!r}; {hint}")


def _facts(side: int, mean: Any, std: Any, interpolation: str) -> Facts:
    (r, g, b), (sr, sg, sb) = mean, std
    return Facts(side, (r, g, b), (sr, sg, sb), "bicubic" if interpolation == "bicubic" else "bilinear")
