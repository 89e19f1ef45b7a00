"""What a training may be asked for: the part of the section `train` of params.yaml that the loop reads."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.models.augmentation import Augmentation
from pipeline.params import Section

Weight = Annotated[float, Field(gt=0)]
Monitor = Literal["loss", "auroc", "accuracy", "train_loss"]


class Distillation(Section):
    """Learning from another network's outputs (Hinton et al., arXiv 1503.02531)."""

    teacher: int | str  # number of an earlier phase, from 0, or the folder of a stored network
    temperature: Annotated[float, Field(gt=0, le=100)]
    weight: Annotated[float, Field(ge=0, le=1)]  # of the teacher's loss; that of the labels has the rest


class Recipe(Section):
    """How to train; the section `train` of params.yaml explains each."""

    trainable: Literal["all", "head", "layer_norm"] | Annotated[int, Field(ge=1, le=100)]
    frozen_batchnorm: Literal["still", "moving"]
    loss: Literal["bce", "cross_entropy", "triplet"]
    class_weights: Literal["balanced"] | Annotated[list[Weight], Field(min_length=2, max_length=2)] | None
    triplet_margin: Annotated[float, Field(gt=0, le=10)]
    distill: Distillation | None
    epochs: Annotated[int, Field(ge=1, le=500)]
    patience: Annotated[int, Field(ge=1, le=500)] | None
    monitor: Monitor
    keep: Literal["best", "last"]
    batch_size: Annotated[int, Field(ge=2, le=1024)]
    accumulate: Annotated[int, Field(ge=1, le=256)]
    optimizer: Literal["adamw", "adam", "sgd"]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    optimize: Literal["trainable", "head"]
    learning_rate: Annotated[float, Field(ge=0.000001, le=1)]
    weight_decay: Annotated[float, Field(ge=0, le=0.5)]
    schedule: Literal["constant", "cosine", "linear", "step"]
    warmup: Annotated[float, Field(ge=0, le=100)]
    step_epochs: Annotated[int, Field(ge=1, le=500)]
    step_factor: Annotated[float, Field(gt=0, le=1)]
    precision: Literal["float32", "bfloat16", "float16"]
    channels_last: bool
    ema: Annotated[float, Field(gt=0, lt=1)] | None
    augment: Augmentation
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _an_embedding_is_no_score(self) -> "Recipe":
        if self.loss == "triplet" and self.distill is not None:
            raise ValueError(
                "distill needs the loss bce or cross_entropy: an embedding says nothing of a teacher's score"
            )
        if self.loss == "triplet" and self.monitor in ("auroc", "accuracy"):
            raise ValueError(
                f"an embedding has no {self.monitor}; with the loss triplet, monitor is loss or train_loss"
            )
        return self
