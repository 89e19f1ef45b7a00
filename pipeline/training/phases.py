"""Several trainings one after the other: a real-valued network before a binary one, a head before the whole network.

`train.phases` of params.yaml lists what each changes of the section `train`; every phase starts from the weights that
the one before it kept, tensor by tensor, or `afresh`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field, ValidationError

from pipeline import guards
from pipeline.errors import UserError
from pipeline.guards import Guards
from pipeline.models import stored, zoo
from pipeline.models.network import Head, Label, Network, Spec
from pipeline.models.transforms import Transform
from pipeline.params import overlay
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
            found.append(Phase.model_validate(overlay(section, change)))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join([f"train.phases.{number}", *map(str, problem["loc"])])
            raise UserError(f"params.yaml: {where}: {problem['msg']} (got {problem['input']!r})") from None
    return found


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
    for number, phase in enumerate(phases):
        torch.manual_seed(phase.seed)  # the head's weights, and all of them without pretrained
        network, facts = zoo.build(phase.spec)
        transform = phase.transform(facts)
        zoo.check_input(network, phase.model, transform.input_size)
        if done and phase.start == "previous":
            hand_over(done[-1].network, network)
        else:
            guard.stop("unmatched_weights", guards.unmatched_weights(zoo.load_pretrained(network, phase.pretrained)))
        training, validation = (open_part(part, transform.stored_side()) for part in ("train", "val"))
        _look_at_input(guard, phase, transform, facts, training)
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


def _look_at_input(guard: Guards, phase: Phase, transform: Transform, facts: zoo.Facts, samples: Samples) -> None:
    some = list(range(0, len(samples), max(1, len(samples) // LOOKED_AT)))
    if not some:  # loop.train says so
        return
    pictures, _ = samples[some]
    guard.stop("augmented_evaluation", guards.augmented_evaluation(transform, pictures))
    guard.stop("input_statistics", guards.input_statistics(transform, facts, pictures, phase.pretrained))


def _teacher(phase: Phase, done: list[Done], transform: Transform) -> Network | None:
    """Return the network that the phase learns from besides the labels."""
    if phase.distill is None:
        return None
    teacher = phase.distill.teacher
    if isinstance(teacher, str):
        known = stored.load(Path(teacher))
        network, its = known.network, known.transform
    elif 0 <= teacher < len(done):
        network, its = done[teacher].network, done[teacher].transform
    else:
        raise UserError(f"train.phases: distill.teacher {teacher} is no earlier phase; there are {len(done)} before it")
    if network.spec.outputs > 2:
        raise UserError(f"train: the teacher {network.spec.model} gives embeddings, which are no score to learn from")
    if its != transform:
        raise UserError(
            f"train: the teacher {network.spec.model} expects other inputs ({its}) than {phase.model} ({transform}); "
            "set input_size, crop and normalise alike"
        )
    return network
