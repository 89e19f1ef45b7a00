"""What changed in each dataset from one revision of a project to another, from the tables that stages left.

Nothing is checked out, decoded or run.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import manifests, tables
from pipeline.comparing.matching import column, read_both
from pipeline.comparing.samples import compare_samples
from pipeline.comparing.videos import compare_videos
from pipeline.errors import UserError
from pipeline.revisions import Revision

FORMAT = "veriframe-diff-1"
SECTIONS = ("index", "split", "sample", "reduce", "extract", "shard")  # whose parameters shape a dataset
QUOTA = ["rule", "min_per_video", "candidates", "videos", "quota", "tried", "failed", "surplus", "kept"]

Facts = dict[str, Any]


def compare(before: Revision, after: Revision) -> Facts:
    """Return what changed from `before` to `after`, dataset by dataset.

    `same` is True, False, or None where nothing differs but not everything could be compared. Each of `datasets` has
    its `state` (same, changed, added, removed), `not_compared` (what could not be compared, and why), and, unless it is
    there at one revision only, `params`, `videos`, `samples`, `quotas`, `recipe` and `shards`: None where neither
    revision has run that far, or not compared. Lists that may be long are Arrow tables. Raises UserError when nothing
    can be compared at all.
    """
    documents = before.params(), after.params()
    were, are = (list(_mapping(document, "datasets")) for document in documents)
    datasets: dict[str, Facts] = {}
    for key in [*are, *(key for key in were if key not in are)]:
        if key in were and key in are:
            datasets[key] = _compare_dataset(key, before, after, _params(key, *documents))
        else:
            datasets[key] = {"state": "added" if key in are else "removed", "not_compared": []}
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


def _params(key: str, before: Facts, after: Facts) -> list[Facts]:
    """Return the parameters of the dataset `key` that changed: dotted name, before, after; None for what is not set."""
    were, are = (_resolved(document, key) for document in (before, after))
    return [
        {"name": name, "before": were.get(name), "after": are.get(name)}
        for name in [*are, *(name for name in were if name not in are)]
        if were.get(name) != are.get(name)
    ]


def _resolved(document: Facts, key: str) -> Facts:
    """Return the dataset's entry and sections, with what `by_dataset` overrides, as dotted names."""
    entry = f"datasets.{key}"
    resolved = _dotted(_mapping(_mapping(document, "datasets"), key), entry)
    for name in SECTIONS:
        section = _mapping(document, name)
        overrides = _mapping(_mapping(section, "by_dataset"), key)
        defaults = {knob: value for knob, value in section.items() if knob != "by_dataset"}
        resolved |= _dotted(defaults, name) | _dotted(overrides, name)
    return resolved


def _dotted(values: Facts, above: str) -> Facts:
    flat: Facts = {}
    for name, value in values.items():
        flat |= _dotted(value, f"{above}.{name}") if isinstance(value, dict) else {f"{above}.{name}": value}
    return flat


def _mapping(values: Facts, name: str) -> Facts:
    """Return the mapping at `name`; empty where nothing or something else stands there."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}
