"""A model card as the Hugging Face Hub reads it, made from model.json alone.

Format: https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from typing import Any

from pipeline.cards.markdown import bullets, code, document, paragraphs, sections, table
from pipeline.guard_names import CONSEQUENCES, Name

LOADING = """\
In the repository it comes from, with shards of any dataset:

```python
from pathlib import Path

from pipeline.models import scoring, stored
from pipeline.reading import open_dataset

model = stored.load(Path("data/train"))
samples = open_dataset("data/shard/{dataset}", "test", size=model.transform.stored_side())
scores = scoring.probability(scoring.logits_of_stored(model, samples, batch_size=64))
fake = scores > model.thresholds["frame"]
```"""
LIMITS = [
    "Figures on validation are no test: epoch and thresholds were chosen by it. The report has the test figures, with "
    "intervals, for datasets that it was trained on and others.",
    "One training with one seed; another seed gives other figures.",
    "It has seen these forgery methods, cameras and compressions alone, and pictures cut and scaled in this one way.",
    "A score is no proof. It must not be the only ground for calling a picture or a person false.",
]


def model_card(card: dict[str, Any]) -> str:
    """Return README.md of a trained network from `card`, the content of model.json: front matter and text."""
    front_matter = {
        "library_name": "veriframe",
        "pipeline_tag": "image-classification",
        "tags": ["deepfake-detection", "face-forgery", "media-forensics", card["model"]],
    }
    contents = {
        "Labels and score": _labels(card),
        "Input": _input(card["transform"]),
        "Data": _data(card["samples"]),
        "Training": _training(card),
        "Figures on validation": _figures(card),
        "Guards that were lifted": _lifted(card["guards_lifted"]),
        "Limits": bullets(LIMITS),
        "Use": LOADING.format(dataset=card["datasets"][0]),
    }
    what = (
        f"{_what(card)}, trained on {', '.join(card['datasets'])} to tell pictures of real faces from forged ones. "
        "This text is made from model.json, which holds every value."
    )
    return document(front_matter, f"# {card['model']}: real or forged\n\n{what}\n\n{sections(contents)}\n")


def _what(card: dict[str, Any]) -> str:
    classifier = card["classifier"]
    if classifier is None:
        return f"The network {card['model']}"
    kinds = {"knn": "Nearest neighbours", "svm": "A support vector machine"}
    return f"{kinds[classifier['kind']]} on the embeddings of the network {card['model']}"


def _labels(card: dict[str, Any]) -> str:
    thresholds = table(["of a", "threshold"], [[level, f"{at:.6f}"] for level, at in card["thresholds"].items()])
    labels = ", ".join(f"{number} = {name}" for number, name in card["labels"].items())
    order = card["network"]["labels"]
    outputs = [] if order == ["real", "fake"] else [f"The raw outputs are in the order {', '.join(order)}."]
    return paragraphs(
        [
            f"Labels: {labels}. A score is the {card['score']}, 0 to 1; a video's is the mean of its frames'.",
            *outputs,
            f"What scores above the threshold is called fake. Thresholds: {card['threshold_rule']}.",
            thresholds,
        ]
    )


def _input(transform: dict[str, Any]) -> str:
    mean, deviation = (", ".join(f"{value:g}" for value in transform[name]) for name in ("mean", "std"))
    said = (
        f"RGB pictures of {transform['input_size']} × {transform['input_size']} pixels: of a square picture the middle "
        f"{100 * transform['crop']:g} % of the side, scaled to that ({transform['interpolation']}) where it differs, "
        f"as 0 to 1, less the mean {mean} and divided by the deviation {deviation}."
    )
    return said if transform["augment"] is None else f"{said} Before that every picture is changed at random."


def _data(samples: dict[str, dict[str, dict[str, int]]]) -> str:
    rows = [
        [dataset, part, counts["real"], counts["fake"]]
        for dataset, parts in samples.items()
        for part, counts in parts.items()
    ]
    return table(["dataset", "part", "real pictures", "fake pictures"], rows)


def _training(card: dict[str, Any]) -> str:
    knobs = card["params"]
    common = {name: value for name, value in knobs.items() if name != "phases"}
    phases = [f"phase {number}: {_in_words(changes)}" for number, changes in enumerate(knobs["phases"])]
    said = (
        ["Trained in phases, each with the parameters below but for what it says:", bullets(phases)] if phases else []
    )
    return paragraphs(
        [
            *said,
            f"Kept is epoch {card['best_epoch']}, counted from 0{' in the last phase' if phases else ''}.",
            table(["parameter", "value"], [[code(name), _in_words(value)] for name, value in common.items()]),
        ]
    )


def _figures(card: dict[str, Any]) -> str:
    figures = card["best_epoch_figures"]
    rows = [[part, name, f"{value:.4f}"] for part, names in figures.items() for name, value in names.items()]
    said = "Of single pictures, in the epoch that was kept:"
    if card["classifier"] is not None:
        accuracy = card["classifier"]["validation_accuracy"]
        said = (
            f"The accuracy of the classifier on validation is {accuracy:.4f}; it was chosen by that. The network under "
            "it, of single pictures, in the epoch that was kept:"
        )
    return paragraphs([said, table(["of", "figure", "value"], rows)])


def _lifted(faults: dict[Name, str]) -> str:
    if not faults:
        return "None: no known fault that is looked for was found in this training."
    said = "The training has these known faults, which params.yaml let pass:"
    return paragraphs([said, bullets(f"**{name}**: {fault}. {CONSEQUENCES[name]}." for name, fault in faults.items())])


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_in_words, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
