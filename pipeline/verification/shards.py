"""Folders of shards: files against manifest.json, that against what Git has, samples against samples.parquet."""

import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import machine, manifests, tables
from pipeline.errors import UserError, first_line
from pipeline.progress import track
from pipeline.verification.hashing import in_threads
from pipeline.verification.places import Finding, Place
from pipeline.verification.recorded import Output
from pipeline.verification.samples import compare

SAMPLES = "samples.parquet"


def against_manifests(place: Place, trusted: dict[str, str]) -> list[Finding]:
    """Compare what `place` holds with its unharmed manifests, and these with `trusted`: dataset key -> SHA-256.

    Files that are not what was recorded are passed over: they have been found already.
    """
    findings = []
    for output, folder in _folders_with(place, manifests.NAME):
        own = f"{folder}/{manifests.NAME}"
        if own not in place.right:
            continue
        content = place.read(output, own)
        try:
            manifest = manifests.parse(content, own)
        except UserError:  # some other software's manifest.json
            continue
        listed = {f"{folder}/{name}": facts for name, facts in manifest["files"].items()}
        recorded = {path for path in output.files or () if path.startswith(f"{folder}/") and path != own}
        for path in sorted(listed.keys() - recorded):
            findings.append(place.finding(output, path, "missing", f"{own} lists it, but it was not recorded"))
        for path in sorted(recorded - listed.keys()):
            findings.append(place.finding(output, path, "extra", f"{own} does not list it"))
        for path in sorted(listed.keys() & place.right):
            found = place.digests[path]
            if listed[path] != {"bytes": found.size, "sha256": found.sha256}:
                what = f"{found.size} bytes, SHA-256 {found.sha256}; {own} says otherwise"
                findings.append(place.finding(output, path, "altered", what))
        known, here = trusted.get(manifest.get("dataset", "")), place.digests[own].sha256
        if known is not None and known != here and not output.imported:
            findings.append(place.finding(output, own, "altered", f"SHA-256 {here}; Git has {known} for its dataset"))
    return findings


def against_samples(places: list[Place]) -> list[Finding]:
    """Compare every readable shard with its samples.parquet, in the first of `places` (local ones) that has that."""
    findings, done = [], set()
    for place in places:
        for output, folder in _folders_with(place, SAMPLES):
            if folder not in done and f"{folder}/{SAMPLES}" in place.digests:
                done.add(folder)
                findings += _against_table(place, output, folder)
    return findings


def _against_table(place: Place, output: Output, folder: str) -> list[Finding]:
    path = f"{folder}/{SAMPLES}"
    try:
        samples = tables.read_arrow(Path(place.at(output, path)), tables.SAMPLES, called=path)
    except (UserError, pa.ArrowException, OSError) as error:
        return [place.finding(output, path, "unreadable", first_line(error))]
    named = set(samples["shard"].unique().to_pylist())
    recorded = {p.removeprefix(f"{folder}/") for p in output.files or () if p.startswith(f"{folder}/")}
    findings = [
        place.finding(output, f"{folder}/{shard}", "missing", f"{path} names it, but it was not recorded")
        for shard in sorted(named - recorded)
    ]
    shards = sorted(name for name in recorded if name.endswith(".tar") and f"{folder}/{name}" in place.digests)
    rows_of = _by_shard(samples)
    jobs = [
        (shard, Path(place.at(output, f"{folder}/{shard}")), rows_of.get(shard, samples.slice(0, 0)))
        for shard in shards
    ]
    for (shard, _, _), result in track(in_threads(machine.workers()), compare, jobs, f"verify {path}", "shard"):
        at = f"{folder}/{shard}"
        if isinstance(result, (OSError, tarfile.TarError)):
            findings.append(place.finding(output, at, "unreadable", first_line(result)))
        elif isinstance(result, Exception):
            raise result
        else:
            findings += [place.finding(output, at, problem, what, sample=key) for key, problem, what in result]
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


def _folders_with(place: Place, name: str) -> Iterator[tuple[Output, str]]:
    """Give every folder of shards that holds a file called `name`, with its output."""
    for output in place.outputs:
        for path in output.files or ():
            folder = PurePosixPath(path).parent.as_posix()
            if path.endswith(f"/{name}") and f"{folder}/{manifests.NAME}" in (output.files or ()):
                yield output, folder
