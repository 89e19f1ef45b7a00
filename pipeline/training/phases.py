"""Several trainings one after the other: a real-valued network before a binary one, a head before the whole network.

`train.phases` of params.yaml lists what each changes of the section `train`; every phase starts from the weights that
the one before it kept, tensor by tensor, or `afresh`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, ValidationError, field_validator

from pipeline import guards
from pipeline.errors import UserError
from pipeline.guards import Guards
from pipeline.models import freezing, stored, zoo
from pipeline.models.network import Head, Label, Network, Spec
from pipeline.models.transforms import Transform
from pipeline.params import in_words, overlay
from pipeline.reading import Samples
from pipeline.training import loop
from pipeline.training.loop import Trained
from pipeline.training.recipe import Recipe

OpenPart = Callable[[str, int], Samples]  # (train or val, side in pixels that is needed) -> its pictures
LOOKED_AT = 64  # pictures that the guards of the input look at


class Phase(Recipe):
    """One training: which network, from which weights, on which input, and how (Recipe)."""

    model: str
    pretrained: str
    labels: Annotated[list[Label], Field(min_length=2, max_length=2)]
    head: Head
    input_size: Annotated[int, Field(ge=32, le=1024)] | None
    crop: Annotated[float, Field(ge=0.5, le=1)]
    normalise: Literal["own", "none"]
    augment_evaluation: bool
    start: Literal["previous", "afresh"] = "previous"

    @field_validator("labels")
    @classmethod
    def _both_labels(cls, labels: list[Label]) -> list[Label]:
        if len(set(labels)) < 2:
            raise ValueError("name both, real and fake")
        return labels

    @property
    def spec(self) -> Spec:
        """The network to build: the loss decides how many outputs it has."""
        outputs = {"bce": 1, "cross_entropy": 2, "triplet": self.head.embedding}[self.loss]
        return Spec(model=self.model, outputs=outputs, head=self.head, labels=self.labels)

    def transform(self, facts: zoo.Facts) -> Transform:
        """Return what turns stored pictures into this network's input."""
        own = self.normalise == "own"
        return Transform(
            self.input_size or facts.input_size,
            facts.mean if own else (0.0, 0.0, 0.0),
            facts.std if own else (1.0, 1.0, 1.0),
            facts.interpolation,
            self.crop,
            self.augment if self.augment_evaluation else None,
        )


class Built(NamedTuple):
    """A phase's network, its transform, and the input that the network was made for."""

    network: Network
    transform: Transform
    facts: zoo.Facts


class Done(NamedTuple):
    """What a phase gave: the network with the weights that it kept, its transform, and the training's record."""

    network: Network
    transform: Transform
    trained: Trained


def phases_of(section: dict[str, Any], changes: list[dict[str, Any]]) -> list[Phase]:
    """Return the phases: the values of the section `train` with each of `changes` laid over them; one without any.

    Raises UserError naming the phase and the knob that is wrong.
    """
    found = []
    for number, change in enumerate(changes or [{}]):
        try:
            phase = Phase.model_validate(overlay(section, change))
        except ValidationError as error:
            raise UserError(f"params.yaml: {in_words(error, f'train.phases.{number}')}") from None
        if number and phase.start == "previous" and "pretrained" in change:
            raise UserError(
                f"params.yaml: train.phases.{number}.pretrained: this phase starts from the weights of the one before; "
                "leave pretrained out, or set `start: afresh`"
            )
        found.append(phase)
    return found


def require_sound(phases: list[Phase]) -> None:
    """Build every network once, hand weights over and look up teachers; UserError for what would fail hours later."""
    earlier: list[Built] = []
    for number, phase in enumerate(phases):
        built = _build(phase)
        freezing.freeze(built.network, phase.trainable)
        if number and phase.start == "previous":
            hand_over(earlier[-1].network, built.network)
        _teacher(phase, earlier, built.transform)
        earlier.append(built)


def run(
    phases: list[Phase],
    open_part: OpenPart,
    work: Path,
    guard: Guards,
    on_epoch: Callable[[int, int, loop.Epoch], None],
) -> list[Done]:
    """Train all `phases` in turn; `work` keeps the state of each, so that a call after a kill goes on there.

    `on_epoch(phase, epoch, figures)` is called for every epoch, those before a kill included.
    """
    done: list[Done] = []
    pretrained = "none"  # what the weights came from, however many phases ago
    for number, phase in enumerate(phases):
        network, transform, facts = _build(phase)
        if done and phase.start == "previous":
            hand_over(done[-1].network, network)
        else:
            pretrained = phase.pretrained
            guard.stop("unmatched_weights", guards.unmatched_weights(zoo.load_pretrained(network, pretrained)))
        training, validation = (open_part(part, transform.stored_side()) for part in ("train", "val"))
        _look_at_input(guard, transform, facts, training, pretrained)
        trained = loop.train(
            network,
            transform,
            training,
            validation,
            phase,
            work / f"phase-{number}.pt",
            lambda epoch, figures, number=number: on_epoch(number, epoch, figures),  # type: ignore[misc]
            guard,
            _teacher(phase, done, transform),
        )
        network.load_state_dict(trained.weights)
        done.append(Done(network, transform, trained))
    return done


def _build(phase: Phase) -> Built:
    torch.manual_seed(phase.seed)  # the head's weights, and all of them without pretrained
    network, facts = zoo.build(phase.spec)
    transform = phase.transform(facts)
    zoo.check_input(network, phase.model, transform.input_size)
    return Built(network, transform, facts)


def hand_over(source: Network, to: Network) -> None:
    """Copy every weight of `source` to `to`, whose networks may compute differently but hold the same tensors.

    Raises UserError when a single tensor of either has no counterpart: a phase that silently starts from random
    numbers would look like one that learns slowly. Nor may the outputs change their meaning on the way.
    """
    given, own = source.state_dict(), to.state_dict()
    unlike = sorted(
        name
        for name in given.keys() | own.keys()
        if name not in given or name not in own or given[name].shape != own[name].shape
    )
    if unlike:
        raise UserError(
            f"train.phases: {to.spec.model} cannot go on from the weights of {source.spec.model}: "
            f"{unlike[0]} differs; use networks of one family, or `start: afresh`"
        )
    if source.spec.labels != to.spec.labels:
        raise UserError(
            f"train.phases: outputs that mean {', '.join(source.spec.labels)} cannot go on as "
            f"{', '.join(to.spec.labels)}; set train.labels once for all phases, or `start: afresh`"
        )
    to.load_state_dict(given)


def _look_at_input(guard: Guards, transform: Transform, facts: zoo.Facts, samples: Samples, pretrained: str) -> None:
    some = list(range(0, len(samples), max(1, len(samples) // LOOKED_AT)))
    if not some:  # loop.train says so
        return
    pictures, _ = samples[some]
    guard.stop("augmented_evaluation", guards.augmented_evaluation(transform, pictures))
    guard.stop("input_statistics", guards.input_statistics(transform, facts, pictures, pretrained))


def _teacher(phase: Phase, earlier: Sequence[Built | Done], transform: Transform) -> Network | None:
    """Return the network that the phase learns from besides the labels."""
    if phase.distill is None:
        return None
    teacher = phase.distill.teacher
    if isinstance(teacher, str):
        if not (Path(teacher) / "model.json").is_file():
            raise UserError(f"train.distill.teacher: {teacher} holds no stored network; give a copy of a data/train")
        known = stored.load(Path(teacher))
        if known.classifier is not None:
            raise UserError(f"train.distill.teacher: {teacher} scores by a {known.classifier.kind}, not by its network")
        network, its = known.network, known.transform
    elif 0 <= teacher < len(earlier):
        network, its = earlier[teacher].network, earlier[teacher].transform
    else:
        raise UserError(
            f"train.phases: distill.teacher {teacher} is no earlier phase; there are {len(earlier)} before it"
        )
    if network.spec.outputs > 2:
        raise UserError(f"train: the teacher {network.spec.model} gives embeddings, which are no score to learn from")
    if unlike := [name for name, value in vars(its).items() if value != vars(transform)[name]]:
        raise UserError(
            f"train: the teacher {network.spec.model} expects other inputs than {phase.model}: {', '.join(unlike)} "
            "differ; set input_size, crop, normalise and augment_evaluation alike"
        )
    return network
