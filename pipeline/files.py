"""Files that are whole or absent, hashes, and sorted listings."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it into place at the end, or remove it on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sha256_of_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_text(*parts: object) -> str:
    """Return the hexadecimal SHA-256 of the parts' texts, joined by newlines: a seed or key from stable ids."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def list_files(root: Path) -> list[str]:
    """Return every file below `root` (links followed) as a sorted list of relative paths with forward slashes."""
    found = [
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
    ]
    return sorted(found)
