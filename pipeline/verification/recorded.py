"""What dvc.lock and the .dvc files of a project record: every output with its files and their hashes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.output import Output as DvcOutput
from dvc.repo import Repo
from dvc_data.hashfile.db import HashFileDB
from scmrepo.exceptions import SCMError

from pipeline.errors import UsageError, first_line
from pipeline.verification.hashing import LOCAL, digest, opened

Stores = dict[str, HashFileDB]  # by the name of the hash: objects of DVC 2 lie apart


@dataclass(frozen=True)
class Output:
    """An output as it was recorded. Paths are below the project's root, with forward slashes."""

    path: str
    hash_name: str  # md5; md5-dos2unix where DVC 2 recorded it
    oid: str  # name of its object: MD5 of the file, or of a folder's listing and then `.dir`
    files: dict[str, str] | None  # path -> MD5; None: a folder whose listing nobody has
    cached: bool  # else it lies in the workspace alone, as metrics in Git do
    pushed: bool  # the remote should have it
    imported: bool  # from another project
    ignored: Any  # what .dvcignore says, as DVC keeps it

    @cached_property  # asked for once per file: made each time, a folder of 100,000 files would take days
    def objects(self) -> dict[str, str]:
        """Return path -> name of the object in cache and remote; a folder's own path stands for its listing."""
        return {self.path: self.oid} | (self.files or {})

    @property
    def is_folder(self) -> bool:
        """Return whether it was recorded as a folder."""
        return self.oid.endswith(".dir")


@contextmanager
def open_project() -> Iterator[Repo]:
    """Give the DVC project that the current folder belongs to; UsageError when there is none that can be read."""
    try:
        with Repo() as repo:
            repo.index.outs  # noqa: B018  # read here, so that a damaged dvc.yaml or dvc.lock is told here
            yield repo
    except (DvcException, SCMError) as error:
        raise UsageError(f"cannot verify: {first_line(error)}") from error


def cache_of(repo: Repo) -> Stores:
    """Return the project's cache."""
    return {"md5": repo.cache.repo, "md5-dos2unix": repo.cache.legacy}


def remote_of(repo: Repo, name: str) -> Stores:
    """Return the remote `name`.

    Raises UsageError when the project has none, it keeps no objects by their hash, or it cannot be reached.
    """
    try:
        remote = repo.cloud.get_remote(name=name)
        stores = {"md5": remote.odb, "md5-dos2unix": remote.legacy_odb}
    except (DvcException, ImportError) as error:  # ImportError: the package for this kind of remote is not installed
        raise UsageError(f"--remote {name}: {first_line(error)}") from error
    if remote.fs.version_aware or remote.worktree:
        raise UsageError(f"--remote {name} is version_aware or a worktree: it keeps no objects by hash; not supported")
    if remote.fs.protocol == "local" and not remote.fs.isdir(remote.path):
        raise UsageError(f"--remote {name}: there is no folder {remote.path}")
    for out in [out for out in repo.index.outs if _is_recorded(out)][:1]:  # one request tells whether it answers
        store = stores[out.hash_name]
        try:
            with opened(store.fs, store.oid_to_path(out.hash_info.value)) as file:
                file.read(1)
        except FileNotFoundError:
            pass
        except Exception as error:  # whatever the library behind it raises
            raise UsageError(f"--remote {name} cannot be read: {first_line(error)}") from error
    return stores


def outputs_of(repo: Repo, remote: str | None, stores: list[Stores]) -> tuple[list[Output], list[str]]:
    """Return the outputs in the order of their paths, and the paths of those without a recorded hash.

    `remote` is the one that will be looked at; `stores`, best first, are where listings of folders may lie.
    """
    outs = sorted((out for out in repo.index.outs if out.is_in_repo), key=lambda out: str(out.fs_path))
    recorded = [_output(out, remote, stores) for out in outs if _is_recorded(out)]
    return recorded, [_below_root(out) for out in outs if not _is_recorded(out)]


def _is_recorded(out: DvcOutput) -> bool:
    return bool(out.hash_info) and out.hash_name in ("md5", "md5-dos2unix")


def _output(out: DvcOutput, remote: str | None, stores: list[Stores]) -> Output:
    path, oid = _below_root(out), out.hash_info.value
    files: dict[str, str] | None = {path: oid}
    if out.is_dir_checksum:
        listing = _listing(out, stores)
        files = None if listing is None else {f"{path}/{entry['relpath']}": entry["md5"] for entry in listing}
    pushed = out.use_cache and out.can_push and not out.stage.is_repo_import and out.remote in (None, remote)
    return Output(
        path=path,
        hash_name=out.hash_name,
        oid=oid,
        files=files,
        cached=out.use_cache,
        pushed=pushed,
        imported=out.stage.is_import,
        ignored=out.dvcignore,
    )


def _listing(out: DvcOutput, stores: list[Stores]) -> list[dict[str, str]] | None:
    """Return the listing of a folder from the first place that has it unharmed.

    The folder itself is the last such place: when nothing in it has changed, its listing has the recorded hash.
    """
    oid = out.hash_info.value

    def candidates() -> Iterator[bytes]:
        for store in stores if out.use_cache else []:
            yield _read_object(store[out.hash_name], oid)
        yield _listing_of(out)  # reads every file, so it is asked for last

    for content in candidates():
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == oid.removesuffix(".dir"):
            entries: list[dict[str, str]] = json.loads(content)
            return entries
    return None


def _read_object(store: HashFileDB, oid: str) -> bytes:
    try:
        with opened(store.fs, store.oid_to_path(oid)) as file:
            return bytes(file.read())
    except Exception:  # whatever the library behind a remote raises: it is re-hashed later, and told then
        return b""


def _listing_of(out: DvcOutput) -> bytes:
    """Return the listing that DVC would write for a folder of the workspace as it is now; nothing without one."""
    root = Path(out.fs_path)
    try:
        entries = [
            {"md5": digest((LOCAL, path, out.hash_name, False)).md5, "relpath": Path(path).relative_to(root).as_posix()}
            for path in out.dvcignore.find(LOCAL, out.fs_path)
        ]
    except OSError:
        return b""
    return json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True).encode()


def files_here(output: Output, root: Path) -> set[str]:
    """Return the paths of the files that now lie in a folder that is an output, without those in .dvcignore."""
    found = output.ignored.find(LOCAL, str(root / output.path))
    return {Path(path).relative_to(root).as_posix() for path in found}


def committed(repo: Repo, path: str) -> bytes | None:
    """Return a file of the last Git commit, by its path below the project's root; None where there is none."""
    try:
        below = (Path(repo.root_dir) / path).relative_to(repo.scm.root_dir).as_posix()
        with repo.scm.get_fs("HEAD").open(f"/{below}", "rb") as file:
            return bytes(file.read())
    except (SCMError, DvcException, NotImplementedError, OSError):  # no Git, no commit, no such file
        return None


def _below_root(out: DvcOutput) -> str:
    return Path(out.fs_path).relative_to(out.repo.root_dir).as_posix()
