"""What the stage card reads of a built project, and no more: what dvc.yaml declares, in a folder of its own."""

import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from project import change_params
from small_project import ROOT, run_stage

KNOBS = {
    "version": "1.2.0",
    "date_published": "2026-01-31",
    "license": None,
    "url": None,
    "creators": ["Laboratory of Faces", "Müller & Co."],
    "cite_as": None,
    "by_dataset": {},
}


def card_project(built: Path, to: Path, key: str, changes: dict[str, Any] | None = None) -> Path:
    """Copy params.yaml and the declared inputs of `card@key` from `built`, change parameters; return `to`."""
    stage = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]["card"]["do"]
    for name in (dep.replace("${key}", key) for dep in stage["deps"] if dep.startswith("data/")):
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (built / name).is_dir() else shutil.copyfile
        copy(built / name, to / name)
    shutil.copyfile(built / "params.yaml", to / "params.yaml")
    change_params(to, {"card": deepcopy(KNOBS), **(changes or {})})
    return to


def write_card(built: Path, to: Path, key: str, changes: dict[str, Any] | None = None) -> Path:
    """Run the stage on such a project; return data/card/<key>."""
    run_stage(card_project(built, to, key, changes), "card", key)
    return to / "data/card" / key
