"""What a report's page shows."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Knobs:
    """The section `report` of params.yaml, which says what each is; the defaults are for revisions without it."""

    pictures: bool = True
    sheet: int = 24
    errors: int = 12
    timelines: int = 4


def knobs_of(params: dict[str, Any]) -> Knobs:
    """Return the knobs that a params.yaml of any age has; defaults for those it does not."""
    section = params.get("report") or {}
    return Knobs(**{field.name: section[field.name] for field in fields(Knobs) if field.name in section})
