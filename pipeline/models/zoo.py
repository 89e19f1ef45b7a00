"""Build any torchvision classification network or timm network by its name, with a head of our own; docs/models.md."""

import re
import sys
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from pipeline.errors import UserError
from pipeline.models import weights
from pipeline.models.network import Network, Spec
from pipeline.models.weights import Tensors

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

# Networks that neither library has, by name.
_OWN = ("mesoinception4", "reactnet_a", "reactnet_a_real", "reactnet_a_step1")


class Facts(NamedTuple):
    """What a network expects of its input: side in pixels, mean and deviation of RGB in 0..1, how to scale pictures."""

    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]


class Entry(NamedTuple):
    """A network of the zoo.

    `make` builds it without its classifying layer and says how many features it gives; `default` gives its published
    weights; `renamed` gives tensors of a file the names and shapes that they have in the backbone.
    """

    make: Callable[[], tuple[torch.nn.Module, int]]
    facts: Facts
    default: Callable[[], Tensors]
    renamed: Callable[[Tensors, torch.nn.Module], Tensors]


def build(spec: Spec) -> tuple[Network, Facts]:
    """Return the network that `spec` describes, with random weights from torch's seed, and the input it expects.

    `spec.model` is looked up among torchvision's classification networks, then among timm's, then among our own.
    Raises UserError for an unknown name.
    """
    entry = _entry(spec.model)
    backbone, width = entry.make()
    return Network(backbone, width, spec), entry.facts


def load_pretrained(network: Network, pretrained: str) -> weights.Match | None:
    """Fill the backbone: `none` leaves it as it is (and returns None), `default` takes the library's own weights
    (cached or downloaded), else it is the path of a file. The head stays new.

    Raises UserError for weights that are absent or cannot be read; whether enough of them fit is for the caller to say.
    """
    if pretrained == "none":
        return None
    name = network.spec.model
    entry = _entry(name)
    default = pretrained == "default"
    given = entry.default() if default else weights.read(Path(pretrained))
    source = f"the default weights of {name}" if default else pretrained
    return weights.fill(network.backbone, entry.renamed(given, network.backbone), source)


def check_input(network: torch.nn.Module, name: str, input_size: int) -> None:
    """Raise UserError unless `network` turns pictures of side `input_size` (pixels) into one row of numbers each."""
    was_training = network.training
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(2, 3, input_size, input_size))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"train.model {name} does not take pictures of {input_size} px: {reason}") from None
    finally:
        network.train(was_training)
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 2:
        raise UserError(f"train.model {name} does not give one row per picture; choose a classification network")


def _entry(name: str) -> Entry:
    return _torchvision(name) or _timm(name) or _own(name) or _unknown(name)


# --- torchvision -----------------------------------------------------------------------------------------------------


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
    return Entry(
        lambda: _without_classifier(lambda classes: models.get_model(name, weights=None, num_classes=classes, **extra)),
        _facts(preset.crop_size[0], preset.mean, preset.std, preset.interpolation.value),
        lambda: weights.fetched(published.url, _hub() / published.url.rsplit("/", 1)[1], name),
        _densenet_names if name.startswith("densenet") else _as_they_are,
    )


def _without_classifier(make: Callable[[int], torch.nn.Module]) -> tuple[torch.nn.Module, int]:
    """Return the network that `make` builds for a number of classes, with the identity in place of the layer that
    gives them, and how many features that layer took.

    It is the one layer whose tensors change with the number of classes, whatever else in the network looks like a
    classifier: a second build shows which, on torch's meta device, where it takes neither memory nor time.
    """
    network = make(2)
    try:
        with torch.device("meta"):
            other = make(3).state_dict()
    except NotImplementedError:  # RegNet computes its widths with tensors
        other = make(3).state_dict()
    own = network.state_dict()
    changed = {tensor.rpartition(".")[0] for tensor in own if own[tensor].shape != other[tensor].shape}
    if len(changed) != 1:
        raise UserError("train.model: this network has no single classifying layer; choose another network")
    name = changed.pop()
    network.set_submodule(name, torch.nn.Identity())
    return network, own[f"{name}.weight"].shape[1]  # linear: (outputs, inputs), convolution: (outputs, inputs, 1, 1)


def _densenet_names(given: Tensors, _: torch.nn.Module) -> Tensors:
    """Return torchvision's published DenseNet weights by the names that its modules have now: norm1 for norm.1."""
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): given[name] for name in given}


def _as_they_are(given: Tensors, _: torch.nn.Module) -> Tensors:
    return given


# --- timm ------------------------------------------------------------------------------------------------------------


def _timm(name: str) -> Entry | None:
    import timm

    if not timm.is_model(name):
        return None
    try:
        cfg = timm.get_pretrained_cfg(name) or timm.get_pretrained_cfg(_todays_name(name))
    except RuntimeError as error:  # a tag that does not exist
        raise UserError(f"train.model {name}: {error}") from None
    facts = _facts(224, _IMAGENET_MEAN, _IMAGENET_STD, "bilinear")
    if cfg:
        facts = _facts(cfg.input_size[1], cfg.mean, cfg.std, cfg.interpolation)
    return Entry(partial(_make_timm, name), facts, partial(_fetch_timm, name, cfg), partial(_timm_names, name))


def _todays_name(name: str) -> str:
    """Return the name with its tag that timm gives today to a network that it also knows by an older `name`."""
    import timm

    with torch.device("meta"), warnings.catch_warnings():  # timm warns of the old name; it is built with it once more
        warnings.simplefilter("ignore")
        known: Any = timm.create_model(name, pretrained=False, num_classes=0).pretrained_cfg
    return ".".join(part for part in (known.get("architecture") or name, known.get("tag")) if part)


def _make_timm(name: str) -> tuple[torch.nn.Module, int]:
    import timm

    backbone = timm.create_model(name, pretrained=False, num_classes=0)
    width: int = backbone.head_hidden_size  # type: ignore[assignment]  # torch knows no attribute but tensors
    return backbone, width


def _fetch_timm(name: str, cfg: Any) -> Tensors:
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    if cfg is None or cfg.custom_load or not (cfg.hf_hub_id or cfg.url):
        raise UserError(f"train.pretrained: timm publishes no weights for {name}; set it to none or to a file")
    if not cfg.hf_hub_id:
        return weights.fetched(cfg.url, _hub() / cfg.url.rsplit("/", 1)[1], name)
    file = cfg.hf_hub_filename or "model.safetensors"
    cached = try_to_load_from_cache(cfg.hf_hub_id, file)
    if isinstance(cached, str):
        return weights.read(Path(cached))
    # Not by the hub's own client: without a network it tries again for most of a minute.
    return weights.fetched(hf_hub_url(cfg.hf_hub_id, file), _hub() / f"{name}{Path(file).suffix}", name)


def _timm_names(name: str, given: Tensors, backbone: torch.nn.Module) -> Tensors:
    """Return published weights as timm itself would load them: names of the authors' own code become timm's."""
    import timm

    module = sys.modules[timm.model_entrypoint(name).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None) or getattr(module, "_filter_fn", None)
    try:
        return given if convert is None else convert(given, backbone)
    except Exception:  # weights that it was not made for: whatever it then stumbles over
        return given


# --- our own ---------------------------------------------------------------------------------------------------------


def _own(name: str) -> Entry | None:
    if name not in _OWN:
        return None
    if name == "mesoinception4":
        from pipeline.models.mesoinception import mesoinception4

        make: Callable[[int], torch.nn.Module] = mesoinception4
        facts = _facts(256, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")  # as in the paper: 256 pixels, 0 to 1
    else:
        from pipeline.models.reactnet import reactnet_a

        binary_weights, binary_activations = name == "reactnet_a", name != "reactnet_a_real"
        make = partial(reactnet_a, binary_weights=binary_weights, binary_activations=binary_activations)
        facts = _facts(224, _IMAGENET_MEAN, _IMAGENET_STD, "bilinear")

    def default() -> Tensors:
        raise UserError(f"train.pretrained: nobody publishes weights for {name}; set it to none or to a file")

    return Entry(lambda: _without_classifier(make), facts, default, _as_they_are)


def _unknown(name: str) -> Entry:
    import timm
    from torchvision import models

    known = sorted({*models.list_models(module=models), *timm.list_models(), *_OWN})
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "see torchvision.models and timm.list_models()"
    raise UserError(f"train.model: neither torchvision nor timm has a network {name!r}; {hint}")


def _hub() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _facts(side: int, mean: Any, std: Any, interpolation: str) -> Facts:
    (r, g, b), (sr, sg, sb) = mean, std
    return Facts(side, (r, g, b), (sr, sg, sb), "bicubic" if interpolation == "bicubic" else "bilinear")
