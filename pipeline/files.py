"""Files that are whole or absent, hashes, and sorted listings."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import UserError


@contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; rename it into place at the end, or remove it on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # By chance, not by process id: two machines that share a folder may well share an id.
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` to fill; let it take the place of `out` at the end, or remove it on an error."""
    out = out.resolve()
    part = out.with_name(f".{out.name}.{secrets.token_hex(8)}.part")
    part.mkdir(parents=True)
    try:
        yield part
        shutil.rmtree(out, ignore_errors=True)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


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


def bucket_of(text: str, buckets: int) -> int:
    """Return which of `buckets`, numbered from 0, a text falls into by its hash: the same one in every run."""
    return int(sha256_of_text(text)[:8], 16) % buckets


def list_files(root: Path) -> list[str]:
    """Return every file below `root` (links followed) as a sorted list of relative paths with forward slashes."""

    def refuse(error: OSError) -> None:  # by default os.walk passes over such a folder without a word
        raise UserError(f"{error.filename}: {error.strerror}; give the right to read it")

    found: list[str] = []
    for folder, folders, names in os.walk(root, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not _leads_back(Path(folder, name))]
        below = Path(folder).relative_to(root).as_posix()  # once a folder: once a file would take longer than the walk
        found += names if below == "." else [f"{below}/{name}" for name in names]
    return sorted(found)


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that holds it: a walk through it would not end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def folder_of_each(parent: Path, keys: Iterable[str]) -> dict[str, Path]:
    """Return the folder below `parent` of each dataset key, in the order of `keys`.

    Stages over all datasets go through this and never list a folder. Raises UserError when a folder is missing, or
    when there is one more than the keys: it would be an input that nobody reads.
    """
    folders = {key: parent / key for key in keys}
    there = {path.name for path in parent.iterdir() if path.is_dir()} if parent.is_dir() else set()
    if missing := [str(folder) for key, folder in folders.items() if key not in there]:
        raise UserError(f"{', '.join(missing)}: not there; run `dvc repro` (or `dvc pull`) first")
    if additional := sorted(there - set(folders)):
        raise UserError(
            f"{parent} also holds {', '.join(additional)}, which `datasets` in params.yaml does not name; remove it, "
            "or add the dataset"
        )
    return folders
