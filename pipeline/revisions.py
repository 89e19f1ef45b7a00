"""Tables and files of a DVC project at any revision, its own or someone else's, without checking anything out."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc_objects.fs.base import FileSystem
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from scmrepo.exceptions import SCMError

from pipeline import params, tables
from pipeline.errors import UserError


class Revision:
    """What a project holds at a revision. Paths are below its root, with forward slashes.

    Contents come from the project's cache where it has them, else from its remote. Methods raise UserError for a file
    that the revision does not have (`FileNotThere`), or whose content is neither in cache nor remote.
    """

    def __init__(self, fs: DVCFileSystem, name: str) -> None:
        self.fs = fs
        self.name = name

    def has(self, path: str) -> bool:
        """Return whether the revision has this file or folder; its content may still be out of reach."""
        return bool(self.fs.exists(path))

    def files(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`, sorted."""
        with self._explained(folder):
            entries = self.fs.ls(folder, detail=True)
        return sorted(Path(entry["name"]).name for entry in entries if entry["type"] == "file")

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        with self._explained(path), self.fs.open(path) as file:
            return bytes(file.read())

    def read_range(self, path: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` of a file; of a remote file only these are fetched."""
        with self._explained(path):
            fs, place = self.place(path)
            return bytes(fs.fs.cat_file(place, start=offset, end=offset + size))

    def place(self, path: str) -> tuple[FileSystem, str]:
        """Return where a file's bytes lie: DVC's file system of workspace, cache or remote, and the path there."""
        info = self.fs.info(path)
        if "dvc_info" not in info:
            return self.fs.repo.fs, self.fs.fs._from_key(self.fs.fs._get_key_from_relative(path))
        found = self.fs.fs._datafss[()].fs._get_fs_path("/" + path)
        return found.fs, found.fs_path

    def read_json(self, path: str) -> Any:
        """Return what a JSON file holds."""
        try:
            return json.loads(self.read(path))
        except ValueError:
            raise UserError(f"{path} at {self.name} is no JSON") from None

    def read_table(self, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a table of tables.py, or `columns` of it."""
        return tables.read(io.BytesIO(self.read(path)), schema, columns, called=f"{path} at {self.name}")

    def params(self) -> dict[str, Any]:
        """Return params.yaml."""
        try:
            document = YAML(typ="safe", pure=True).load(self.read(params.PARAMS_FILE.name))
        except YAMLError:
            document = None
        if not isinstance(document, dict):
            raise UserError(f"{params.PARAMS_FILE} at {self.name} holds no mapping of sections")
        return document

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if self.has(path):
                raise UserError(
                    f"{path} of {self.name} is neither in the cache nor on the remote; ask its owner to `dvc push`"
                ) from error
            raise FileNotThere(f"{self.name} has no {path}") from error
        except (DvcException, OSError) as error:
            raise UserError(f"{path} of {self.name} cannot be read: {_first_line(error)}") from error


class FileNotThere(UserError):
    """A revision does not have a file."""


@contextmanager
def open_revision(rev: str | None = None, repo: str | None = None, remote: str | None = None) -> Iterator[Revision]:
    """Give the project `repo` (path or URL of a Git repository; None: this one) at the revision `rev`.

    `rev` is whatever Git knows: branch, tag, commit; None is the workspace of this project, or the default branch of
    another. `remote` names one of the project's DVC remotes; None is its default. Raises UserError when there is no
    such project, revision or remote.
    """
    name = rev or ("the workspace" if repo is None else "its default branch")
    name = name if repo is None else f"{name} of {repo}"
    try:
        fs = DVCFileSystem(repo=repo, rev=rev, remote=remote)
        fs.repo  # noqa: B018  # opened here, so that an unknown repository or revision is told here
    except (DvcException, SCMError, OSError) as error:
        raise UserError(f"{name} cannot be opened: {_first_line(error)}") from error
    try:
        yield Revision(fs, name)
    finally:
        fs.close()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
