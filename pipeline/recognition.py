"""What a raw tree holds, by names and published lists alone: one row per video, and per file that is none.

No file but the lists is opened. Nothing is skipped: what is missing, stray or not asked for is a row with a reason.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname
from typing import Any

import pandas as pd

from pipeline import tables
from pipeline.datasets import (
    Layout,
    Lists,
    Record,
    layouts,
    load_layout,
    media,
    natural_order,
    read_lists,
)
from pipeline.errors import UsageError, UserError
from pipeline.files import list_files, sha256_of_text
from pipeline.params import Dataset

Row = dict[str, Any]

NEARLY_ALL = 0.9
LEFT_BY_SYSTEM = re.compile(r"(.*/)?(\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini|__MACOSX/.*)", re.DOTALL)


@dataclass(frozen=True)
class Tree:
    """A raw tree as recognised: rows of `tables.VIDEOS` without the facts that only opening the files gives."""

    root: Path
    rows: list[Row]
    lists: Lists
    files: dict[str, str]  # published path -> path below the root
    rearranged: dict[tuple[str, str], int]  # (folder as found, folder as published) -> files


def recognise(key: str, dataset: Dataset) -> Tree:
    """Give every file below the dataset's root, every listed video and every frame folder its row.

    Raises UsageError when the layout is unknown, when the root is missing and when it holds no video of the layout
    (naming layouts that would fit); UserError when a list is malformed, and when two files are the same video.
    """
    layout = load_layout(dataset.layout)
    if not dataset.root.is_dir():
        raise UsageError(f"there is no folder {dataset.root}; link your copy there or change the path")
    below = list_files(dataset.root)
    found = _unwrapped(layout, dataset.root, below)
    if found is None:
        fit = {name: _fit(other, dataset.root, below) for name, other in layouts().items()}
        best = [name for name in fit if fit[name] == max(fit.values()) > 0]
        hint = f"; it fits {' or '.join(best)}" if best else ""
        raise UsageError(f"no file below {dataset.root} fits the layout {dataset.layout}{hint}")
    files, lists, records = found
    rows = _rows(key, dataset, layout, lists, files, records)
    _refuse_unknown_choices(dataset, rows)
    if dataset.subset is not None:
        _reject_outside_subset(rows, dataset.subset)
    return Tree(dataset.root, rows, lists, files, _rearranged(files))


def _unwrapped(layout: Layout, root: Path, below: list[str]) -> tuple[dict[str, str], Lists, dict[str, Record]] | None:
    """Return published path -> file, the lists, and published path -> record, without folders around the release.

    None if no file fits the layout.
    Of several ways to read the tree, the one with both labels counts, then the one with most videos: a folder around a
    dataset may be called `deepfake`, which is also the name of a class.
    """
    best, best_fit = None, (0, 0)
    for wrapper in _wrappers(below):
        files = _published(layout, below, wrapper)
        lists = read_lists(layout, {published: root / path for published, path in files.items()})
        names = [path for path in files.keys() - lists.files if _is_utf8(path) and not _left_by_system(path)]
        records = {path: record for path in names if (record := layout.recognise(path, lists))}
        fit = (len({record.label for record in records.values()}), len(records))
        if fit > best_fit:
            best, best_fit = (files, lists, records), fit
    return best


def _wrappers(below: list[str]) -> Iterator[str]:
    """Yield the folders that may be around the release, none first: each holds nearly all media.

    Not all, because people keep a cover picture or a sample beside it.
    """
    paths = [path for path in below if media(path) and not _left_by_system(path)]
    wrapper = ""
    while True:
        yield wrapper
        inside = [path[len(wrapper) :].split("/") for path in paths if path.startswith(wrapper)]
        folders = Counter(parts[0] for parts in inside if len(parts) > 1).most_common(1)
        if not folders or folders[0][1] < NEARLY_ALL * len(paths):
            return
        wrapper += f"{folders[0][0]}/"


def _fit(layout: Layout, root: Path, below: list[str]) -> int:
    """Return how many files a layout recognises."""
    try:
        found = _unwrapped(layout, root, below)
    except UserError:
        return 0
    return len(found[2]) if found else 0


def _published(layout: Layout, below: list[str], wrapper: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for path in below:
        other = files.setdefault(layout.published(path.removeprefix(wrapper)), path)
        if other is not path:
            raise UserError(f"{other} and {path} are the same file of the release; keep one of the two")
    return files


def _rows(
    key: str, dataset: Dataset, layout: Layout, lists: Lists, files: dict[str, str], records: dict[str, Record]
) -> list[Row]:
    present = files.keys() - lists.files
    rows: dict[str, Row] = {}
    video_of: dict[str, str] = {}
    expected = set(layout.expected(lists, present))
    absent = expected - present
    if expected and absent == expected:  # else every test video of a list written another way would be train
        named = f"{', '.join(sorted(lists.files))} below {dataset.root} name {len(expected):,} videos"
        raise UserError(f"{named}, as {min(expected)}, and not one is there; are they the lists of this copy?")
    for published in [*sorted(present, key=natural_order), *sorted(absent, key=natural_order)]:
        path = files[published] if published in present else published
        record = records.get(published) if published in present else layout.recognise(published, lists)
        row = _row(key, path, record)
        if published not in present and (record is None or _selected(record, dataset)):
            row |= _rejected("missing", "the release has it, no file is there")
        elif record is None:
            what = _sidecar(layout, published)
            row |= _rejected("sidecar", what) if what else _rejected("stray", _why_stray(path, dataset.layout))
        elif not _selected(record, dataset):
            row |= _rejected("not_selected", "the dataset's `methods` or `compression` do not ask for it")
        elif record.label is None:
            row |= _rejected("no_label", "no list gives its label")
        elif record.list_label not in (None, record.label):
            row |= _rejected("label_conflict", "folder and published list disagree")
        _add(rows, row)
        if row["reason"] not in tables.NO_VIDEO:
            video_of[published] = row["video"]
    _link_originals_and_masks(list(rows.values()), video_of, files)
    return list(rows.values())


def _sidecar(layout: Layout, published: str) -> str | None:
    """Return what a file that is no video is, if it is known."""
    if _left_by_system(published):
        return "left by an operating system"
    return next((what for pattern, what in layout.sidecars if re.fullmatch(pattern, published)), None)


def _left_by_system(path: str) -> bool:
    return LEFT_BY_SYSTEM.fullmatch(path) is not None


def _is_utf8(path: str) -> bool:
    """File names are bytes; Python keeps those that are not UTF-8 as lone surrogates, which no table can hold."""
    return path == path.encode(errors="replace").decode()


def _why_stray(path: str, layout: str) -> str:
    if not _is_utf8(path):
        return "its name is not UTF-8 (written here with backslashes)"
    kind = "its name and place fit no video" if media(path) else "not a video"
    return f"{kind} of the layout {layout}"


def _row(key: str, path: str, record: Record | None) -> Row:
    row: Row = dict.fromkeys(tables.VIDEOS.names)
    path = path.encode(errors="backslashreplace").decode()
    image = media(path) == "images"
    row |= {"dataset": key, "path": path, "media": "images" if image else "video", "status": "ok", "reason": ""}
    row["detail"] = ""
    if record is None:
        return row | {"video": f"{key}/?/{path}", "name": path, "method": "", "compression": ""}
    row |= {column: value for column, value in vars(record).items() if column in row}
    row["images"] = [path] if image else None
    return row | {"video": f"{key}/{record.method}/{record.compression}/{record.name}"}


def _rejected(reason: str, detail: str) -> Row:
    return {"status": "rejected", "reason": reason, "detail": detail}


def _add(rows: dict[str, Row], row: Row) -> None:
    """Add a row; images of one video become one row, and two files that claim to be one video are an error."""
    first = rows.setdefault(row["video"], row)
    if first is row:
        return
    if first["images"] and row["images"] and row["label"] == first["label"] and first["reason"] == row["reason"]:
        first["images"].append(row["path"])
    elif first["images"] and row["reason"] == "missing":  # an image of a sequence that is otherwise there
        row["video"] = f"{row['dataset']}/?/{row['path']}"
        rows[row["video"]] = row
    else:
        raise UserError(f"{first['path']} and {row['path']} are the same video; keep one of the two")


def _selected(record: Record, dataset: Dataset) -> bool:
    """Reals always stay: a dataset without them teaches nothing."""
    method = dataset.methods is None or record.label == tables.REAL or record.method in dataset.methods
    return method and (dataset.compression is None or record.compression in dataset.compression)


def _refuse_unknown_choices(dataset: Dataset, rows: list[Row]) -> None:
    for column, wanted in (("method", dataset.methods), ("compression", dataset.compression)):
        found = {row[column] for row in rows if row["label"] is not None and row["reason"] != "missing"}
        if unknown := sorted(set(wanted or []) - found):
            raise UserError(f"there is no {column} {', '.join(unknown)}; found: {', '.join(sorted(found))}")


def _link_originals_and_masks(rows: list[Row], video_of: dict[str, str], files: dict[str, str]) -> None:
    """Turn published paths of originals into video keys (`?/path` if not there), those of masks into paths found."""
    for row in rows:
        if row["original"] is not None:
            row["original"] = video_of.get(row["original"], f"?/{row['original']}")
        if row["mask"] is not None:
            row["mask"] = files.get(row["mask"])


def _reject_outside_subset(rows: list[Row], share: float) -> None:
    """Keep whole provenance groups: the share of those with the same splits, at least one of every split and method.

    Which ones is decided by the hash of the group's name.
    """
    from pipeline import provenance  # scipy: seconds that only a subset costs

    usable = [row for row in rows if row["status"] == "ok"]
    if not usable:
        return
    videos = pd.DataFrame(usable)
    videos["group"] = videos.video.map(provenance.groups(videos))
    kept: set[str] = set()
    for groups in provenance.makeups(videos.official_split.fillna(""), videos.group):
        kept |= set(sorted(groups, key=sha256_of_text)[: max(math.floor(share * len(groups) + 0.5), 1)])
    for _, groups_with in videos.groupby([videos.official_split.fillna(""), videos.method]).group:
        if kept.isdisjoint(groups_with):
            kept.add(min(groups_with, key=sha256_of_text))
    for row, group in zip(usable, videos.group, strict=True):
        if group not in kept:
            row |= _rejected("not_in_subset", f"the dataset's `subset` takes {share:.6g} of the provenance groups")


def rearrangement_in_words(found: str, published: str, files: int) -> str:
    """Return a sentence about `files` files that lie below the folder `found` instead of `published`."""
    number = "1 file" if files == 1 else f"{files:,} files"
    places = [f"{folder}/" if folder else "the root" for folder in (found, published)]
    return f"{number} below {places[0]} read as if below {places[1]}"


def _rearranged(files: dict[str, str]) -> dict[tuple[str, str], int]:
    """Count the files whose place is not the published one, by folder as found and as published, without equal ends."""
    moved = Counter((dirname(path), dirname(published)) for published, path in files.items() if path != published)
    places: Counter[tuple[str, str]] = Counter()
    for (found, published), number in moved.items():
        if found != published:
            places[_without_equal_ends(found.split("/"), published.split("/"))] += number
    return dict(sorted(places.items()))


def _without_equal_ends(one: list[str], other: list[str]) -> tuple[str, str]:
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return "/".join(one), "/".join(other)
