"""The dataset families: one file each, stating only what is peculiar to it. docs/layouts.md shows how to add one.

A family's file ends in `LAYOUTS`, the layouts it reads by the name used in params.yaml. Whatever the user's copy looks
like, a layout is only shown published paths: where the release has each file. Walking the tree, turning the paths of a
known re-arrangement into published ones, and the rows for what is missing, stray or damaged are written once, in
recognition.py and indexing.py.
"""

import csv
import json
import pkgutil
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from posixpath import splitext
from typing import Any

from pipeline.errors import UsageError, UserError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"}
    | {".flv", ".wmv", ".gif", ".ogv", ".ogg", ".264", ".h264", ".3gp"}
)
IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"])


Rearranged = tuple[tuple[str, str], ...]


def media(path: str) -> str | None:
    """Return what a file is by its extension: `video`, `images`, or None for neither."""
    suffix = splitext(path)[1].lower()  # as text: PurePosixPath would take five times as long
    return "images" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


@dataclass(frozen=True)
class Record:
    """What path and lists say of one video or image; the meaning of each field is that of the column in tables.VIDEOS.

    `original` and `mask` are published paths. `label` is None where the video belongs to the dataset but no list gives
    its label. `list_label` is the label by a published list where `label` comes from the folder, so that the two can be
    held against each other. Images with the same method, compression and name are the frames of one video.

    Recordings and persons are named `<corpus>/<name>`, where a corpus is the material and not the release: the three
    Celeb-DF releases share theirs, and the reals of DeeperForensics are FaceForensics++'s: ties across datasets show.
    """

    name: str
    method: str
    label: int | None
    compression: str = "native"
    official_split: str | None = None
    recording: str | None = None
    donor_recording: str | None = None
    source_video: str | None = None
    donor_source_video: str | None = None
    person: str | None = None
    donor_person: str | None = None
    original: str | None = None
    mask: str | None = None
    list_label: int | None = None


@dataclass(frozen=True)
class Lists:
    """The published lists of a copy.

    `files` are the published paths of the lists that were found, `named` those of the videos they name, `content` is
    for the layout's own use. `missing` names lists without which splits or labels would be wrong, each with what to do.
    """

    files: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    content: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Count:
    """A published number of videos (or images): all those with this split, label and method; None = whatever.

    `certain` is False where sources disagree or the figure was never held against the release itself.
    """

    videos: int
    split: str | None = None
    label: int | None = None
    method: str | None = None
    compression: str | None = None
    certain: bool = True


@dataclass(frozen=True)
class KnownList:
    """A published list as released: its SHA-256, and what is known of altered copies by their number of lines."""

    sha256: str
    lines: int
    altered: Mapping[int, str] = field(default_factory=dict)


def _named(lists: Lists, present: Collection[str]) -> Iterable[str]:
    return lists.named


@dataclass(frozen=True)
class Layout:
    """One published layout.

    - `title`: the dataset's name, for people.
    - `read_lists(files) -> Lists`: read the lists among `files` (published path -> where it lies); UserError for a list
      that is malformed.
    - `recognise(path, lists) -> Record | None`: what a published path says; None for a file that is no video of it.
    - `rearranged`: known re-arrangements as (regular expression, replacement), applied in order to the start of a path
      below the root, each of which leaves published paths as they are.
    - `sidecars`: files that belong to the dataset and are no samples, as (regular expression of the whole published
      path, what they are).
    - `expected(lists, present) -> paths`: every published path that should be there, given those that are; by default
      the videos that the lists name.
    - `counts`, `known_lists`: what `veriframe doctor` holds the copy against; the lists by published path.
    """

    title: str
    read_lists: Callable[[Mapping[str, Path]], Lists]
    recognise: Callable[[str, Lists], Record | None]
    rearranged: Rearranged = ()
    sidecars: tuple[tuple[str, str], ...] = ()
    expected: Callable[[Lists, Collection[str]], Iterable[str]] = _named
    counts: tuple[Count, ...] = ()
    known_lists: Mapping[str, KnownList] = field(default_factory=dict)

    def published(self, path: str) -> str:
        """Return the published path of a path below the root."""
        return published(path, self.rearranged)


def published(path: str, rearranged: Rearranged) -> str:
    """Return the published path of a path in a known re-arrangement; extensions of media in small letters."""
    for pattern, replacement in rearranged:
        path = re.sub(rf"\A(?:{pattern})", replacement, path, count=1)
    stem, suffix = splitext(path)
    return stem + suffix.lower() if media(path) else path


def listed(path: str, rearranged: Rearranged = ()) -> str:
    """Return the published path of an entry of a list, which may be written as the copy was, or on Windows."""
    return published(path.strip().replace("\\", "/").removeprefix("./"), rearranged)


def read_lists(layout: Layout, files: Mapping[str, Path]) -> Lists:
    """Read a layout's lists among `files`; UserError for one that is malformed or cannot be read."""
    try:
        return layout.read_lists(files)
    except OSError as error:  # a link that leads nowhere, a list without the right to read it
        raise UserError(f"{error.filename}: {error.strerror}") from None


@cache
def layouts() -> dict[str, Layout]:
    """Return every layout by name, from all family files in this folder."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return {name: layout for module in modules for name, layout in module.LAYOUTS.items()}


def load_layout(name: str) -> Layout:
    """Return a layout by the name used in params.yaml; UsageError for an unknown one."""
    if name not in layouts():
        raise UsageError(f"unknown layout {name!r}; known: {', '.join(sorted(layouts()))}")
    return layouts()[name]


def no_lists(files: Mapping[str, Path]) -> Lists:
    """Return empty lists: `read_lists` of a layout whose folders say everything."""
    return Lists()


def csv_rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number from 1, cells without outer blanks) of each line of a CSV list that is not empty.

    Raises UserError for a file that is not CSV in UTF-8.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            for cells in reader:
                if any(cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: expected CSV in UTF-8: {error}") from None


def json_object(file: Path, expected: str) -> dict[str, Any]:
    """Return the JSON object that a list holds; UserError with the form `expected` for anything else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected {expected}")
    return content


def natural_order(path: str) -> tuple[Any, ...]:
    """Return a sorting key that reads digits as numbers, so that frame 10 comes after frame 9; ties by the text."""
    parts = re.split(r"(\d+)", path)
    return (*[(int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts)], (-2, path))
