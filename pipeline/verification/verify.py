"""Verify a project, and tell people about it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from pipeline.errors import UsageError
from pipeline.verification import recorded
from pipeline.verification.hashing import Digest
from pipeline.verification.places import Inode, look_for_more, missing_in_one, rehash, store_of, workspace_of
from pipeline.verification.shards import against_manifests, against_samples
from pipeline.wording import in_words

LOCK = "dvc.lock"
MANIFESTS = "reports/manifests.json"  # in Git: per dataset the SHA-256 of its manifest
SAID = 20  # findings about samples of one shard, and outputs that are not here; the rest is counted


def verify(remote: str | None = None) -> dict[str, Any]:
    """Verify the DVC project around the current folder; with `remote` also what that remote holds.

    Every file of every output in dvc.lock and *.dvc is read and hashed in the workspace and in the cache; folders of
    shards are compared with their manifest and their samples.parquet, manifests with what Git has. Nothing is written.

    Returns `findings` (places.Finding), `places` (by name: files, bytes, not_here) and `notes`. An output of which
    workspace and cache hold nothing is `not_here` and no problem: it was never pulled; of a remote it is one. Raises
    UsageError when there is nothing that could be verified.
    """
    with recorded.open_project() as repo:
        root, cache = Path(repo.root_dir), recorded.cache_of(repo)
        further = None if remote is None else recorded.remote_of(repo, remote)
        outputs, unrecorded = recorded.outputs_of(repo, remote, [cache, further] if further else [cache])
        if not outputs:
            raise UsageError("no hash of any output is recorded; run `dvc repro`, or restore dvc.lock from Git")
        trusted, notes = _trusted_manifests(repo, root)
        if (root / LOCK).is_file() and (root / LOCK).read_bytes() != recorded.committed(repo, LOCK):
            notes.append(f"{LOCK} is not as committed; files were compared with the one that is here")
        local = [workspace_of(root, outputs), store_of("cache", cache, [out for out in outputs if out.cached])]
        pushed = [out for out in outputs if out.pushed]
        remotes = [store_of(f"remote {remote}", further, pushed)] if further else []
        findings, known = [], dict[Inode, Digest]()
        for place in [*local, *remotes]:
            findings += rehash(place, complete=place in remotes, known=known) + against_manifests(place, trusted)
        findings += look_for_more(local[0], root) + missing_in_one(*local) + against_samples(local)
    order = [place.name for place in [*local, *remotes]]
    notes += [f"no hash is recorded for {path}; run `dvc repro`" for path in unrecorded]
    return {
        "findings": sorted(findings, key=lambda found: (order.index(found["place"]), found["path"])),
        "places": {
            place.name: {"files": place.files, "bytes": place.size, "not_here": sorted(place.not_here)}
            for place in [*local, *remotes]
        },
        "notes": notes,
    }


def _trusted_manifests(repo: Repo, root: Path) -> tuple[dict[str, str], list[str]]:
    """Return dataset key -> SHA-256 of its manifest as Git has it, and a note when the work is not committed."""
    committed = recorded.committed(repo, MANIFESTS)
    here = (root / MANIFESTS).read_bytes() if (root / MANIFESTS).is_file() else committed
    try:
        hashes = {key: sha256 for key, sha256 in json.loads(here or b"{}").items() if isinstance(sha256, str)}
    except (ValueError, AttributeError):
        hashes = {}
    # In the middle of work the last commit knows nothing of it; that must not look like damage, nor pass in silence.
    note = f"{MANIFESTS} is not as committed; manifests were compared with the file as it is here"
    return hashes, [note] if here != committed else []


def describe(report: dict[str, Any]) -> str:
    """Return the report in lines for people: the findings, what was read where, and the number of problems."""
    lines, said = [], Counter[tuple[str, str]]()
    for found in report["findings"]:
        place, path = found["place"], found["path"]
        if "sample" in found:
            said[place, path] += 1
            if said[place, path] > SAID:
                continue
        of = f" (object {found['object']})" if "object" in found else ""
        sample = f"sample {found['sample']}: " if "sample" in found else ""
        lines.append(f"{found['problem']}  {place}  {path}{of}: {sample}{found['detail']}")
    for (place, path), count in said.items():
        if count > SAID:
            lines.append(f"and {count - SAID} more samples  {place}  {path}")
    lines += [f"note: {note}" for note in report["notes"]]
    for name, facts in report["places"].items():
        absent = facts["not_here"]
        more = f" and {len(absent) - SAID} more" if len(absent) > SAID else ""
        lines.append(
            f"{name}: {facts['files']} files re-hashed, {in_words(facts['bytes'])}"
            + (f"; not here: {', '.join(absent[:SAID])}{more}" if absent else "")
        )
    count = len(report["findings"])
    lines.append(f"{count} problem{'s' if count > 1 else ''} found" if count else "everything here is as recorded")
    return "\n".join(lines)
