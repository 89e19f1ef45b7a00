"""Disks: which one a path will lie on."""

from pathlib import Path


def existing(path: Path) -> Path:
    """Return `path`, or the nearest folder above it that exists: the disk that it will lie on."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
