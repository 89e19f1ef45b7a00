"""What changed among the samples of a dataset, and why, from the tables of shard, extract and index."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.comparing.matching import Matched, column, differs, look_up, match, read_both
from pipeline.errors import UserError
from pipeline.revisions import Revision

PLACE = ["shard", "offset", "bytes", "sha256"]  # where the picture lies, and what it must be
SHOWN = ["key", "video", "split", "label"]
FRAMES = ["key", "status", "reason"]
VIDEOS = ["video", "status", "reason"]


def compare_samples(key: str, before: Revision, after: Revision) -> dict[str, Any] | None:
    """Return what changed among the samples of the dataset `key`; None where neither revision has shards of it.

    Counts (`before`, `after`), `cells` (the same per split and class) and Arrow tables: `added` and `removed` (with
    `why`: what the other version has in their place), `replaced` (the picture's SHA-256 differs), all three with the
    places of their pictures, and `relabelled` and `resplit`. `unexplained` says why no `why` is known; empty where it
    is. Raises UserError when the samples cannot be compared.
    """
    read = read_both(before, after, f"data/shard/{key}/samples.parquet", tables.SAMPLES, SHOWN + PLACE)
    if read is None:
        return None
    matched = match(*read, "key")
    lists = changes(matched)
    unexplained = ""
    for name, other in (("added", before), ("removed", after)):
        try:
            why = _why(lists[name], key, other) if len(lists[name]) else pa.nulls(0, pa.string())
        except UserError as error:
            why, unexplained = pa.nulls(len(lists[name]), pa.string()), str(error)
        lists[name] = lists[name].append_column("why", why)
    return {
        "before": len(read[0]),
        "after": len(read[1]),
        "cells": cells(matched, lists),
        **lists,
        "unexplained": unexplained,
    }


def count_samples(key: str, revision: Revision, added: bool) -> dict[str, Any] | None:
    """Return the counts of compare_samples for a dataset `added` by `revision`, or removed after it."""
    path = f"data/shard/{key}/samples.parquet"
    if not revision.has(path):
        return None
    there = revision.read_arrow(path, tables.SAMPLES, ["split", "label"])
    before, after = (there.slice(0, 0), there) if added else (there, there.slice(0, 0))
    return {"before": len(before), "after": len(after), "cells": _cells({"before": before, "after": after})}


def changes(matched: Matched) -> dict[str, pa.Table]:
    """Return the lists of compare_samples, without `why`, from the samples of two versions, matched by `key`."""
    replaced = matched.where(differs(matched, "sha256"))
    return {
        "added": matched.added.select(SHOWN + PLACE),
        "removed": matched.removed.select(SHOWN + PLACE),
        "replaced": _beside(replaced, SHOWN, PLACE),
        "relabelled": _changed(matched, "label", beside="split"),
        "resplit": _changed(matched, "split", beside="label"),
    }


def _beside(matched: Matched, names: list[str], changed: list[str]) -> pa.Table:
    """Return the columns `names` as they are, and of each of `changed` one as it was and one as it is."""
    before, after = matched.before, matched.after
    both = {f"{name}_before": column(before, name) for name in changed}
    both |= {f"{name}_after": column(after, name) for name in changed}
    return pa.table({name: after[name] for name in names} | both)


def _changed(matched: Matched, name: str, beside: str) -> pa.Table:
    """Return key, video, the column `beside`, before and after of the samples whose column `name` changed."""
    changed = matched.where(differs(matched, name))
    before, after = changed.before, changed.after
    columns = {"before": column(before, name), "after": column(after, name)}
    return pa.table({shown: after[shown] for shown in ("key", "video", beside)} | columns)


def cells(matched: Matched, lists: dict[str, pa.Table]) -> list[dict[str, Any]]:
    """Return counts for each split and class: before + added + moved_in - removed - moved_out = after."""
    moved = matched.where(differs(matched, "split", "label"))
    parts = {"before": matched.was, "after": matched.now, "moved_in": moved.after, "moved_out": moved.before}
    return _cells(parts | {name: lists[name] for name in ("added", "removed", "replaced")})


def _cells(parts: dict[str, pa.Table]) -> list[dict[str, Any]]:
    """Return how many rows each part has for each split and class that occurs."""
    counts = {name: _count(table) for name, table in parts.items()}
    places = [(split, label) for split in tables.SPLITS for label in tables.CLASSES]
    return [
        {"split": split, "label": label, **{name: count.get((split, label), 0) for name, count in counts.items()}}
        for split, label in places
        if any((split, label) in count for count in counts.values())
    ]


def _count(table: pa.Table) -> dict[tuple[str, int], int]:
    plain = pa.table({name: column(table, name) for name in ("split", "label")})
    rows = plain.group_by(["split", "label"]).aggregate([([], "count_all")]).to_pylist()
    return {(row["split"], row["label"]): row["count_all"] for row in rows}


def _why(samples: pa.Table, key: str, other: Revision) -> Any:
    """Return what `other` has in place of each of `samples`."""
    frames = other.read_arrow(f"data/extract/{key}/frames.parquet", tables.FRAMES, FRAMES)
    videos = other.read_arrow(f"data/index/{key}/videos.parquet", tables.VIDEOS, VIDEOS)
    return why(samples, frames, videos)


def why(samples: pa.Table, frames: pa.Table, videos: pa.Table) -> Any:
    """Return what a version without `samples` has in their place, one text each.

    The status of the frame there (`unused`, `surplus`, `failed: no_face`); for what was no candidate frame the status
    of the video (`video rejected: unreadable`, `no video`), else `no candidate`.
    """
    frame = look_up(column(samples, "key"), frames, "key")
    video = look_up(column(samples, "video"), videos, "video")
    return pc.coalesce(
        _status(frame),
        pc.if_else(
            pc.equal(column(video, "status"), "ok"),
            "no candidate",
            pc.binary_join_element_wise("video ", _status(video), ""),
        ),
        "no video",
    )


def _status(rows: pa.Table) -> Any:
    """Return status and reason as one text; empty where there is no row."""
    status, reason = column(rows, "status"), column(rows, "reason")
    return pc.if_else(pc.equal(reason, ""), status, pc.binary_join_element_wise(status, reason, ": "))
