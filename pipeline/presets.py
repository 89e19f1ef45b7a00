"""Published systems as overlays of params.yaml: one file per system in presets/, laid over the user's own file.

A preset names every knob that decides what its system does, so that nothing of an earlier one is left behind.
docs/source_systems.md says what each stands for.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import params, yaml_edit
from pipeline.errors import UsageError, UserError
from pipeline.files import whole_or_absent
from pipeline.params import PARAMS_FILE

FOLDER = Path("presets")
WHOLE = ("datasets", "by_dataset")  # replaced as a whole: their keys are the user's, not knobs
ABSENT = object()


def names() -> list[str]:
    """Return the names of the presets; UserError outside a project's root folder."""
    found = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if not found:
        raise UserError(f"there are no presets in {FOLDER.absolute()}; run this from the project's root folder")
    return found


def text(name: str) -> str:
    """Return the file of the preset `name` as it is; UsageError for a name that is not known."""
    _known(name, names(), "preset")
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def summary(name: str) -> str:
    """Return what the preset's first line says of it."""
    return text(name).splitlines()[0].removeprefix("#").strip()


def read(name: str) -> dict[str, Any]:
    """Return the values of the preset `name`, nested as in params.yaml."""
    try:
        values = YAML(typ="safe", pure=True).load(text(name))
    except YAMLError as error:
        raise UserError(f"{FOLDER}/{name}.yaml is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or not isinstance(values.get("datasets"), dict):
        raise UserError(f"{FOLDER}/{name}.yaml must hold sections of {PARAMS_FILE}, `datasets` among them")
    return values


def apply(name: str, swaps: Mapping[str, str] | None = None) -> list[str]:
    """Lay the preset `name` over params.yaml, which keeps its comments and order; return what changed, as `changes`.

    `swaps` maps datasets of the preset to datasets of params.yaml that take their place. Nothing is written unless
    all of it fits. Raises UsageError for names that are not known, UserError for a knob that params.yaml lacks.
    """
    before, after = current(), laid_over(name, swaps)
    written = yaml_edit.edited(PARAMS_FILE.read_text(encoding="utf-8"), after)
    with whole_or_absent(PARAMS_FILE) as path:
        path.write_text(written, encoding="utf-8")
    return list(changes(before, after))


def laid_over(name: str, swaps: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the values of params.yaml with the preset `name` laid over them; see `apply`. Nothing is written."""
    values = current()
    preset = _swapped(read(name), values, swaps or {})
    if lacking := list(_lacking(values, preset)):
        raise UserError(f"{PARAMS_FILE} has no {', '.join(lacking)}, which {FOLDER}/{name}.yaml sets; is it older?")
    after = _laid(values, preset)
    for section in after.values():  # of sections that the preset leaves alone
        if by_dataset := section.get("by_dataset"):
            section["by_dataset"] = {key: of_one for key, of_one in by_dataset.items() if key in after["datasets"]}
    return after


def changes(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Return `name: old -> new` for every value in which two nested mappings differ; `absent` where one has none."""
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, ABSENT), after.get(name, ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from changes(old, new, f"{where}{name}.")
        elif old != new:
            shown = ["absent" if value is ABSENT else yaml_edit.on_one_line(value) for value in (old, new)]
            yield f"{where}{name}: {shown[0]} -> {shown[1]}"


def _swapped(preset: dict[str, Any], values: dict[str, Any], swaps: Mapping[str, str]) -> dict[str, Any]:
    """Return the preset's values with datasets of params.yaml in the place of its own, wherever they are named."""
    theirs, mine = preset["datasets"], values["datasets"]
    for their, own in swaps.items():
        _known(their, list(theirs), "dataset of the preset")
        _known(own, list(mine), f"dataset of {PARAMS_FILE}")
    keys = [swaps.get(key, key) for key in theirs]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise UsageError(
            f"--dataset gives {', '.join(sorted(twice))} to two datasets of the preset; each needs its own"
        )
    swapped: dict[str, Any] = {}
    for name, section in preset.items():
        swapped[name] = dict(section)
        if "by_dataset" in section:
            swapped[name]["by_dataset"] = {swaps.get(key, key): of_one for key, of_one in section["by_dataset"].items()}
    swapped["datasets"] = {
        swaps.get(key, key): mine[swaps[key]] if key in swaps else entry for key, entry in theirs.items()
    }
    swapped["train"]["datasets"] = [swaps.get(key, key) for key in preset["train"]["datasets"]]
    return swapped


def _lacking(values: Mapping[str, Any], overlay: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Return the dotted names in `overlay` that `values` does not have."""
    for name, value in overlay.items():
        if name not in values:
            yield f"{where}{name}"
        elif name not in WHOLE and isinstance(value, dict) and isinstance(values[name], dict):
            yield from _lacking(values[name], value, f"{where}{name}.")


def _laid(values: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with every value of `overlay` in its place, mapping by mapping, but for those that are WHOLE."""
    laid = dict(values)
    for name, value in overlay.items():
        inner = name not in WHOLE and isinstance(value, dict) and isinstance(values[name], dict)
        laid[name] = _laid(values[name], value) if inner else value
    return laid


def current() -> dict[str, Any]:
    """Return the values of params.yaml; UserError where they cannot be read."""
    values = params.read()
    if not all(isinstance(section, dict) for section in values.values()):
        raise UserError(f"{PARAMS_FILE} must hold a mapping of sections")
    if not values.get("datasets"):
        raise UserError(f"{PARAMS_FILE}: `datasets` names no dataset; add one, see README.md")
    return values


def _known(name: str, known: list[str], what: str) -> None:
    """Raise UsageError, naming what comes close, unless `name` is among `known`."""
    if name not in known:
        close = get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise UsageError(f"there is no {what} {name!r}; {hint}")
