"""The manifest of a folder: size and SHA-256 of every other file. Written last: a folder that has one is whole."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.files import sha256_of_file

NAME = "manifest.json"
FORMAT = "veriframe-manifest-1"


def read(path: Path) -> dict[str, Any]:
    """Return the manifest at `path`: the facts that sealing.seal was given, and `files`.

    Raises UserError when it is missing or no manifest of ours.
    """
    try:
        return parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        what = path if path.parent.is_dir() else path.parent
        raise UserError(f"{what} is missing; run `dvc repro` (or `dvc pull`) first") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


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


def require_whole(folder: Path, files: dict[str, dict[str, Any]], names: Iterable[str] | None = None) -> None:
    """Compare the sizes of `names` (all) in `folder` with `files`, those of its manifest; of tables the bytes too.

    It is soon done, and finds what an interrupted copy leaves, and a label that somebody changed. Raises UserError when
    one is missing or differs.
    """
    names = list(files if names is None else names)
    wrong = [name for name in names if _size(folder / name) != _listed(files, name)]
    for name in names:
        if name.endswith(".parquet") and name not in wrong and sha256_of_file(folder / name) != files[name]["sha256"]:
            raise UserError(f"{folder / name} is not the one its {NAME} names; see `veriframe verify`")
    if not wrong:
        return
    first, here, listed = wrong[0], _size(folder / wrong[0]), _listed(files, wrong[0])
    problem = f"has {here} bytes, not {listed}" if listed is not None else f"is not in its {NAME}"
    problem = problem if here is not None else "is missing"
    more = f" ({len(wrong) - 1} more files are wrong too)" if len(wrong) > 1 else ""
    raise UserError(f"{folder / first} {problem}{more}; run `dvc pull` (or `dvc checkout`), or copy the folder again")


def _is_entry(facts: Any) -> bool:
    return isinstance(facts, dict) and isinstance(facts.get("bytes"), int) and isinstance(facts.get("sha256"), str)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _listed(files: dict[str, dict[str, Any]], name: str) -> int | None:
    return files.get(name, {}).get("bytes")
