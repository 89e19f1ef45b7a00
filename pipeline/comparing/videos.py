"""What changed among the videos of a dataset, from the tables of index and split."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.comparing.matching import Matched, column, differs, look_up, match, read_both
from pipeline.errors import UserError
from pipeline.revisions import Revision

NO_VIDEO = ["stray", "sidecar"]  # rows of files that belong to no video; a `missing` one is a video of the lists
# What the tables say of a video beyond what has a list of its own.
DESCRIPTION = ["path", "method", "compression", "official_split", "recording", "donor_recording", "source_video"]
DESCRIPTION += ["donor_source_video", "person", "donor_person", "original", "frames"]
INDEX = ["video", "label", "sha256", "status", "reason", *DESCRIPTION]
SPLIT = ["video", "split", "group", "status", "reason"]


def compare_videos(key: str, before: Revision, after: Revision) -> dict[str, Any] | None:
    """Return what changed among the videos of the dataset `key`; None where neither revision has indexed it.

    Counts of `before` and `after` (`listed`, `usable`), and as Arrow tables: `added` and `removed` videos; `replaced`
    (the file's SHA-256 differs); `rejected` and `accepted` (no longer usable, and newly usable, with the reason), and
    `rejected_otherwise` (for another reason than before); of videos usable in both `relabelled`, `resplit` and
    `regrouped`; `described` (any other fact of DESCRIPTION, of videos usable in both or neither); `other_files_added`
    and `other_files_removed`. `unsplit` says why splits could not be compared; it is empty where they were. Raises
    UserError when the index cannot be compared.
    """
    indexed = read_both(before, after, f"data/index/{key}/videos.parquet", tables.VIDEOS, INDEX)
    if indexed is None:
        return None
    try:
        split, unsplit = read_both(before, after, f"data/split/{key}/videos.parquet", tables.ASSIGNMENTS, SPLIT), ""
    except UserError as error:
        split, unsplit = None, str(error)
    if split:
        indexed = _assigned(indexed[0], split[0]), _assigned(indexed[1], split[1])
    was, now = indexed
    matched = match(_videos(was), _videos(now), "video")
    others = match(_other_files(was), _other_files(now), "path")
    return {
        "before": _counts(_videos(was)),
        "after": _counts(_videos(now)),
        **changes(matched),
        "other_files_added": others.added.select(["path"]),
        "other_files_removed": others.removed.select(["path"]),
        "unsplit": unsplit,
    }


def count_videos(key: str, revision: Revision, added: bool) -> dict[str, Any] | None:
    """Return the counts of compare_videos for a dataset `added` by `revision`, or removed after it."""
    path = f"data/index/{key}/videos.parquet"
    if not revision.has(path):
        return None
    videos = revision.read_arrow(path, tables.VIDEOS, INDEX)
    path = f"data/split/{key}/videos.parquet"
    if revision.has(path):
        videos = _assigned(videos, revision.read_arrow(path, tables.ASSIGNMENTS, SPLIT))
    there, nothing = _counts(_videos(videos)), {"listed": 0, "usable": 0}
    return {"before": nothing, "after": there} if added else {"before": there, "after": nothing}


def changes(matched: Matched) -> dict[str, pa.Table]:
    """Return the lists of compare_videos from the videos of two versions, matched by `video`."""
    sides = matched.before, matched.after
    was, now = (pc.equal(column(side, "status"), "ok") for side in sides)
    both = matched.where(pc.and_(was, now))
    neither = matched.where(pc.invert(pc.or_(was, now)))
    opened = matched.where(pc.and_(*(pc.is_valid(side["sha256"]) for side in sides)))
    assigned = {"resplit": "split", "regrouped": "group"} if "split" in matched.now.column_names else {}
    shown = ["video", "label", "status", "reason", *(name for name in ("split",) if assigned)]
    return {
        "added": matched.added.select(shown),
        "removed": matched.removed.select(shown),
        "replaced": _changed(opened, "sha256"),
        "rejected": matched.where(pc.and_not(was, now)).after.select(["video", "reason"]),
        "accepted": matched.where(pc.and_not(now, was)).before.select(["video", "reason"]),
        "rejected_otherwise": _changed(neither, "reason"),
        "relabelled": _changed(both, "label"),
        **{name: _changed(both, fact) for name, fact in assigned.items()},
        "described": pa.concat_tables(_fact(side, fact) for fact in DESCRIPTION for side in (both, neither)),
    }


def _assigned(index: pa.Table, split: pa.Table) -> pa.Table:
    """Return the rows of the index with what split made of them: it may reject a video that can be read."""
    found = look_up(column(index, "video"), split, "video")
    for name in ("split", "group", "status", "reason"):
        values = column(found, name)
        if name in index.column_names:
            index = index.set_column(index.column_names.index(name), name, pc.coalesce(values, column(index, name)))
        else:
            index = index.append_column(name, values)
    return index


def _videos(table: pa.Table) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(column(table, "reason"), value_set=pa.array(NO_VIDEO))))


def _other_files(table: pa.Table) -> pa.Table:
    return table.filter(pc.is_in(column(table, "reason"), value_set=pa.array(NO_VIDEO)))


def _counts(videos: pa.Table) -> dict[str, int]:
    return {"listed": len(videos), "usable": pc.sum(pc.equal(column(videos, "status"), "ok")).as_py() or 0}


def _changed(matched: Matched, name: str) -> pa.Table:
    """Return video, before and after of those videos whose column `name` changed."""
    changed = matched.where(differs(matched, name))
    before, after = changed.before, changed.after
    columns = {"before": column(before, name), "after": column(after, name)}
    return pa.table({"video": column(after, "video"), **columns})


def _fact(matched: Matched, name: str) -> pa.Table:
    """Return video, fact, before and after, as text, of those videos whose column `name` changed."""
    changed = _changed(matched, name)
    values = {side: changed[side].cast(pa.string()) for side in ("before", "after")}
    return pa.table({"video": changed["video"], "fact": pa.array([name] * len(changed), pa.string()), **values})
