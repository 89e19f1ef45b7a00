"""audit: what gives the label away without a look at the face, and what each step lost. `python -m stages.audit`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from pipeline import params, provenance, shortcuts, tables
from pipeline.errors import exit_on_user_error
from pipeline.files import folder_of_each, whole_or_absent


class Params(params.Section):
    """The section `audit` of params.yaml."""

    folds: int = Field(ge=2, le=10)
    bootstrap: int = Field(ge=200, le=10_000)
    seed: int = Field(ge=0, lt=2**32)


def main() -> None:
    """Write data/audit/shortcuts.parquet and reports/metrics/data.json."""
    knobs = params.load_section(Params, "audit")
    keys = list(params.load_datasets())
    folder = {stage: folder_of_each(Path("data") / stage, keys) for stage in ("index", "split", "extract")}
    found, summary = [], {}
    for key in keys:
        videos = tables.read(folder["index"][key] / "videos.parquet", tables.VIDEOS, ["video", *shortcuts.COLUMNS])
        assignments = tables.read(folder["split"][key] / "videos.parquet", tables.ASSIGNMENTS)
        leaks = tables.read(folder["split"][key] / "leaks.parquet", tables.LEAKS)
        filled = tables.read(folder["extract"][key] / "quotas.parquet", tables.FILLED)
        usable = assignments[assignments.status == "ok"].merge(videos, on="video", validate="one_to_one")
        rows = shortcuts.audit(usable, knobs.folds, knobs.bootstrap, knobs.seed)
        found += [{"dataset": key, **row} for row in rows]
        summary[key] = {
            "videos": {"usable": len(usable), "rejected": len(assignments) - len(usable)},
            "frames": _frames(filled),
            "shared_with_test": _shared_with_test(leaks),
            "container": {name: _rounded(rows[0][name]) for name in ("auroc", "lower", "upper")},
        }
    tables.write(Path("data/audit/shortcuts.parquet"), found, tables.SHORTCUTS, order=["dataset", "probe", "feature"])
    with whole_or_absent(Path("reports/metrics/data.json")) as part:
        part.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _frames(filled: pd.DataFrame) -> dict[str, int]:
    """Frames kept per split and class, and frames that were decoded and not usable."""
    kept = filled.set_index(["split", "label"]).kept.to_dict()
    classes = (("real", tables.REAL), ("fake", tables.FAKE))
    counts = {f"{split}_{name}": int(kept.get((split, label), 0)) for split in tables.SPLITS for name, label in classes}
    return counts | {"failed": int(filled.failed.sum())}


def _shared_with_test(leaks: pd.DataFrame) -> dict[str, int]:
    """Recordings, persons, ... that the test split shares with what the model learns from (train or val)."""
    shared = leaks[(leaks.test > 0) & ((leaks.train > 0) | (leaks.val > 0))]
    return {kind: int((shared.kind == kind).sum()) for kind in provenance.LINK_COLUMNS}


def _rounded(value: Any) -> float | None:
    return None if pd.isna(value) else round(float(value), 3)


if __name__ == "__main__":
    exit_on_user_error(main)
