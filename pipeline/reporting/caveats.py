"""What may not be concluded, worked out from the facts."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pipeline.guard_names import CONSEQUENCES, Name
from pipeline.metrics.bootstrap import FEW_GROUPS
from pipeline.reporting.facts import (
    Dataset,
    container,
    groups_tested,
    picture,
    subset_in_words,
    ties,
    ties_across,
)
from pipeline.reporting.results import TITLES, calibration, figures, robustness

BADLY_CALIBRATED = 0.1  # mean distance between score and share of fakes (ECE)

_GENERAL = [
    "Every figure comes from one training with one seed; another seed would move it, and no interval shows that.",
    "The intervals say how far the figures would move with other test videos of the same kind. They say nothing about "
    "other forgery methods, cameras or compressions.",
]
_BUILT_IN = (
    "Rendered faces with built-in forgeries show that the pipeline works, and nothing about how a detector does on "
    "real footage"
)
_FEW = f"Fewer than {FEW_GROUPS} provenance groups are behind the figures, so the intervals are rough or missing"
_CHANCE = "The interval of the video AUROC holds 0.5: the model may not tell real from fake at all"
_NO_INTERVAL = "The video AUROC has no interval, so that chance and the picture floor cannot be ruled out"
_UNDEFINED = "There is no video AUROC, for want of scored test videos of both classes"
_CONTAINER = "The container alone tells the label, so that a good figure need not come from the faces"
_FLOOR = (
    "The interval of the video AUROC does not lie above the picture floor: the model may have learned no more than "
    "size, sharpness and the like of the crops"
)
_SHARED = {
    "content": "The model has seen files that are test videos",
    "recording": "The model has seen recordings that test videos were made from, and may do worse on new ones",
    "source_video": "The model has seen source videos that test videos were cut from, and may do worse on new ones",
    "person": "The model has seen people of the test videos, and may do worse on new ones",
}
_ACROSS = "The model was not trained on the dataset, but has learned from videos that its test videos are tied to"
_SUBSET = "Only a part of the dataset was taken, as whole provenance groups; the rest may give other figures"
_LEAK_FREE = (
    "The leak-free test videos, which share nothing with what was learned from, give a clearly other video AUROC: "
    "theirs says more about new videos"
)
_ALL_LEAK = "No leak-free test videos of both classes are left: how the model does on new videos was not measured"
_UNCALIBRATED = f"A score may not be read as a probability: its calibration error is above {BADLY_CALIBRATED}"
_NOT_ROBUST = "How the figures hold under compression, blur or noise was not measured"
_INTRA = (
    "H.264 was tried on each crop as a single I-frame (intra only): compression as videos have it, from frame to frame "
    "and of whole pictures, may do more or less harm"
)
_LOST = "Some test videos could not be scored, and the figures leave them out"


def caveats(datasets: Iterable[Dataset], trained_on: list[str], lifted: list[Name]) -> list[str]:
    """Return sentences that limit what the figures mean: general ones, then each with the datasets it holds for.

    `lifted` names the guards that were lifted; theirs come first.
    """
    datasets = list(datasets)
    held: dict[str, list[str]] = {}
    parts: list[Callable[[Dataset], Iterator[tuple[str, str]]]]  # each yields a sentence, and how much in short
    parts = [_of_data, _of_auroc, partial(_of_leaks, trained_on=trained_on), _of_leak_free, _of_scores]
    for part in parts:  # the gravest first, whatever dataset they hold for
        for dataset in datasets:
            for sentence, measure in part(dataset):
                held.setdefault(sentence, []).append(f"{dataset.key} ({measure})" if measure else dataset.key)
    faults = [f"{CONSEQUENCES[name]} (guard {name} was lifted)." for name in dict.fromkeys(lifted)]
    return faults + _GENERAL + [f"{sentence}: {', '.join(names)}." for sentence, names in held.items()]


def _of_data(dataset: Dataset) -> Iterator[tuple[str, str]]:
    if dataset.built_in:
        yield _BUILT_IN, ""
    if words := subset_in_words(dataset):
        yield _SUBSET, words
    if (probe := container(dataset))["verdict"] == "tells":
        yield _CONTAINER, f"AUROC {probe['value']:.3f}"


def _of_auroc(dataset: Dataset) -> Iterator[tuple[str, str]]:
    auroc = figures(dataset).get("auroc")
    floor = picture(dataset)["floor"]
    if (groups := groups_tested(dataset)) < FEW_GROUPS:
        yield _FEW, f"{groups}"
    if auroc and auroc["lower"] is not None:
        ends = f"{auroc['lower']:.3f} to {auroc['upper']:.3f}"
        if auroc["lower"] <= 0.5 <= auroc["upper"]:
            yield _CHANCE, ends
        if floor is not None and auroc["lower"] <= floor:
            yield _FLOOR, f"{ends}, floor {floor:.3f}"
    elif auroc and auroc["value"] is not None:
        yield _NO_INTERVAL, f"{auroc['value']:.3f}" + ("" if floor is None else f", floor {floor:.3f}")
    else:
        yield _UNDEFINED, ""
    if auroc and auroc["coverage"] is not None and auroc["coverage"] < 1:
        yield _LOST, f"{100 * auroc['coverage']:.1f} % scored"


def _of_scores(dataset: Dataset) -> Iterator[tuple[str, str]]:
    tempered = {row["title"]: row["after"] or row["before"] for row in calibration(dataset)["rows"]}
    error = tempered.get(TITLES["ece"], {}).get("value")
    if error is not None and error > BADLY_CALIBRATED:
        yield _UNCALIBRATED, f"{error:.3f}"
    if not (tried := robustness(dataset)):
        yield _NOT_ROBUST, ""
    elif "h264" in {entry["name"] for entry in tried}:
        yield _INTRA, ""


def _of_leak_free(dataset: Dataset) -> Iterator[tuple[str, str]]:
    every, free = (figures(dataset, subset=subset).get("auroc") for subset in ("all", "leak_free"))
    if not every or every["value"] is None:
        return
    if not free or free["value"] is None:
        yield _ALL_LEAK, ""
    elif every["lower"] is not None and not every["lower"] <= free["value"] <= every["upper"]:
        yield _LEAK_FREE, f"{free['value']:.3f} against {every['value']:.3f}"


def _of_leaks(dataset: Dataset, trained_on: list[str]) -> Iterator[tuple[str, str]]:
    """Of the kinds of link those in _SHARED: the other ones, target and donor person, are part of `person`."""
    if dataset.key in trained_on:
        for tie in ties(dataset):
            if tie["kind"] in _SHARED and (tie["test_to_train"] or tie["test_to_val"]):
                measure = f"{tie['test_to_train']} test videos tied to train, {tie['test_to_val']} to validation"
                yield _SHARED[tie["kind"]], measure
        return
    for tie in ties_across(dataset):
        if tie["kind"] in _SHARED and tie["learned"] in trained_on:
            yield _ACROSS, f"{tie['kind'].replace('_', ' ')}, with {tie['learned']}"
