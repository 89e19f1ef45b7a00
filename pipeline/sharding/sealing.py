"""Seal a folder: write its manifest (see manifests.py), last of all."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.engines import Run
from pipeline.errors import UserError
from pipeline.files import list_files, sha256_of_file, whole_or_absent
from pipeline.progress import track
from pipeline.sharding.manifests import FORMAT, NAME


def seal(folder: Path, facts: dict[str, Any], run: Run) -> None:
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
