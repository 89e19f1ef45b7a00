"""A network for telling real from fake: a backbone that turns pictures into features, and a head on top of it."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from pipeline.params import Section

Label = Literal["real", "fake"]


class Head(Section):
    """What stands on the backbone's features: the section `train.head` of params.yaml explains each knob."""

    hidden: list[Annotated[int, Field(ge=2, le=4096)]]
    dropout: list[Annotated[float, Field(ge=0, lt=1)]]
    embedding: Annotated[int, Field(ge=3, le=4096)]  # of two, Spec.outputs would be those of two labels
    sigmoid: bool

    @model_validator(mode="after")
    def _one_dropout_per_layer(self) -> "Head":
        if len(self.dropout) not in (0, len(self.hidden)):
            raise ValueError("dropout needs one share per hidden layer, or none at all")
        return self


class Spec(Section):
    """All that is needed to build a network anew: model.json keeps it."""

    model: str
    outputs: int  # 1: the logit of `labels[1]`; 2: one logit per label; more: an embedding
    head: Head
    labels: list[Label]  # what the outputs 0 and 1 mean; the house's order is real, fake

    @property
    def fake_output(self) -> int:
        """The output, 0 or 1, that means fake."""
        return self.labels.index("fake")


class Network(torch.nn.Module):
    """`head(backbone(inputs))`: raw outputs (n, outputs) for float32 inputs (n, 3, side, side).

    `backbone` gives features (n, width). Attributes: `backbone`, `head`, `spec`.
    """

    def __init__(self, backbone: torch.nn.Module, width: int, spec: Spec) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = make_head(width, spec.outputs, spec.head)
        self.spec = spec

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return raw outputs (n, outputs)."""
        outputs: torch.Tensor = self.head(self.backbone(inputs))
        return outputs

    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what nearest neighbours are searched in: an embedding head's outputs, else the backbone's features."""
        features: torch.Tensor = self.backbone(inputs)
        return self.head(features) if self.spec.outputs > 2 else features

    def fake_logit(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the logit of fake (n,) for raw `outputs` (n, 1 or 2) of this network, whatever their meaning."""
        if self.spec.outputs == 2:
            logit = outputs[:, 1] - outputs[:, 0]
        else:
            logit = torch.logit(outputs[:, 0], eps=1e-7) if self.spec.head.sigmoid else outputs[:, 0]  # finite
        return logit if self.spec.fake_output == 1 else -logit

    def target(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of the output that each picture should give, for `labels` (n,) with 0 = real, 1 = fake."""
        return labels if self.spec.fake_output == 1 else 1 - labels


def make_head(width: int, outputs: int, head: Head) -> torch.nn.Sequential:
    """Return linear layers from `width` features to `outputs`; each hidden one with BatchNorm, ReLU and dropout."""
    layers: list[torch.nn.Module] = []
    shares = head.dropout or [0.0] * len(head.hidden)
    for (wide, narrow), share in zip(pairwise([width, *head.hidden]), shares, strict=True):
        layers += [
            torch.nn.Linear(wide, narrow),
            torch.nn.BatchNorm1d(narrow),
            torch.nn.ReLU(),
            torch.nn.Dropout(share),
        ]
    layers.append(torch.nn.Linear([width, *head.hidden][-1], outputs))
    if head.sigmoid:
        layers.append(torch.nn.Sigmoid())
    return torch.nn.Sequential(*layers)
