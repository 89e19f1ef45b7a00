"""audit: what gives the label away without a look at the face, what is shared between splits and datasets, and what
each step lost. `python -m stages.audit`."""

import json
from pathlib import Path

import pandas as pd
from pydantic import Field

from pipeline import params, provenance, shortcuts, tables
from pipeline.errors import exit_on_user_error
from pipeline.files import folder_of_each, sha256_of_file, whole_or_absent
from pipeline.sharding import manifests

DATA = Path("data")


class Params(params.Section):
    """The section `audit` of params.yaml."""

    folds: int = Field(ge=2, le=10)
    bootstrap: int = Field(ge=200, le=10_000)
    seed: int = Field(ge=0, lt=2**32)


def main() -> None:
    """Write data/audit/shortcuts.parquet, data/audit/leaks.parquet and reports/metrics/data.json."""
    knobs = params.load_section(Params, "audit")
    entries = params.load_datasets()
    folder = {stage: folder_of_each(DATA / stage, entries) for stage in ("index", "split", "extract", "shard")}
    found, summary, linked = [], {}, {}
    for key, entry in entries.items():
        assignments = tables.read(folder["split"][key] / "videos.parquet", tables.ASSIGNMENTS)
        usable = _usable(folder["index"][key], assignments)
        linked[key] = _linked(usable, built_in=entry.built_in)
        rows = _shortcuts(usable, folder["extract"][key], folder["shard"][key], knobs)
        found += [{"dataset": key, **row} for row in rows]
        ties = tables.read(folder["split"][key] / "ties.parquet", tables.TIES)
        summary[key] = {
            "videos": {"usable": len(usable), "rejected": len(assignments) - len(usable)},
            "frames": _frames(tables.read(folder["extract"][key] / "quotas.parquet", tables.FILLED)),
            "shards": _shards(folder["shard"][key]),
            # The manifest names every byte of the shards: with it in Git, a commit does.
            "manifest_sha256": sha256_of_file(folder["shard"][key] / manifests.NAME),
            "leaks": {kind: provenance.tied_counts(ties, kind) for kind in provenance.LINKS},
            **{row["probe"]: _figures(row) for row in rows if row["feature"] == "all"},
        }
    # Whatever is trained on next: every dataset is asked what its test split shares with every other's train and val.
    across = provenance.across(linked, learned=list(entries))
    for key, videos in linked.items():
        summary[key]["tied_datasets"] = _tied_datasets(videos, across[across.tested == key])
    tables.write(DATA / "audit" / "shortcuts.parquet", found, tables.SHORTCUTS, ["dataset", "probe", "feature"])
    tables.write(DATA / "audit" / "leaks.parquet", across, tables.ACROSS, ["tested", "learned", "kind", "node"])
    with whole_or_absent(Path("reports/metrics/data.json")) as part:
        part.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _usable(index: Path, assignments: pd.DataFrame) -> pd.DataFrame:
    """The usable videos: what the file says, what links them, and label, group and split."""
    columns = ["video", *shortcuts.COLUMNS, *provenance.COLUMNS]
    videos = tables.read(index / "videos.parquet", tables.VIDEOS, columns)
    return assignments[assignments.status == "ok"].merge(videos, on="video", validate="one_to_one")


def _linked(videos: pd.DataFrame, *, built_in: bool) -> pd.DataFrame:
    """What ties videos across datasets: of the built-in ones content alone, because they name their recordings and
    people as the published datasets do and mean others."""
    links = videos[["video", "split", *provenance.COLUMNS]]
    by_name = [column for column in provenance.COLUMNS if column not in provenance.LINKS["content"].columns]
    return links.assign(**dict.fromkeys(by_name)) if built_in else links


def _shortcuts(usable: pd.DataFrame, extract: Path, shard: Path, knobs: Params) -> list[shortcuts.Row]:
    columns = ["video", "label", "group", "status", *shortcuts.CROP_COLUMNS]
    frames = tables.read(extract / "frames.parquet", tables.FRAMES, columns)
    samples = tables.read(shard / "samples.parquet", tables.SAMPLES, ["video", "bytes"])
    crops = shortcuts.crops(frames, samples)
    settings = (knobs.folds, knobs.bootstrap, knobs.seed)
    container = shortcuts.audit("container", shortcuts.container_features(usable), usable, *settings)
    return container + shortcuts.audit("picture", shortcuts.picture_features(crops), crops, *settings)


def _frames(filled: pd.DataFrame) -> dict[str, int]:
    """Frames kept per split and class, and frames that were decoded and not usable."""
    kept = filled.set_index(["split", "label"]).kept.to_dict()
    cells = [(split, label) for split in tables.SPLITS for label in tables.CLASSES]
    counts = {f"{split}_{tables.CLASSES[label]}": int(kept.get((split, label), 0)) for split, label in cells}
    return counts | {"failed": int(filled.failed.sum())}


def _shards(folder: Path) -> dict[str, dict[str, float]]:
    """Shards, samples and megabytes of each split."""
    manifest = manifests.read(folder / manifests.NAME)
    samples = tables.read(folder / "samples.parquet", tables.SAMPLES, ["split"])
    found: dict[str, dict[str, float]] = {}
    for split in tables.SPLITS:
        sizes = [facts["bytes"] for name, facts in manifest["files"].items() if name.startswith(f"{split}/")]
        count = int((samples.split == split).sum())
        found[split] = {"shards": len(sizes), "samples": count, "megabytes": round(sum(sizes) / 1e6, 3)}
    return found


def _tied_datasets(videos: pd.DataFrame, across: pd.DataFrame) -> dict[str, int]:
    """Test videos that share something with what was learned from each other dataset; a video counts once."""
    tied = provenance.links(videos[videos.split == "test"]).merge(across, on=["kind", "node"])
    return {str(key): int(count) for key, count in tied.groupby("learned").video.nunique().items()}


def _figures(row: shortcuts.Row) -> dict[str, float | None]:
    return {name: None if pd.isna(row[name]) else round(row[name], 3) for name in ("auroc", "lower", "upper")}


if __name__ == "__main__":
    exit_on_user_error(main)
