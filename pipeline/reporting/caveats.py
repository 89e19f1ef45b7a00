"""What may not be concluded, worked out from the facts."""

from collections.abc import Iterable, Iterator

from pipeline.reporting.facts import FEW_GROUPS, Dataset, container, groups_tested, leaks, results

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
_CONTAINER = "The container alone tells the label, so that a good figure need not come from the faces"
_SHARED = {
    "person": "The model has seen people of the test videos, and may do worse on new ones",
    "recording": "The model has seen recordings that test videos were made from, and may do worse on new ones",
    "content": "The model has seen files that are test videos",
}
_LOST = "Some test videos could not be scored, and the figures leave them out"


def caveats(datasets: Iterable[Dataset], trained_on: list[str]) -> list[str]:
    """Return sentences that limit what the figures mean: general ones, then each with the datasets it holds for."""
    held: dict[str, list[str]] = {}
    for dataset in datasets:
        for sentence, measure in _of_dataset(dataset, dataset.key in trained_on):
            held.setdefault(sentence, []).append(f"{dataset.key} ({measure})" if measure else dataset.key)
    return _GENERAL + [f"{sentence}: {', '.join(names)}." for sentence, names in held.items()]


def _of_dataset(dataset: Dataset, trained: bool) -> Iterator[tuple[str, str]]:
    """Yield what holds for one dataset: the sentence, and how much in short."""
    video = results(dataset).get("video", {}).get("all", {})
    auroc, coverage = video.get("auroc"), video.get("coverage")
    probe = container(dataset)
    if dataset.built_in:
        yield _BUILT_IN, ""
    if (groups := groups_tested(dataset)) < FEW_GROUPS:
        yield _FEW, f"{groups}"
    if auroc and auroc["lower"] is not None and auroc["lower"] <= 0.5 <= auroc["upper"]:
        yield _CHANCE, f"{auroc['lower']:.3f} to {auroc['upper']:.3f}"
    if probe["verdict"] == "tells":
        yield _CONTAINER, f"AUROC {probe['value']:.3f}"
    for leak in leaks(dataset):
        if trained and leak["with_test"]:
            yield _SHARED.get(leak["kind"], f"Train and test share {leak['kind']} nodes"), f"{leak['with_test']}"
    if coverage and coverage["value"] is not None and coverage["value"] < 1:
        yield _LOST, f"{100 * coverage['value']:.1f} % scored"
