"""Harm done to files of a project as disks, networks and people do it, and where DVC keeps a file's bytes."""

import hashlib
import os
from pathlib import Path
from typing import Any

from pipeline import tables
from project import lock


def flip(path: Path, at: int = 700) -> None:
    """Flip a bit of a byte and leave size, time, mode and, in the workspace, inode: all that DVC looks at."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    if before.st_nlink > 1:
        path.unlink()
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def stored(store: Path, oid: str) -> Path:
    """Return the path of an object in a cache or local remote."""
    return store / "files/md5" / oid[:2] / oid[2:]


def object_of(store: Path, file: Path) -> Path:
    """Return the path of the object that holds what `file` holds."""
    return stored(store, md5_of(file))


def md5_of(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def listing_of(project: Path, stage: str) -> str:
    """Return the name of the object that lists the files of a stage's folder."""
    oid: str = lock(project)[stage]["outs"][0]["md5"]
    return oid


def swap_label(path: Path, schema: Any, order: list[str], row: int = 3) -> str:
    """Swap one label in a table; return the key of that row, or its video where it has no key."""
    table = tables.read(path, schema)
    table.loc[row, "label"] = 1 - table.label[row]
    tables.write(path, table, schema, order=order)
    return str(table.loc[row, "key" if "key" in table else "video"])
