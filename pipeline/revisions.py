"""Tables and files of a DVC project at any revision, its own or someone else's, without checking anything out."""

import atexit
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from dvc.api import DVCFileSystem
from dvc.fs import LocalFileSystem
from dvc.repo import Repo
from dvc.repo.open_repo import clean_repos
from dvc_data.index.index import DataIndexDirError
from dvc_objects.fs.base import FileSystem
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import params, tables
from pipeline.errors import UserError, first_line
from pipeline.files import sha256_of_bytes, whole_or_absent

# DVC tells a remote that lacks an object from one that does not answer as little as from one that refuses.
_OUT_OF_REACH = (
    "is neither in the cache nor on the remote, or the remote does not answer; if it does, ask the owner to `dvc push`"
)

atexit.register(clean_repos)  # clones of other repositories are shared as long as the process lives


class Revision:
    """What a project holds at a revision. Paths are below its root, with forward slashes.

    Contents come from the workspace, where that is asked for and has them, else from the project's cache, else from its
    remote. Methods raise UserError for a file that the revision does not have (`FileNotThere`), or whose content is
    out of reach. `commit` is the full hash of the commit; None for a workspace.
    """

    def __init__(self, fs: DVCFileSystem, name: str) -> None:
        self.fs = fs
        self.name = name
        self._fetched = tempfile.TemporaryDirectory(prefix="veriframe-")  # files of a remote; gone with this object
        self.commit = None if isinstance(fs.repo.fs, LocalFileSystem) else str(fs.repo.get_rev())

    def has(self, path: str) -> bool:
        """Return whether the revision has this file or folder; its content may still be out of reach.

        Raises UserError where that cannot be known, because DVC's list of the folder is out of reach.
        """
        try:
            with self._explained(path):
                self.fs.info(_from_root(path))
        except FileNotThere:
            return False
        return True

    def files(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`, sorted."""
        with self._explained(folder):
            entries = self.fs.ls(_from_root(folder), detail=True)
        return sorted(Path(entry["name"]).name for entry in entries if entry["type"] == "file")

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        with self._explained(path), self.fs.open(_from_root(path)) as file:
            return bytes(file.read())

    def read_range(self, path: str, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` of a file; of a remote file only these are fetched.

        A plain web server knows nothing of ranges and sends the whole file: it is kept, and asked for once.
        """
        fetched = self._place_of_fetched(path)
        if fetched.exists():
            with fetched.open("rb") as file:
                file.seek(offset)
                return file.read(size)
        fs, place = self.place(path)
        if self.commit and fs is self.fs.repo.fs:  # Git's own files are small, and read whole or not at all
            return self.read(path)[offset : offset + size]
        with self._explained(path):
            content = bytes(fs.fs.cat_file(place, start=offset, end=offset + size))
            if len(content) <= size:
                return content
            with whole_or_absent(fetched) as part:
                part.write_bytes(content)
            return content[offset : offset + size]

    def place(self, path: str) -> tuple[FileSystem, str]:
        """Return where a file's bytes lie: DVC's file system of workspace, cache or remote, and the path there.

        A remote is not asked whether it has them: that takes a request each, which a web server answers by sending all.
        """
        with self._explained(path):
            info = self.fs.info(_from_root(path))
            direct = self.fs._from_key(self.fs._get_key_from_relative(_from_root(path)))
            # The workspace before the cache: somebody may have changed it since the last run.
            if "dvc_info" not in info or self.fs.repo.fs.exists(direct):
                return self.fs.repo.fs, direct
            data = self.fs._datafss[()].fs
            entry = data.info(_from_root(path))["entry"]
            storage = data.index.storage_map[entry.key]
            if storage.remote and not storage.cache.exists(entry):
                remote, place = storage.remote.get(entry)
                return remote, str(place)
            found = data._get_fs_path(_from_root(path))
            return found.fs, found.fs_path

    def read_json(self, path: str) -> Any:
        """Return what a JSON file holds."""
        try:
            return json.loads(self.read(path))
        except ValueError:
            raise UserError(f"{path} at {self.name} is no JSON") from None

    def read_arrow(self, path: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
        """Return a table of tables.py, or `columns` of it, as Arrow holds it."""
        return tables.read_arrow(self._table(path), schema, columns, called=f"{path} at {self.name}")

    def params(self) -> dict[str, Any]:
        """Return params.yaml."""
        return self.read_yaml(params.PARAMS_FILE.name)

    def read_yaml(self, path: str) -> dict[str, Any]:
        """Return the mapping that a YAML file holds."""
        try:
            document = YAML(typ="safe", pure=True).load(self.read(path))
        except YAMLError:
            document = None
        if not isinstance(document, dict):
            raise UserError(f"{path} at {self.name} holds no mapping of sections")
        return document

    def _table(self, path: str) -> Path:
        """Return a local file's path, so that only what is asked for of it is read; a remote one is fetched once."""
        fs, place = self.place(path)
        if isinstance(fs, LocalFileSystem) and Path(place).exists():
            return Path(place)
        fetched = self._place_of_fetched(path)
        if not fetched.exists():
            content = self.read(path)
            with whole_or_absent(fetched) as part:
                part.write_bytes(content)
        return fetched

    def _place_of_fetched(self, path: str) -> Path:
        """Return where a remote file's copy lies: under a hash, because other people's tables name the shards."""
        return Path(self._fetched.name, sha256_of_bytes(path.encode()))

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except FileNotFoundError as error:
            if self.fs.exists(_from_root(path)):
                raise UserError(f"{path} of {self.name} {_OUT_OF_REACH}") from error
            raise FileNotThere(f"{self.name} has no {path}") from error
        except DataIndexDirError as error:
            raise UserError(f"{path} of {self.name} {_OUT_OF_REACH}") from error
        except Exception as error:  # each kind of remote has errors of its own, without a common class
            raise UserError(f"{path} of {self.name} cannot be read: {first_line(error)}") from error


class FileNotThere(UserError):
    """A revision does not have a file."""


@contextmanager
def open_revision(rev: str | None = None, repo: str | None = None, remote: str | None = None) -> Iterator[Revision]:
    """Give the project `repo` (path or URL of a Git repository; None: the one around the current folder) at `rev`.

    `rev` is whatever Git knows: branch, tag, commit; None is the workspace, or the default branch of a project that has
    none (a URL). `remote` names one of the project's DVC remotes; None is its default. Raises UserError when there is
    no such project, revision or remote.
    """
    called = " of ".join(filter(None, [rev, repo])) or "this project"
    try:
        if repo is None:
            Repo.find_root()  # else DVC takes the current folder for a repository to clone
        fs = DVCFileSystem(repo=repo, rev=rev, remote=remote)
        known = fs.repo.config["remote"]  # opened here, so that an unknown repository or revision is told here
    except Exception as error:  # of DVC, of Git, of the network
        told = first_line(error.__cause__ or error)
        cause = first_line(_first_cause(error))  # that of a clone that failed says only that it did
        raise UserError(f"{called} cannot be opened: {told}" + f": {cause}" * (cause not in told)) from error
    try:
        if remote is not None and remote not in known:
            raise UserError(f"{called} has no remote {remote!r}; known: {', '.join(known) or 'none'}")
        name = rev or ("its default branch" if fs.repo.url else "the workspace")
        yield Revision(fs, name if repo is None else f"{name} of {repo}")
    finally:
        fs.close()


def _first_cause(error: BaseException) -> BaseException:
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


def _from_root(path: str) -> str:
    """Return the path as DVC's file system takes it whatever folder of the project is the current one."""
    return "/" + path
