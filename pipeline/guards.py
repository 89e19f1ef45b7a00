"""Stop a training or an evaluation that has a known fault, unless params.yaml lifts the guard by its name.

Each guard is named after a fault of a published system (docs/source_systems.md). A function here looks for one fault
and returns what it found in words, or None; `Guards.stop` turns that into an error or, where the guard is lifted, into
a record that report and cards repeat.
"""

from typing import TYPE_CHECKING, Literal

from pipeline.errors import UserError
from pipeline.params import Section

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import torch

    from pipeline.models.network import Label, Network
    from pipeline.models.transforms import Transform
    from pipeline.models.weights import Match
    from pipeline.models.zoo import Facts

Name = Literal[
    "unmatched_weights",  # a checkpoint that fills under 99 % of the backbone's tensors
    "optimizer_mismatch",  # trainable tensors that the optimizer does not hold, or the reverse
    "double_sigmoid",  # a sigmoid in front of a loss that applies one
    "frame_split",  # a provenance group on both sides of a split
    "test_as_validation",  # looking at the test split after every epoch
    "augmented_evaluation",  # the same picture giving two different inputs in evaluation
    "input_statistics",  # inputs with a mean or spread that the pretrained backbone never saw
    "label_polarity",  # outputs or scores that mean real where the house says fake
    "reversed_vote",  # a video that looks less fake when one more of its frames looks fake
]


class Params(Section):
    """The section `guards` of params.yaml."""

    allow: list[Name]


class Guards:
    """The guards of one run: `allow` names those that may be lifted, `lifted` maps each that had to be to its fault."""

    def __init__(self, allow: list[Name]) -> None:
        self._allow = allow
        self.lifted: dict[Name, str] = {}

    def stop(self, name: Name, fault: str | None) -> None:
        """Raise UserError for the `fault`, if there is one; keep it in `lifted` where the guard is lifted."""
        if fault is None:
            return
        if name not in self._allow:
            raise UserError(f"{fault} (to go on all the same, add {name} to guards.allow in params.yaml)")
        self.lifted[name] = fault


def unmatched_weights(match: "Match | None") -> str | None:
    """Weights that fill under 99 % of the backbone: most of it would start from random numbers."""
    raise NotImplementedError


def optimizer_mismatch(network: "Network", optimizer: "torch.optim.Optimizer") -> str | None:
    """Trainable tensors that the optimizer does not hold, and tensors that it holds and may not change."""
    raise NotImplementedError


def double_sigmoid(network: "Network", loss: str, inputs: "torch.Tensor") -> str | None:
    """A network that ends in a sigmoid (or softmax) in front of a loss that applies it once more."""
    raise NotImplementedError


def frame_split(learned: "pd.DataFrame") -> str | None:
    """Provenance groups with pictures in more than one part of `learned` (what dealing.parts returned)."""
    raise NotImplementedError


def test_as_validation(validate_on: str) -> str | None:
    """The test split in the place of validation: whatever is chosen by it is no test any more."""
    raise NotImplementedError


def augmented_evaluation(transform: "Transform", pictures: "torch.Tensor") -> str | None:
    """An evaluation transform that makes two different inputs of one picture."""
    raise NotImplementedError


def input_statistics(transform: "Transform", facts: "Facts", pictures: "torch.Tensor", pretrained: str) -> str | None:
    """Inputs whose mean or deviation is far from what the pretrained backbone was trained with."""
    raise NotImplementedError


def declared_labels(labels: "list[Label]") -> str | None:
    """Outputs that mean the opposite of the house's 0 = real, 1 = fake (guard label_polarity)."""
    raise NotImplementedError


def reversed_scores(labels: "npt.NDArray[np.int64]", logits: "npt.NDArray[np.float64]") -> str | None:
    """Validation scores that rank reals above fakes beyond chance (guard label_polarity)."""
    raise NotImplementedError


def reversed_vote(rule: str) -> str | None:
    """A rule for videos by which one more fake frame can make a video real."""
    raise NotImplementedError
