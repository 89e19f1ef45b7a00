"""The dataset families. One file each, stating only what is peculiar to it; walking and error rows are in indexing.py.

A family is a module with two functions:

- `read_lists(root) -> Lists`: the published lists and labels that lie beside the videos.
- `recognise(path, lists) -> Record | None`: what a path below the root says; None for a file that is no video of it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import UserError


@dataclass(frozen=True)
class Record:
    """What path and lists say of one video; the meaning of each field is that of the column in tables.VIDEOS.

    `original` is the path of the untouched video below the root. `list_label` is the label by a published list where
    `label` comes from the folder, so that the two can be held against each other.
    """

    name: str
    method: str
    label: int
    compression: str = "native"
    official_split: str | None = None
    recording: str | None = None
    donor_recording: str | None = None
    person: str | None = None
    donor_person: str | None = None
    original: str | None = None
    list_label: int | None = None


@dataclass(frozen=True)
class Lists:
    """The published lists of a dataset: the files they were read from, the videos they name, and their content."""

    files: frozenset[str]
    named: frozenset[str] = frozenset()
    content: dict[str, Any] = field(default_factory=dict)


def load_layout(layout: str) -> ModuleType:
    """Return the module of a dataset family by the name used in params.yaml; UserError for an unknown one."""
    from pipeline.datasets import celeb_df, dfdc, ffpp

    layouts = {"celeb_df_v2": celeb_df, "dfdc": dfdc, "ffpp": ffpp}
    if layout not in layouts:
        raise UserError(f"params.yaml: unknown layout {layout!r}; known: {', '.join(sorted(layouts))}")
    return layouts[layout]


def find_list(root: Path, *candidates: str) -> str:
    """Return the first of the relative paths `candidates` that exists below `root`; UserError when none does."""
    for candidate in candidates:
        if (root / candidate).is_file():
            return candidate
    raise UserError(f"{root}: no {' or '.join(candidates)}; place the published list there")
