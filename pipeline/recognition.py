"""What a raw tree holds, by names and published lists alone: one row per video, and per file that is none.

No file but the lists is opened. Nothing is skipped: what is missing, stray or not asked for is a row with a reason.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline import tables
from pipeline.datasets import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Layout,
    Lists,
    Record,
    layouts,
    load_layout,
    natural_order,
)
from pipeline.errors import UsageError, UserError
from pipeline.files import list_files, sha256_of_text
from pipeline.params import Dataset

Row = dict[str, Any]


@dataclass(frozen=True)
class Tree:
    """A raw tree as recognised: rows of `tables.VIDEOS` without the facts that only opening the files gives."""

    root: Path
    rows: list[Row]  # with a key `published` besides the columns: the published path
    lists: Lists
    files: dict[str, Path]  # published path -> where the file lies
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
    files, lists = found
    rows = _rows(key, dataset, layout, lists, files)
    _refuse_unknown_choices(key, dataset, rows)
    _link_originals_and_masks(rows, files, dataset.root)
    if dataset.subset is not None:
        _reject_outside_subset(rows, dataset.subset)
    return Tree(dataset.root, rows, lists, files, _rearranged(files, dataset.root))


def _unwrapped(layout: Layout, root: Path, below: list[str]) -> tuple[dict[str, Path], Lists] | None:
    """Return published path -> file and the lists, after stripping a folder that wraps all media; None if none fits."""
    media = [path.rpartition("/")[0] for path in below if _is_media(path)]
    levels = PurePosixPath(os.path.commonpath(media) if media else "").parts
    for depth in range(len(levels) + 1):
        wrapper = "".join(f"{level}/" for level in levels[:depth])
        files = _published(layout, root, below, wrapper)
        lists = layout.read_lists(files)
        if any(layout.recognise(path, lists) for path in files if path not in lists.files):
            return files, lists
    return None


def _fit(layout: Layout, root: Path, below: list[str]) -> int:
    """Return how many files a layout recognises."""
    try:
        files, lists = _unwrapped(layout, root, below) or ({}, Lists())
    except UserError:
        return 0
    return sum(layout.recognise(path, lists) is not None for path in files)


def _published(layout: Layout, root: Path, below: list[str], wrapper: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in below:
        published, file = layout.published(path.removeprefix(wrapper)), root / path
        other = files.setdefault(published, file)
        if other is not file:
            raise UserError(f"{other} and {file} are the same file of the release; keep one of the two")
    return files


def _is_media(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES


def _rows(key: str, dataset: Dataset, layout: Layout, lists: Lists, files: dict[str, Path]) -> list[Row]:
    present = files.keys() - lists.files
    rows: dict[str, Row] = {}
    absent = set(layout.expected(lists, present)) - present
    for published in [*sorted(present, key=natural_order), *sorted(absent, key=natural_order)]:
        path = files[published].relative_to(dataset.root).as_posix() if published in present else published
        record = layout.recognise(published, lists) if _is_utf8(published) else None
        row = _row(key, path, record) | {"published": published}
        if published not in present and (record is None or _selected(record, dataset)):
            row |= _rejected("missing", "the release has it, no file is there")
        elif record is None:
            what = next((what for pattern, what in layout.sidecars if re.fullmatch(pattern, published)), None)
            row |= _rejected("sidecar", what) if what else _rejected("stray", _why_stray(path, dataset.layout))
        elif not _selected(record, dataset):
            row |= _rejected("not_selected", "the dataset's `methods` or `compression` do not ask for it")
        elif record.label is None:
            row |= _rejected("no_label", "no list gives its label")
        elif record.list_label not in (None, record.label):
            row |= _rejected("label_conflict", "folder and published list disagree")
        _add(rows, row)
    return list(rows.values())


def _is_utf8(path: str) -> bool:
    """File names are bytes; Python keeps those that are not UTF-8 as lone surrogates, which no table can hold."""
    return path == path.encode(errors="replace").decode()


def _why_stray(path: str, layout: str) -> str:
    if not _is_utf8(path):
        return "its name is not UTF-8 (written here with backslashes)"
    kind = "its name and place fit no video" if _is_media(path) else "not a video"
    return f"{kind} of the layout {layout}"


def _row(key: str, path: str, record: Record | None) -> Row:
    row: Row = dict.fromkeys(tables.VIDEOS.names)
    path = path.encode(errors="backslashreplace").decode()
    image = PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
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
    if row["reason"] == "missing" and first["images"]:  # a list names an image of a sequence that is otherwise there
        row["video"] = f"{row['dataset']}/?/{row['path']}"
        rows[row["video"]] = row
    elif first["images"] and row["images"] and row["label"] == first["label"] and first["reason"] == row["reason"]:
        first["images"].append(row["path"])
    else:
        raise UserError(f"{first['path']} and {row['path']} are the same video; keep one of the two")


def _selected(record: Record, dataset: Dataset) -> bool:
    """Reals always stay: a dataset without them teaches nothing."""
    method = dataset.methods is None or record.label == tables.REAL or record.method in dataset.methods
    return method and (dataset.compression is None or record.compression in dataset.compression)


def _refuse_unknown_choices(key: str, dataset: Dataset, rows: list[Row]) -> None:
    for column, wanted in (("method", dataset.methods), ("compression", dataset.compression)):
        found = {row[column] for row in rows if row["label"] is not None and row["reason"] != "missing"}
        if unknown := sorted(set(wanted or []) - found):
            raise UserError(
                f"datasets.{key}: there is no {column} {', '.join(unknown)}; found: {', '.join(sorted(found))}"
            )


def _link_originals_and_masks(rows: list[Row], files: dict[str, Path], root: Path) -> None:
    """Turn published paths of originals into video keys (`?/path` if not there), those of masks into paths found."""
    video_of = {row["published"]: row["video"] for row in rows if row["reason"] not in ("missing", "stray")}
    for row in rows:
        if row["original"] is not None:
            row["original"] = video_of.get(row["original"], f"?/{row['original']}")
        if row["mask"] is not None:
            mask = files.get(row["mask"])
            row["mask"] = mask.relative_to(root).as_posix() if mask else None


def _reject_outside_subset(rows: list[Row], share: float) -> None:
    """Keep whole provenance groups: of each make-up (the splits and methods in a group) the share, at least one."""
    import pandas as pd

    from pipeline import provenance

    usable = [row for row in rows if row["status"] == "ok"]
    videos = pd.DataFrame(usable)
    videos["group"] = videos.video.map(provenance.groups(videos))
    cell = videos.official_split.fillna("") + " " + videos.method
    makeup = cell.groupby(videos.group).agg(lambda cells: "\n".join(sorted(set(cells))))
    kept: set[str] = set()
    for _, members in makeup.groupby(makeup):
        kept |= set(sorted(members.index, key=sha256_of_text)[: max(round(share * len(members)), 1)])
    for row, group in zip(usable, videos.group, strict=True):
        if group not in kept:
            row |= _rejected("not_in_subset", f"the dataset's `subset` takes {share:.6g} of the provenance groups")


def _rearranged(files: dict[str, Path], root: Path) -> dict[tuple[str, str], int]:
    """Count the files whose place is not the published one, by folder as found and as published, without equal ends."""
    places = (
        (path.relative_to(root).parent.parts, PurePosixPath(published).parent.parts)
        for published, path in files.items()
    )
    moved = Counter(_without_equal_ends(found, published) for found, published in places if found != published)
    return dict(sorted(moved.items()))


def _without_equal_ends(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, str]:
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return "/".join(one), "/".join(other)
