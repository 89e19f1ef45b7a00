"""Images instead of videos: single pictures, and frames that somebody has already taken out of a video."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.files import sha256_of_bytes, sha256_of_text
from pipeline.video import VideoError

MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"RIFF": "webp", b"BM": "bmp", b"II*\0": "tiff", b"MM\0*": "tiff"}
SHOWN = 5  # names of unreadable images in a message


def scan(paths: Sequence[Path]) -> dict[str, Any]:
    """Read and decode the images of one video, given in frame order.

    Returns columns of `tables.VIDEOS`: hashes, size, format (`container`) and size of the first readable image, and
    frames 0, 1, 2, ... as time stamps. Images that cannot be read stay frames; `detail` names them.
    Raises VideoError when no image can be read.
    """
    facts: dict[str, Any] = {"bytes": 0, "image_sha256": [], "detail": ""}
    unreadable = []
    for path in paths:
        content = _content(path)
        facts["bytes"] += len(content)
        facts["image_sha256"].append(sha256_of_bytes(content))
        picture = _picture(content)
        if picture is None:
            unreadable.append(path.name)
        elif "width" not in facts:
            kind = next((name for magic, name in MAGIC.items() if content.startswith(magic)), "other")
            facts |= {"container": kind, "height": picture.shape[0], "width": picture.shape[1]}
    if len(unreadable) == len(paths):
        raise VideoError("unreadable", f"not one of {len(paths)} images can be decoded")
    if unreadable:
        named = ", ".join(unreadable[:SHOWN]) + (", ..." if len(unreadable) > SHOWN else "")
        facts["detail"] = f"{len(unreadable)} of {len(paths)} images cannot be decoded: {named}"
    hashes = facts["image_sha256"]
    numbers = list(range(len(paths)))
    facts["sha256"] = hashes[0] if len(hashes) == 1 else sha256_of_text(*hashes)
    return facts | {"frames": len(paths), "pts": numbers, "key_frames": numbers}


def decode(paths: Sequence[Path], sha256: Sequence[str]) -> Iterator[tuple[np.ndarray | None, str]]:
    """Read images that have the hashes `sha256`, one after the other.

    Yields (upright RGB picture uint8 (height, width, 3), "") or (None, reason) with reason `missing`, `unreadable`,
    `changed_since_index` or `corrupt_frame`.
    """
    for path, expected in zip(paths, sha256, strict=True):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            yield None, "missing"
        except OSError:
            yield None, "unreadable"
        else:
            yield _checked(content, expected)


def _checked(content: bytes, expected: str) -> tuple[np.ndarray | None, str]:
    if sha256_of_bytes(content) != expected:
        return None, "changed_since_index"
    picture = _picture(content)
    return (None, "corrupt_frame") if picture is None else (cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), "")


def _content(path: Path) -> bytes:
    """Return the bytes of a file, none for one that is not there or may not be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _picture(content: bytes) -> np.ndarray | None:
    """Return the picture as BGR uint8, turned as its EXIF data ask, or None."""
    try:
        return cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR) if content else None
    except cv2.error:  # larger than OpenCV's limit
        return None
