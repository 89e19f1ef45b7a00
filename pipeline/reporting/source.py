"""Where a report finds what the stages left: the project in this folder, or a project at any revision."""

import json
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from pipeline import tables
from pipeline.errors import UserError


class Source(Protocol):
    """A project whose files can be read; paths are below its root, with forward slashes.

    `pipeline.revisions.Revision` is one as well. Methods raise UserError for what is missing or out of reach.
    """

    name: str
    commit: str | None

    def has(self, path: str) -> bool:
        """Return whether the file or folder is there."""

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""

    def read_range(self, path: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` of a file."""

    def read_arrow(self, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """Return a table of tables.py, or `columns` of it."""

    def files(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`, sorted."""


class Workspace:
    """The project in the current folder, read without DVC: what a stage reports on."""

    name: str = "the workspace"
    commit: str | None = None

    def has(self, path: str) -> bool:
        """Return whether the file or folder is there."""
        return Path(path).exists()

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        try:
            return Path(path).read_bytes()
        except FileNotFoundError:
            raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first") from None

    def read_range(self, path: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` of a file."""
        try:
            with Path(path).open("rb") as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first") from None

    def read_arrow(self, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """Return a table of tables.py, or `columns` of it."""
        return tables.read_arrow(Path(path), schema, columns)

    def files(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`, sorted; none where there is no such folder."""
        return sorted(path.name for path in Path(folder).glob("*") if path.is_file())


def read_table(source: Source, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pd.DataFrame:
    """Return a table of tables.py as `tables.read` does."""
    return tables.to_pandas(source.read_arrow(path, schema, columns), schema)


def read_json(source: Source, path: str) -> Any:
    """Return what a JSON file holds."""
    try:
        return json.loads(source.read(path))
    except ValueError:
        raise UserError(f"{path} of {source.name} is no JSON; run `dvc repro` to write it anew") from None
