"""What changed in each dataset from one revision of a project to another, from the tables that stages left.

Nothing is checked out, decoded or run.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.comparing.matching import column, read_both
from pipeline.comparing.parameters import changed, read_parameters, unbuilt
from pipeline.comparing.samples import compare_samples, count_samples
from pipeline.comparing.videos import compare_videos, count_videos
from pipeline.errors import UserError
from pipeline.revisions import Revision
from pipeline.sharding import manifests

FORMAT = "veriframe-diff-1"
QUOTA = ["rule", "min_per_video", "candidates", "videos", "quota", "tried", "failed", "surplus", "kept"]

Facts = dict[str, Any]


def compare(before: Revision, after: Revision) -> Facts:
    """Return what changed from `before` to `after`, dataset by dataset.

    `same` is True, False, or None where nothing differs but not everything could be compared. Each of `datasets` has
    its `state` (same, changed, added, removed), `notes` (parameters asked for and not built), `not_compared` (what
    could not be compared, and why), and `params`, `videos`, `samples`, `quotas`, `recipe` and `shards`: None where
    neither revision has run that far, or not compared. Of a dataset that is there at one revision only, `videos` and
    `samples` hold counts, and the others are left out. Lists that may be long are Arrow tables. Raises UserError when
    nothing can be compared at all.
    """
    were, are = read_parameters(before), read_parameters(after)
    datasets: dict[str, Facts] = {}
    for key in [*are, *(key for key in were if key not in are)]:
        if key not in were:
            datasets[key] = _count_dataset(key, "added", after)
        elif key not in are:
            datasets[key] = _count_dataset(key, "removed", before)
        else:
            datasets[key] = _compare_dataset(key, before, after, changed(were[key].built, are[key].built))
        sides = ((before, were), (after, are))
        notes = [note for side, parameters in sides if key in parameters for note in unbuilt(side, parameters[key])]
        datasets[key]["notes"] = list(dict.fromkeys(notes))  # once where both sides are the same revision
    if not any(facts["state"] in ("added", "removed") or _compared(facts) for facts in datasets.values()):
        reasons = [reason for facts in datasets.values() for reason in facts["not_compared"]]
        first = reasons[0] if reasons else "no stage has run at either; run `dvc repro` first"
        more = f" (and {len(reasons) - 1} more reasons)" if len(reasons) > 1 else ""
        raise UserError(f"nothing of {before.name} and {after.name} can be compared: {first}{more}")
    different = any(facts["state"] != "same" for facts in datasets.values())
    complete = not any(facts["not_compared"] for facts in datasets.values())
    return {
        "format": FORMAT,
        "before": {"name": before.name, "commit": before.commit},
        "after": {"name": after.name, "commit": after.commit},
        "same": False if different else True if complete else None,
        "datasets": datasets,
    }


def _compare_dataset(key: str, before: Revision, after: Revision, params: list[Facts]) -> Facts:
    """Return the facts of a dataset that both revisions have."""
    facts: Facts = {"state": "same", "not_compared": [], "params": params}
    for part, compare_part in PARTS.items():
        try:
            facts[part] = compare_part(key, before, after)
        except UserError as error:
            facts[part] = None
            facts["not_compared"].append(f"{part}: {error}")
    for part, reason, what in (("videos", "unsplit", "splits"), ("samples", "unexplained", "why samples changed")):
        if facts[part] and (text := facts[part].pop(reason)):
            facts["not_compared"].append(f"{what}: {text}")
    if params or any(changes(part) for part in _compared(facts)):
        facts["state"] = "changed"
    return facts


def _count_dataset(key: str, state: str, revision: Revision) -> Facts:
    """Return the facts of a dataset that only one revision has: counts, with none on the other side."""
    facts: Facts = {"state": state, "not_compared": []}
    count: Callable[[str, Revision, bool], Facts | None]
    for part, count in (("videos", count_videos), ("samples", count_samples)):
        try:
            facts[part] = count(key, revision, state == "added")
        except UserError as error:
            facts[part] = None
            facts["not_compared"].append(f"{part}: {error}")
    return facts


def _compared(facts: Facts) -> list[Facts]:
    return [facts[part] for part in PARTS if facts.get(part)]


def changes(part: Facts) -> dict[str, int]:
    """Return how many entries each list of changes of a part has, without the empty ones."""
    lists = {name: value for name, value in part.items() if isinstance(value, (pa.Table, list)) and name != "cells"}
    return {name: len(value) for name, value in lists.items() if len(value)}


def _quotas(key: str, before: Revision, after: Revision) -> Facts | None:
    """Return under `changed` each cell and column of the quotas that changed."""
    columns = ["split", "label", *QUOTA]
    read = read_both(before, after, f"data/extract/{key}/quotas.parquet", tables.FILLED, columns)
    if read is None:
        return None
    were, are = ({(row["split"], row["label"]): row for row in table.to_pylist()} for table in read)
    return {
        "changed": [
            {"split": split, "label": label, "what": what, "before": old, "after": new}
            for split in tables.SPLITS
            for label in tables.CLASSES
            for what in QUOTA
            if (old := were.get((split, label), {}).get(what)) != (new := are.get((split, label), {}).get(what))
        ]
    }


def _recipe(key: str, before: Revision, after: Revision) -> Facts | None:
    """Return the versions of decoder and detector that only one of the revisions was made with."""
    read = read_both(before, after, f"data/extract/{key}/frames.parquet", tables.FRAMES, ["recipe"])
    if read is None:
        return None
    were, are = (set(pc.unique(column(table, "recipe")).to_pylist()) - {""} for table in read)
    return {"removed": sorted(were - are), "added": sorted(are - were)}


def _shards(key: str, before: Revision, after: Revision) -> Facts | None:
    """Return the names of the shards that came, went, or have other bytes, and the bytes to fetch for them."""
    path = f"data/shard/{key}/{manifests.NAME}"
    if not before.has(path) and not after.has(path):
        return None
    were, are = (
        {
            name: file
            for name, file in manifests.parse(side.read(path), f"{path} of {side.name}")["files"].items()
            if name.endswith(".tar")
        }
        for side in (before, after)
    )
    changed = sorted(name for name in were.keys() & are if were[name]["sha256"] != are[name]["sha256"])
    added = sorted(are.keys() - were)
    return {
        "before": len(were),
        "after": len(are),
        "changed": changed,
        "added": added,
        "removed": sorted(were.keys() - are),
        "bytes_to_fetch": sum(are[name]["bytes"] for name in [*changed, *added]),
    }


PARTS: dict[str, Callable[[str, Revision, Revision], Facts | None]] = {
    "videos": compare_videos,
    "samples": compare_samples,
    "quotas": _quotas,
    "recipe": _recipe,
    "shards": _shards,
}
