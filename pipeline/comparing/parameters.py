"""The parameters of each dataset: those its tables were made with, and those that params.yaml asks for."""

from typing import Any, NamedTuple

from pipeline.errors import UserError
from pipeline.params import PARAMS_FILE
from pipeline.revisions import Revision
from pipeline.wording import printable

LOCK = "dvc.lock"
SECTIONS = ("index", "split", "sample", "reduce", "extract", "shard")  # whose parameters shape a dataset

Values = dict[str, Any]


class Parameters(NamedTuple):
    """What holds for one dataset: dotted names, with what `by_dataset` overrides."""

    built: Values  # what dvc.lock says its tables were made with; of stages that never ran, what params.yaml says
    asked: Values  # what params.yaml says


def read_parameters(revision: Revision) -> dict[str, Parameters]:
    """Return the parameters of each dataset that params.yaml names, by key. Raises UserError where it names none so."""
    asked = revision.params()
    datasets = asked.get("datasets")
    if datasets is not None and not isinstance(datasets, dict):
        raise UserError(f"{PARAMS_FILE} of {revision.name}: `datasets` must be a mapping of keys to entries")
    stages = _mapping(revision.read_yaml(LOCK), "stages") if revision.has(LOCK) else {}
    return {key: Parameters(_built(key, stages, asked), _resolved(key, asked)) for key in datasets or {}}


def changed(before: Values, after: Values) -> list[Values]:
    """Return the parameters that differ: dotted `name`, `before`, `after`; None for what is not set."""
    return [
        {"name": name, "before": before.get(name), "after": after.get(name)}
        for name in [*after, *(name for name in before if name not in after)]
        if before.get(name) != after.get(name)
    ]


def unbuilt(revision: Revision, parameters: Parameters) -> list[str]:
    """Return a note where params.yaml says something else than what the tables were made with."""
    asked = [f"{printable(knob['name'])} {shown(knob['after'])}" for knob in changed(*parameters)]
    if not asked:
        return []
    remedy = "not built there" if revision.commit else "not yet built: run `dvc repro`"
    return [f"{PARAMS_FILE} of {revision.name} asks for {', '.join(asked)}, {remedy}"]


def shown(value: Any) -> str:
    """Return a parameter's value or a count as text."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def _built(key: str, stages: Values, asked: Values) -> Values:
    """Return the parameters that `stages` of dvc.lock were run with."""
    document = dict(asked)
    for section in SECTIONS:
        recorded = _mapping(_mapping(_mapping(stages, f"{section}@{key}"), "params"), str(PARAMS_FILE))
        if section in recorded:
            document[section] = recorded[section]
        if section == "index" and f"datasets.{key}" in recorded:
            document["datasets"] = {key: recorded[f"datasets.{key}"]}
    return _resolved(key, document)


def _resolved(key: str, document: Values) -> Values:
    """Return the dataset's entry and sections of a params.yaml."""
    found = _dotted(_mapping(_mapping(document, "datasets"), key), f"datasets.{key}")
    for name in SECTIONS:
        section = _mapping(document, name)
        overrides = _mapping(_mapping(section, "by_dataset"), key)
        defaults = {knob: value for knob, value in section.items() if knob != "by_dataset"}
        found |= _dotted(defaults, name) | _dotted(overrides, name)
    return found


def _dotted(values: Values, above: str) -> Values:
    flat: Values = {}
    for name, value in values.items():
        flat |= _dotted(value, f"{above}.{name}") if isinstance(value, dict) else {f"{above}.{name}": value}
    return flat


def _mapping(values: Values, name: str) -> Values:
    """Return the mapping at `name`; empty where nothing or something else stands there."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}
