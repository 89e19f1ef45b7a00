"""Stream the shards of a dataset at any revision of any project, without cloning or keeping its data.

DVC says once where each shard lies; then the samples flow through plain `webdataset`. An epoch over several processes
that must all do the same number of steps needs pipeline.reading, and the data on a disk.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import webdataset as wds
from dvc_objects.fs.base import FileSystem
from dvc_objects.fs.local import LocalFileSystem
from webdataset.tariterators import group_by_keys, tar_file_expander

from pipeline.errors import UserError
from pipeline.revisions import Revision, open_revision
from pipeline.sharding import manifests

Shard = dict[str, Any]  # url, file_system (of DVC), path there, bytes


class Stream(wds.DataPipeline, wds.FluidInterface):
    """A webdataset pipeline that has `decode`, `to_tuple`, `map`, `batched` and the like."""


def open_stream(
    folder: str,
    split: str,
    *,
    repo: str | None = None,
    rev: str | None = None,
    remote: str | None = None,
    shuffle: int = 0,
    seed: int = 0,
) -> Stream:
    """Stream one split (train, val, test) of a dataset's folder of shards, say `data/shard/celeb_df_v2`.

    `repo` (path or URL of a Git repository), `rev` and `remote` are as revisions.open_revision takes them. Samples are
    as webdataset gives them: `__key__`, `jpg` and `json` as bytes, so `.decode("torchrgb8")` gives pictures as uint8
    (3, side, side) and descriptions as dictionaries. With `shuffle`, shards come in an order given by `seed`, and
    samples are mixed in a buffer of `shuffle`.

    In an epoch every sample comes once: the shards are dealt to the ranks of torch.distributed and then to the workers
    of a DataLoader, so there should be a good many more shards than workers. With `persistent_workers=True` the
    DataLoader gives each epoch an order of its own.

    Raises UserError when there is no such project, revision, folder or split; and while reading when a shard is not
    there, or not as long as the dataset's manifest says.
    """
    shards = _shards(folder, split, repo, rev, remote)
    return Stream(
        [shards],  # in a list: webdataset takes a bare one for a list of stages
        wds.detshuffle(len(shards), len(shards), seed) if shuffle else None,
        wds.split_by_node,
        wds.split_by_worker,
        _opened,
        tar_file_expander,
        group_by_keys,
        wds.detshuffle(shuffle, shuffle, seed) if shuffle else None,
    )


def shard_urls(
    folder: str, split: str, *, repo: str | None = None, rev: str | None = None, remote: str | None = None
) -> list[str]:
    """Return where the shards of a split lie, for other readers: paths, or URLs such as https:// and s3://.

    Arguments and errors are those of `open_stream`. Whoever opens a URL needs the credentials for it.
    """
    return [shard["url"] for shard in _shards(folder, split, repo, rev, remote)]


def _shards(folder: str, split: str, repo: str | None, rev: str | None, remote: str | None) -> list[Shard]:
    """Return the shards of a split, in order."""
    folder = folder.rstrip("/")
    with open_revision(rev, repo, remote) as revision:
        manifest = f"{folder}/{manifests.NAME}"
        files = manifests.parse(revision.read(manifest), f"{manifest} at {revision.name}")["files"]
        names = [name for name in sorted(files) if name.startswith(f"{split}/")]
        if not names:
            known = ", ".join(sorted({name.split("/")[0] for name in files if "/" in name}))
            raise UserError(f"{folder} at {revision.name} has no split {split!r}; known: {known}")
        return [_placed(revision, f"{folder}/{name}") | {"bytes": files[name]["bytes"]} for name in names]


def _placed(revision: Revision, path: str) -> Shard:
    file_system, place = revision.place(path)
    return {"url": file_system.unstrip_protocol(place), "file_system": _unconnected(file_system), "path": place}


def _opened(shards: Iterable[Shard]) -> Iterator[Shard]:
    """Add to each shard its open file as `stream`, for webdataset."""
    for shard in shards:
        file_system, path = _unconnected(shard["file_system"]), shard["path"]
        # Otherwise a web server would be asked for ranges, which not every one knows.
        how = {"block_size": 0} if file_system.protocol in ("http", "https") else {}
        try:
            size = file_system.size(path)
        except FileNotFoundError:
            raise UserError(f"{shard['url']} is not there; ask its owner to `dvc push`") from None
        if size not in (None, shard["bytes"]):
            raise UserError(
                f"{shard['url']} has {size} bytes, not {shard['bytes']} as the manifest says; "
                "ask its owner to `dvc push` it again"
            )
        with file_system.fs.open(path, "rb", **how) as stream:
            yield shard | {"stream": stream}


def _unconnected(file_system: FileSystem) -> FileSystem:
    """Return a copy that connects when it is first used: connections must not get into a worker process."""
    if isinstance(file_system, LocalFileSystem):
        return file_system
    copied = copy.copy(file_system)
    vars(copied).pop("fs", None)
    return copied
