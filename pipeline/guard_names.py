"""The guards by name, for those who only speak of them: what each looks for is in pipeline.guards."""

from typing import Literal

from pipeline.params import Section

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

# What may not be concluded where a guard was lifted: report and cards say it.
CONSEQUENCES: dict[Name, str] = {
    "unmatched_weights": "Most of the pretrained weights did not fit and were left out: the figures say nothing about "
    "transfer from them",
    "optimizer_mismatch": "The optimizer and the trainable tensors were not the same: the figures are none of the "
    "fine-tuning that the parameters name",
    "double_sigmoid": "The loss was taken of outputs that had passed a sigmoid already: it has a floor, and compares "
    "with no other loss",
    "frame_split": "Pictures of one recording are in training and in validation or test: figures on these say how well "
    "recordings are remembered, and not how well new ones are told apart",
    "test_as_validation": "Epoch and threshold were chosen by the test split: figures on it are too good, and nobody "
    "knows by how much",
    "augmented_evaluation": "Pictures were changed at random before they were scored: figures are partly chance, which "
    "no interval shows",
    "input_statistics": "The pretrained backbone was given inputs unlike those it knows: the figures say nothing about "
    "what it can do",
    "label_polarity": "The network's outputs are numbered fake before real, or its scores ranked reals above fakes on "
    "validation: whoever reads them by the usual rule gets answers the wrong way round",
    "reversed_vote": "Videos were decided by a vote in which small leads count the wrong way and ties are dropped: "
    "video figures do not say what the network knows",
}


class Params(Section):
    """The section `guards` of params.yaml."""

    allow: list[Name]
