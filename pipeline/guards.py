"""Stop a training or an evaluation that has a known fault, unless params.yaml lifts the guard by its name.

Each guard is named after a fault of a published system (docs/source_systems.md). A function here looks for one fault
and returns what it found in words, or None; `Guards.stop` turns that into an error or, where the guard is lifted, into
a record that report and cards repeat.
"""

import dataclasses
from typing import TYPE_CHECKING

from pipeline import aggregation
from pipeline.errors import UserError
from pipeline.guard_names import Name as Name
from pipeline.guard_names import Params as Params

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import torch

    from pipeline.models.network import Label, Network
    from pipeline.models.transforms import Transform
    from pipeline.models.weights import Match
    from pipeline.models.zoo import Facts

FEWEST_MATCHED = 0.99  # share of the backbone's tensors that weights must fill
APPLIED_BY_LOSS = {"bce": "a sigmoid", "cross_entropy": "a softmax"}
# How far inputs may be from what the backbone knows. CLIP's normalisation in place of ImageNet's moves the mean by 0.5
# at most and narrows the spread to 0.82; none at all narrows it to 0.23, a mean and deviation of 0.5 to 0.46.
FARTHEST_MEAN = 1.0  # deviations of the inputs that the backbone was trained with, which have about 1
FARTHEST_SPREAD = 1.5  # times as wide or as narrow
REPEATS = 4  # more inputs made of each picture, of which one may come out equal by chance
FEWEST_GROUPS = 30  # below that an interval is a rough guess, and a network that learned nothing leans to either side
DRAWS = 200  # of the bootstrap behind the interval of the validation AUROC
VOTES = 64  # frames of the longest video that a rule for videos is tried on


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
        known = self.lifted.get(name, "")  # in another phase, or of the labels where it is the scores' turn
        if fault not in known:
            self.lifted[name] = f"{known}; {fault}" if known else fault


def unmatched_weights(match: "Match | None") -> str | None:
    """Weights that fill under 99 % of the backbone: most of it would start from random numbers."""
    if match is None or match.filled >= FEWEST_MATCHED * match.expected:
        return None
    return (
        f"train.pretrained: {match.source} holds {match.given} tensors and fills {match.filled} of the "
        f"{match.expected} of the backbone; the first that it lacks is {match.missing}: what is not filled starts from "
        "random numbers"
    )


def optimizer_mismatch(network: "Network", optimizer: "torch.optim.Optimizer") -> str | None:
    """Trainable tensors that the optimizer does not hold, and tensors that it holds and may not change."""
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    named = list(network.named_parameters())
    left_out = [name for name, tensor in named if tensor.requires_grad and id(tensor) not in held]
    frozen = [name for name, tensor in named if not tensor.requires_grad and id(tensor) in held]
    if left_out:
        return (
            f"train.optimize: {len(left_out)} tensors are trainable and not in the optimizer, {left_out[0]} the first: "
            "they would stay as they are and only look fine-tuned"
        )
    if frozen:
        return (
            f"train.trainable: the optimizer holds {len(frozen)} tensors that are frozen, {frozen[0]} the first: "
            "they would stay as they are and only look trained"
        )
    return None


def double_sigmoid(network: "Network", loss: str, inputs: "torch.Tensor") -> str | None:
    """A network that ends in a sigmoid (or softmax) in front of a loss that applies it once more.

    `inputs` are some of the network's inputs, float32 (n, 3, side, side). The last module that runs is looked at; where
    the outputs are not that module's own, something without a name was done to them, and it is a sigmoid if they stay
    within 0 and 1 for inputs a hundred times as strong.
    """
    import torch

    if loss not in APPLIED_BY_LOSS:
        return None
    ran: list[tuple[torch.nn.Module, torch.Tensor]] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda leaf, _, output: ran.append((leaf, output))) for leaf in leaves]
    was_training = network.training
    try:
        with torch.no_grad():
            outputs = network.eval()(torch.cat([100 * inputs, -100 * inputs]))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    last, given = ran[-1]
    squashing = isinstance(last, torch.nn.Sigmoid | torch.nn.Softmax)
    unnamed = given.shape != outputs.shape or not torch.equal(given, outputs)
    if not squashing and not (unnamed and bool(((outputs >= 0) & (outputs <= 1)).all())):
        return None
    end = type(last).__name__ if squashing else "a function that keeps its outputs within 0 and 1"
    return (
        f"train.head.sigmoid: the network ends in {end} and the loss {loss} applies {APPLIED_BY_LOSS[loss]} once more: "
        "no output can say more than 73 % fake, and the loss cannot fall to zero"
    )


def frame_split(learned: "pd.DataFrame") -> str | None:
    """Provenance groups with pictures in more than one part of `learned` (what dealing.parts returned)."""
    # A picture without a group belongs to its own video alone.
    source = learned["group"].where(learned["group"].fillna("") != "", learned["video"])
    groups = learned["part"].groupby([learned["dataset"], source])
    torn = learned[groups.transform("nunique") > 1]
    if torn.empty:
        return None
    copies = torn.groupby(["dataset", "key"])["part"].nunique()
    twins = f", {int((copies > 1).sum())} of them with copies in several" if (copies > 1).any() else ""
    return (
        f"train: {int((groups.nunique() > 1).sum())} of {groups.ngroups} provenance groups have pictures in more than "
        f"one of {', '.join(sorted(set(learned['part'])))} ({len(copies)} pictures{twins}; the first group is "
        f"{source[torn.index[0]]}): what is remembered of a video would count as recognised; set train.deal to null, "
        "or split.on_leak to drop where a published list does it"
    )


def test_as_validation(validate_on: str) -> str | None:
    """The test split in the place of validation: whatever is chosen by it is no test any more."""
    if validate_on != "test":
        return None
    return (
        "train.validate_on: test looks at the test split after every epoch, so that epoch and threshold are chosen by "
        "it and its figures are no test any more; set it to val"
    )


def augmented_evaluation(transform: "Transform", pictures: "torch.Tensor") -> str | None:
    """An evaluation transform that makes two different inputs of one picture.

    `pictures` are some that the network is to see, uint8 RGB (n, 3, side, side).
    """
    import torch

    from pipeline.models import transforms

    generator = torch.Generator().manual_seed(0)
    first = transforms.for_evaluation(pictures, transform, generator)
    again = (transforms.for_evaluation(pictures, transform, generator) for _ in range(REPEATS))
    if all(torch.equal(first, inputs) for inputs in again):
        return None
    return (
        "train.augment_evaluation: the evaluation transform makes different inputs of the same picture, so that "
        "validation and test figures are partly chance; set it to false"
    )


def input_statistics(transform: "Transform", facts: "Facts", pictures: "torch.Tensor", pretrained: str) -> str | None:
    """Inputs whose mean or deviation is far from what the pretrained backbone was trained with.

    `pictures`, uint8 RGB (n, 3, side, side), are made inputs by `transform`, and once more with the mean and deviation
    that `facts` name; both are compared channel by channel. Nothing is looked at where `pretrained` is none.
    """
    import torch

    from pipeline.models import transforms

    if pretrained == "none":
        return None
    own = dataclasses.replace(transform, mean=facts.mean, std=facts.std)
    given, expected = (
        transforms.for_evaluation(pictures, how, torch.Generator().manual_seed(0)) for how in (transform, own)
    )
    mean, deviation = given.mean((0, 2, 3)), given.std((0, 2, 3))
    usual_mean, usual_deviation = expected.mean((0, 2, 3)), expected.std((0, 2, 3))
    wider = deviation.clamp(min=1e-6) / usual_deviation.clamp(min=1e-6)
    spread = torch.maximum(wider, 1 / wider)
    if (mean - usual_mean).abs().max() <= FARTHEST_MEAN and spread.max() <= FARTHEST_SPREAD:
        return None
    return (
        f"train.normalise: the inputs have mean {_in_words(mean)} and deviation {_in_words(deviation)} where the "
        f"pretrained backbone knows {_in_words(usual_mean)} and {_in_words(usual_deviation)} of such pictures; "
        "set it to own"
    )


def declared_labels(labels: "list[Label]") -> str | None:
    """Outputs that mean the opposite of the house's 0 = real, 1 = fake (guard label_polarity)."""
    if labels == ["real", "fake"]:
        return None
    return (
        f"train.labels: output 0 means {labels[0]} and output 1 {labels[1]}, the reverse of 0 = real, 1 = fake: who "
        "reads the network's outputs by the usual rule gets every answer wrong; set it to [real, fake]"
    )


def reversed_scores(
    labels: "npt.NDArray[np.int64]",
    logits: "npt.NDArray[np.float64]",
    groups: "npt.NDArray[np.generic] | None" = None,
) -> str | None:
    """Validation scores that rank reals above fakes beyond chance (guard label_polarity).

    Beyond chance: the 95 % interval of the AUROC (bootstrap.auroc_interval: over provenance groups) lies below 0.5.
    `labels` (n,), `logits` of fake (n,), `groups` (n,); without groups each picture counts as one of its own. Of fewer
    than FEWEST_GROUPS groups nothing is said.
    """
    import numpy as np

    from pipeline.metrics import bootstrap

    groups = np.arange(len(labels)) if groups is None else groups
    if len(np.unique(groups)) < FEWEST_GROUPS:
        return None
    auroc, lower, upper = bootstrap.auroc_interval(labels, logits, groups, DRAWS, seed=0)
    if not upper < 0.5:  # nor where there is no interval
        return None
    return (
        f"train: validation AUROC {auroc:.3f} (95 % interval {lower:.3f} to {upper:.3f}) lies below 0.5: the scores "
        "rank reals above fakes; look whether labels are reversed, in train.labels or in the dataset"
    )


def reversed_vote(rule: str) -> str | None:
    """A rule for videos by which one more fake frame can make a video real.

    `rule` is `evaluate.videos`; a rule by votes is tried on every number of real and fake frames up to VOTES in all.
    """
    if rule in aggregation.AVERAGES:  # of scores, not of calls
        return None
    for frames in range(1, VOTES + 1):
        fewer: tuple[int, float] | None = None
        for fake in range(frames + 1):
            score = aggregation.vote(rule, frames - fake, fake)
            if score is None:
                continue
            if fewer and score < fewer[1]:
                return (
                    f"evaluate.videos: {rule} scores a video {fewer[1]:g} that has {fewer[0]} fake among {frames} "
                    f"frames, and one with {fake} fake {score:g}: more fake frames make it less fake; use vote or mean"
                )
            fewer = fake, score
    return None


def _in_words(channels: "torch.Tensor") -> str:
    return " ".join(f"{value:.2f}" for value in channels.tolist())
