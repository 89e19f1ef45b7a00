"""Folders of shards: files against manifest.json, that against what Git has, samples against samples.parquet."""

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import machine, tables
from pipeline.errors import UserError, first_line
from pipeline.progress import track
from pipeline.sharding import manifests
from pipeline.verification.hashing import in_threads
from pipeline.verification.places import Finding, Place
from pipeline.verification.recorded import Output
from pipeline.verification.samples import compare

SAMPLES = "samples.parquet"


@dataclass(frozen=True)
class Folder:
    """A folder of shards. Paths are below the project's root."""

    path: str
    manifest: str  # its path
    owner: Output  # of the manifest
    files: dict[str, Output]  # path -> output, of all that was recorded in the folder
    whole: bool  # recorded as one; else files of it may be left out


def against_manifests(place: Place, trusted: dict[str, str]) -> list[Finding]:
    """Compare what `place` holds with its unharmed manifests, and these with `trusted`: dataset key -> SHA-256.

    Files that are not what was recorded are passed over: they have been found already.
    """
    findings = []
    for folder in _folders(place):
        if folder.manifest not in place.right:
            continue
        try:
            manifest = manifests.parse(place.read(folder.owner, folder.manifest), folder.manifest)
        except UserError:  # some other software's manifest.json
            continue
        listed = {f"{folder.path}/{name}": facts for name, facts in manifest["files"].items()}
        recorded = folder.files.keys() - {folder.manifest}
        if folder.whole:
            for path in sorted(listed.keys() - recorded):
                what = f"{folder.manifest} lists it, but it was not recorded"
                findings.append(place.finding(folder.owner, path, "missing", what))
            for path in sorted(recorded - listed.keys()):
                findings.append(place.finding(folder.files[path], path, "extra", f"{folder.manifest} does not list it"))
        for path in sorted(listed.keys() & recorded & place.right):
            found = place.digests[path]
            if listed[path] != {"bytes": found.size, "sha256": found.sha256}:
                what = f"{found.size} bytes, SHA-256 {found.sha256}; {folder.manifest} says otherwise"
                findings.append(place.finding(folder.files[path], path, "altered", what))
        known, here = trusted.get(manifest.get("dataset", "")), place.digests[folder.manifest].sha256
        if known is not None and known != here and not folder.owner.imported:
            what = f"SHA-256 {here}; Git has {known} for its dataset"
            findings.append(place.finding(folder.owner, folder.manifest, "altered", what))
    return findings


def against_samples(places: list[Place]) -> list[Finding]:
    """Compare every readable shard with its samples.parquet, in the first of `places` (local ones) that has that."""
    findings, done = [], set()
    for place in places:
        for folder in _folders(place):
            if folder.path not in done and f"{folder.path}/{SAMPLES}" in place.digests:
                done.add(folder.path)
                findings += _against_table(place, folder)
    return findings


def _against_table(place: Place, folder: Folder) -> list[Finding]:
    path = f"{folder.path}/{SAMPLES}"
    owner = folder.files[path]
    try:
        samples = tables.read_arrow(Path(place.at(owner, path)), tables.SAMPLES, called=path)
    except (UserError, pa.ArrowException, OSError) as error:
        return [place.finding(owner, path, "unreadable", first_line(error))]
    rows_of = _by_shard(samples)
    findings = [
        place.finding(owner, f"{folder.path}/{shard}", "missing", f"{path} names it, but it was not recorded")
        for shard in rows_of
        if folder.whole and f"{folder.path}/{shard}" not in folder.files
    ]
    shards = sorted(name for name in folder.files if name.endswith(".tar") and name in place.digests)
    jobs = [
        (shard, Path(place.at(folder.files[shard], shard)), rows_of.get(_below(shard, folder), samples.slice(0, 0)))
        for shard in shards
    ]
    for (shard, _, _), result in track(in_threads(machine.workers()), compare, jobs, f"verify {path}", "shard"):
        output = folder.files[shard]
        if isinstance(result, (OSError, tarfile.TarError)):
            findings.append(place.finding(output, shard, "unreadable", first_line(result)))
        elif isinstance(result, Exception):
            raise result
        else:
            findings += [place.finding(output, shard, problem, what, sample=key) for key, problem, what in result]
    return findings


def _by_shard(samples: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each shard: sorted once, since to look through all rows for each would be quadratic."""
    names = samples["shard"].cast(pa.string())
    in_order = samples.take(pc.sort_indices(names))
    rows_of, start = {}, 0
    for shard, count in sorted(Counter(names.to_pylist()).items()):
        rows_of[shard] = in_order.slice(start, count)
        start += count
    return rows_of


def _below(path: str, folder: Folder) -> str:
    return path.removeprefix(f"{folder.path}/")


def _folders(place: Place) -> Iterator[Folder]:
    """Give every folder with a manifest, whatever outputs its files belong to: who imports a split imports several."""
    owners = {path: output for output in place.outputs for path in output.files or ()}
    for path, owner in owners.items():
        if PurePosixPath(path).name == manifests.NAME:
            folder = PurePosixPath(path).parent.as_posix()
            files = {below: output for below, output in owners.items() if below.startswith(f"{folder}/")}
            yield Folder(folder, path, owner, files, whole=owner.is_folder)
