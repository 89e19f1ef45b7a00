"""Disks: which one a path will lie on, and sizes in words."""

from pathlib import Path

from tqdm import tqdm


def existing(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists: the disk that it will lie on."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())


def in_words(size: float) -> str:
    """Return a number of bytes in words, in powers of 1000."""
    return f"{size:.0f}B" if size < 1000 else f"{tqdm.format_sizeof(size)}B"
