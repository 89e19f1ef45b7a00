"""Byte-reproducible tars: no time, no owner, USTAR, members in the order given, whole or absent."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from pipeline.files import whole_or_absent

BLOCK = 512  # bytes: the header before each member's content, and what contents are padded to (USTAR)


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> list[int]:
    """Write (name, content) members to `path`; return where each content starts, bytes from the start of the file."""
    offsets = []
    with whole_or_absent(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            offsets.append(tar.offset + BLOCK)
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return offsets


def stored_size(content: int) -> int:
    """Return how many bytes a member of `content` bytes takes in a tar."""
    return BLOCK + -(-content // BLOCK) * BLOCK


def read_member(path: Path, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset` of the tar at `path`."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)
