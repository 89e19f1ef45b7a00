"""audit: what gives the label away without a look at the face, what is shared between splits and datasets, and what
each step lost. `python -m stages.audit`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from pipeline import params, provenance, shortcuts, tables
from pipeline.errors import exit_on_user_error
from pipeline.files import folder_of_each, sha256_of_file, whole_or_absent
from pipeline.sharding import manifests

DATA, REPORTS = Path("data"), Path("reports")


class Params(params.Section):
    """The section `audit` of params.yaml."""

    folds: int = Field(ge=2, le=10)
    bootstrap: int = Field(ge=200, le=10_000)
    seed: int = Field(ge=0, lt=2**32)


def main() -> None:
    """Write data/audit/shortcuts.parquet and leaks.parquet, reports/metrics/data.json and reports/manifests.json."""
    knobs = params.load_section(Params, "audit")
    entries = params.load_datasets()
    folder = {stage: folder_of_each(DATA / stage, entries) for stage in ("index", "split", "extract", "shard")}
    found, summary, sealed, linked = [], {}, {}, {}
    for key, entry in entries.items():
        assignments = tables.read(folder["split"][key] / "videos.parquet", tables.ASSIGNMENTS)
        usable = _usable(folder["index"][key], assignments)
        links = usable[["video", "split", *provenance.COLUMNS]]
        linked[key] = provenance.linkable(links, built_in=entry.built_in)
        rows = _shortcuts(usable, folder["extract"][key], folder["shard"][key], knobs)
        found += [{"dataset": key, **row} for row in rows]
        manifest = folder["shard"][key] / manifests.NAME
        summary[key] = {
            "videos": len(usable),
            "frames": manifests.read(manifest)["samples"],
            "leaks": _leaks(usable),
            **{f"{row['probe']}_auroc": _rounded(row["auroc"]) for row in rows if row["feature"] == "all"},
        }
        sealed[key] = sha256_of_file(manifest)
    # Whatever is trained on next: every dataset is asked what its test split shares with every other's train and val.
    across = provenance.across(linked, learned=list(entries))
    tables.write(DATA / "audit" / "shortcuts.parquet", found, tables.SHORTCUTS, ["dataset", "probe", "feature"])
    tables.write(DATA / "audit" / "leaks.parquet", across, tables.ACROSS, ["tested", "learned", "kind", "node"])
    _write_json(REPORTS / "metrics" / "data.json", summary)
    # A manifest names every byte of the shards: with its hash in Git, a commit does.
    _write_json(REPORTS / "manifests.json", sealed)


def _usable(index: Path, assignments: pd.DataFrame) -> pd.DataFrame:
    """The usable videos: what the file says, what links them, and label, group and split."""
    columns = ["video", *shortcuts.COLUMNS, *provenance.COLUMNS]
    videos = tables.read(index / "videos.parquet", tables.VIDEOS, columns)
    return assignments[assignments.status == "ok"].merge(videos, on="video", validate="one_to_one")


def _shortcuts(usable: pd.DataFrame, extract: Path, shard: Path, knobs: Params) -> list[shortcuts.Row]:
    columns = ["video", "label", "group", "status", *shortcuts.CROP_COLUMNS]
    frames = tables.read(extract / "frames.parquet", tables.FRAMES, columns)
    samples = tables.read(shard / "samples.parquet", tables.SAMPLES, ["video", "bytes"])
    crops = shortcuts.crops(frames, samples)
    settings = (knobs.folds, knobs.bootstrap, knobs.seed)
    container = shortcuts.audit("container", shortcuts.container_features(usable), usable, *settings)
    return container + shortcuts.audit("picture", shortcuts.picture_features(crops), crops, *settings)


def _leaks(usable: pd.DataFrame) -> int:
    """Test videos that share a recording, a published video or content with train or val of their dataset."""
    shared = provenance.shared(usable, usable.set_index("video").split, provenance.MATERIAL)
    return len(provenance.tied_videos(shared, "test", ["train", "val"]))


def _rounded(figure: float) -> float | None:
    return None if pd.isna(figure) else round(figure, 3)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with whole_or_absent(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    exit_on_user_error(main)
