"""Re-hash what a project recorded, wherever it should be, and say what is missing, altered or additional."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dvc_objects.fs.base import FileSystem

from pipeline import machine, manifests, tables
from pipeline.disks import in_words
from pipeline.errors import UsageError, UserError
from pipeline.progress import track
from pipeline.verification import recorded, samples
from pipeline.verification.hashing import LOCAL, Digest, Job, digest, in_threads
from pipeline.verification.recorded import Output, Stores

FACTS = "reports/metrics/data.json"  # in Git: per dataset the SHA-256 of its manifest
MOST_REQUESTS = 16  # at once to a remote; more of them gain little, and each holds a block in memory
SAID = 20  # complaints about samples of one shard; the rest is counted

Finding = dict[str, str]  # place, path, problem, detail; of objects `object`, of samples `sample`


class Wanted(NamedTuple):
    """A file that a place should hold."""

    path: str  # below the project's root; a folder's own path stands for its listing
    at: str  # in the file system of the place
    md5: str


@dataclass
class Place:
    """Where files lie, and what was found there."""

    name: str  # workspace, cache, or remote NAME
    fs: FileSystem
    outputs: list[Output]  # that may be here
    at: Callable[[Output, str, str], str]  # (output, path, object's name) -> path in fs
    threads: int
    listings: bool  # whether folders have an object of their own here
    digests: dict[str, Digest] = field(default_factory=dict)  # of files that are right
    read: dict[str, Digest] = field(default_factory=dict)  # by path in fs: each once
    not_here: list[str] = field(default_factory=list)  # outputs of which there is nothing


def verify(remote: str | None = None) -> dict[str, Any]:
    """Verify the DVC project around the current folder; with `remote` also what that remote holds.

    Every file of every output in dvc.lock and *.dvc is read and hashed in the workspace and in the cache, shards are
    compared with their manifest and their samples.parquet, and manifests with what Git has of them. Nothing is written.

    Returns `findings` (Finding), `places` (by name: files, bytes, not_here) and `notes`. An output of which workspace
    or cache hold nothing is `not_here` and no problem. Raises UsageError when there is nothing that could be verified.
    """
    with recorded.open_project() as repo:
        root, cache = Path(repo.root_dir), recorded.cache_of(repo)
        remotes = {} if remote is None else {f"remote {remote}": recorded.remote_of(repo, remote)}
        outputs, unrecorded = recorded.outputs_of(repo, remote, [cache, *remotes.values()])
        trusted, notes = _trusted_manifests(repo, root)
        places = [_stored(name, stores, [out for out in outputs if out.pushed]) for name, stores in remotes.items()]
        for place in places:
            _refuse_unreachable(place)
        local = machine.workers()
        here = Place("workspace", LOCAL, outputs, lambda _out, path, _oid: str(root / path), local, listings=False)
        places = [here, _stored("cache", cache, [out for out in outputs if out.cached]), *places]
        findings: list[Finding] = []
        for place in places:
            findings += _rehash(place)
            findings += _against_manifests(place, trusted)
        findings += _extra(here, root)
        findings += _against_samples([place for place in places if place.fs.protocol == "local"][:2])
    if unrecorded:
        notes.append(f"no hash is recorded for {', '.join(unrecorded)}; run `dvc repro`")
    return {
        "findings": findings,
        "places": {
            place.name: {
                "files": len(place.read),
                "bytes": sum(found.bytes for found in place.read.values()),
                "not_here": place.not_here,
            }
            for place in places
        },
        "notes": notes,
    }
