"""The manifest of a folder: size and SHA-256 of every other file. Written last: a folder that has one is whole."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.engines import Run
from pipeline.errors import UserError
from pipeline.files import list_files, sha256_of_file, whole_or_absent
from pipeline.progress import track

NAME = "manifest.json"
FORMAT = "veriframe-manifest-1"


def write(folder: Path, facts: dict[str, Any], run: Run) -> None:
    """Write manifest.json into `folder`: `facts`, and under `files` each file's `bytes` and `sha256`, by name.

    `run` is an engine of pipeline.engines, over which the files are hashed.
    """
    names = [name for name in list_files(folder) if name != NAME]
    files = {}
    for name, hashed in track(run, partial(_hashed, folder), names, "manifest", "file"):
        if isinstance(hashed, Exception):
            raise UserError(f"{folder / name} cannot be read: {hashed}")
        files[name] = hashed
    content = {"format": FORMAT, **facts, "files": files}
    with whole_or_absent(folder / NAME) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")


def _hashed(folder: Path, name: str) -> dict[str, Any]:
    return {"bytes": (folder / name).stat().st_size, "sha256": sha256_of_file(folder / name)}


def read(path: Path) -> dict[str, Any]:
    """Return the manifest at `path` as `write` was given it, with `files`.

    Raises UserError when it is missing or no manifest of ours.
    """
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first") from None


def parse(content: bytes, name: str) -> dict[str, Any]:
    """Return a manifest from its bytes; UserError that names it by `name` when it is none of ours."""
    try:
        manifest = json.loads(content)
    except ValueError:  # bytes that are no UTF-8 among them
        manifest = None
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != FORMAT
        or not isinstance(manifest.get("files"), dict)
    ):
        raise UserError(f"{name} is damaged, or of another version of Veriframe")
    return manifest
