"""Read params.yaml, lay a dataset's overrides over a stage's defaults, and check every value.

Each stage states its own knobs as a `Section` in its script, so that a new knob in one stage is no changed
dependency of another.
"""

import re
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UserError

PARAMS_FILE = Path("params.yaml")
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # of a dataset: it names folders, DVC stages and the start of frame keys


class Section(BaseModel):
    """The knobs of one stage: typed, bounded, none unknown, none missing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Dataset(Section):
    """One entry of `datasets`: where a raw dataset lies and which part of it is wanted."""

    layout: str
    root: Path
    methods: list[str] | None = None
    compression: list[str] | None = None
    subset: float | None = Field(default=None, gt=0, le=1)

    model_config = ConfigDict(strict=False)  # a path is written as text

    @property
    def built_in(self) -> bool:
        """Whether the stage `synthesize` made it: rendered, and its names of people and recordings mean nobody."""
        return self.root.is_relative_to("data/synthesize")


SectionT = TypeVar("SectionT", bound=Section)


def load_section(section: type[SectionT], stage: str, key: str | None = None) -> SectionT:
    """Read the section `stage` of params.yaml with the overrides `by_dataset.<key>` laid over it.

    Raises UserError naming the file, the parameter, the bad value and what would be right.
    """
    document = read()
    values = _mapping(document, stage)
    overrides = _mapping(values, "by_dataset", within=stage)
    values.pop("by_dataset", None)
    if not set(overrides) <= set(_mapping(document, "datasets")):
        raise UserError(f"{PARAMS_FILE}: {stage}.by_dataset may only name keys of `datasets`, not {list(overrides)}")
    if key is None and overrides:
        raise UserError(f"{PARAMS_FILE}: {stage} runs once for all datasets and takes no by_dataset; remove it there")
    if key is not None:
        values = overlay(values, _mapping(overrides, key, within=f"{stage}.by_dataset"))
    return _validate(section, values, stage)


def load_datasets() -> dict[str, Dataset]:
    """Read all of `datasets`, by key, in the file's order."""
    entries = _mapping(read(), "datasets")
    if not entries:
        raise UserError(f"{PARAMS_FILE}: `datasets` names no dataset; add one, see README.md")
    for key in entries:
        if not isinstance(key, str) or not KEY.fullmatch(key):
            raise UserError(f"{PARAMS_FILE}: datasets: a key is text of letters, digits, _ and -, not {key!r}")
    return {key: _validate(Dataset, entry, f"datasets.{key}") for key, entry in entries.items()}


def load_dataset(key: str) -> Dataset:
    """Read the entry `datasets.<key>`."""
    datasets = load_datasets()
    if key not in datasets:
        raise UserError(f"{PARAMS_FILE}: there is no dataset {key!r} under `datasets`; known: {', '.join(datasets)}")
    return datasets[key]


def _mapping(values: dict[str, Any], name: str, within: str = "") -> dict[str, Any]:
    """Return a copy of the mapping `values[name]`; empty where nothing stands there."""
    found = values.get(name)
    if found is not None and not isinstance(found, dict):
        where = f"{within}.{name}" if within else name
        raise UserError(f"{PARAMS_FILE}: `{where}` must be a mapping of names to values, not {found!r}")
    return dict(found or {})


def dataset_key(arguments: list[str]) -> str:
    """Return the dataset key that a stage's command line (sys.argv) names; UserError unless it is one known key."""
    if len(arguments) != 2:
        stage = Path(arguments[0]).stem
        raise UserError(f"usage: python -m stages.{stage} KEY, with KEY one of {', '.join(load_datasets())}")
    load_dataset(arguments[1])
    return arguments[1]


def overlay(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return `values` with `overrides` laid over them, mapping by mapping: one quota changes without the others."""
    merged = values | overrides
    for name, value in overrides.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            merged[name] = overlay(values[name], value)
    return merged


def read() -> dict[str, Any]:
    """Return what params.yaml holds; UserError where there is none, or no mapping in it."""
    try:
        document = YAML(typ="safe", pure=True).load(PARAMS_FILE)
    except FileNotFoundError:
        raise UserError(f"{PARAMS_FILE} is not in {Path.cwd()}; run this from the project's root folder") from None
    except YAMLError as error:
        raise UserError(f"{PARAMS_FILE} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise UserError(f"{PARAMS_FILE} must hold a mapping of sections")
    return document


def _validate(section: type[SectionT], values: object, where: str) -> SectionT:
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{PARAMS_FILE}: {in_words(error, where)}") from None


def in_words(error: ValidationError, where: str) -> str:
    """Return what is wrong with the values at `where`: of each parameter its name, what is right, and its value."""
    problems = []
    for problem in error.errors():
        got = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"  # no whole section
        problems.append(f"{'.'.join([where, *map(str, problem['loc'])])}: {problem['msg']}{got}")
    return "; ".join(problems)
