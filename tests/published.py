"""Copies of a release as a layout sees them: published paths, of which only the lists are written."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline import recognition
from pipeline.datasets import Lists, Record, load_layout, natural_order
from pipeline.params import Dataset


def read_lists(root: Path, layout: str, lists: Mapping[str, object], paths: Iterable[str] = ()) -> Lists:
    """Write `lists` (published path -> text, bytes, or what is written as JSON) and read them beside `paths`."""
    for path, content in lists.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        (root / path).write_bytes(content)
    return load_layout(layout).read_lists({path: root / path for path in (*lists, *paths)})


def recognise(layout: str, path: str, lists: Lists) -> Record:
    """Return the record of a path as it lies in a copy; it must have one."""
    found = load_layout(layout)
    record = found.recognise(found.published(path), lists)
    assert record is not None, path
    return record


def recognise_all(root: Path, layout: str, lists: Mapping[str, object], paths: Iterable[str]) -> dict[str, Record]:
    """Return path -> record of a whole copy; each path must have one."""
    paths = list(paths)
    read = read_lists(root, layout, lists, paths)
    return {path: recognise(layout, path, read) for path in paths}


def videos(records: Mapping[str, Record]) -> dict[tuple[str, str, str], list[str]]:
    """Return (method, compression, name) -> the paths that are one video, in frame order."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for path in sorted(records, key=natural_order):
        record = records[path]
        grouped.setdefault((record.method, record.compression, record.name), []).append(path)
    return grouped


def is_sidecar(layout: str, path: str) -> bool:
    """Say whether the layout knows the file as belonging to the dataset without being a sample."""
    return any(re.fullmatch(pattern, path) for pattern, _ in load_layout(layout).sidecars)


def walk(root: Path, layout: str, paths: Iterable[str], lists: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Put empty files and `lists` below `root`, as a user's copy has them; return its rows by path."""
    for path, content in {**dict.fromkeys(paths, b""), **lists}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return {row["path"]: row for row in recognition.recognise("key", Dataset(layout=layout, root=root)).rows}
