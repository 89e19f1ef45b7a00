"""Folders of shards: their files against manifest.json, it against what Git has, the samples against samples.parquet."""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipeline import machine, manifests, tables
from pipeline.errors import UserError
from pipeline.progress import track
from pipeline.verification.hashing import in_threads
from pipeline.verification.places import Finding, Place
from pipeline.verification.recorded import Output, first_line
from pipeline.verification.samples import compare

SAMPLES = "samples.parquet"


def against_manifests(place: Place, trusted: dict[str, str]) -> list[Finding]:
    """Compare what `place` holds with its unharmed manifests, and these with `trusted`: dataset key -> SHA-256."""
    findings = []
    for output, folder in _folders_with(place, manifests.NAME):
        path = f"{folder}/{manifests.NAME}"
        if path not in place.right:
            continue
        try:
            manifest = manifests.parse(place.read(output, path), path)
        except ManifestError:
            continue
    return findings
