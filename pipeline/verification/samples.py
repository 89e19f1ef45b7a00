"""Shards against samples.parquet: each picture by place, size and SHA-256, each description by its facts."""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.files import sha256_of_bytes

# What a sample's .json member and its row both say.
FACTS = ("dataset", "video", "split", "label", "method", "group", "frame", "time_s")

Complaint = tuple[str, str, str]  # (key of the sample, problem, what is wrong)
Job = tuple[str, Path, pa.Table]


def compare(job: Job) -> list[Complaint]:
    """Compare the tar of a job `(shard, path, rows of tables.SAMPLES that name the shard)` with these rows.

    Raises OSError or tarfile.TarError when it cannot be read as a tar.
    """
    _, path, rows = job
    expected = {row["key"]: row for row in rows.to_pylist()}
    found: set[str] = set()
    again = [key for key, count in Counter(rows["key"].to_pylist()).items() if count > 1]
    complaints: list[Complaint] = [(key, "extra", "samples.parquet has several rows of this key") for key in again]
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            found.add(member.name)
            key, _, kind = member.name.rpartition(".")
            file = tar.extractfile(member)
            if key not in expected or kind not in ("jpg", "json") or file is None:
                complaints.append((key or member.name, "extra", f"{member.name} is in no row of samples.parquet"))
                continue
            wrong = _picture if kind == "jpg" else _description
            complaints += [(key, "altered", what) for what in wrong(expected[key], member, file.read())]
    lacking = [name for key in expected for name in (f"{key}.jpg", f"{key}.json") if name not in found]
    return complaints + [(name.rpartition(".")[0], "missing", f"the shard holds no {name}") for name in lacking]


def _picture(row: dict[str, Any], member: tarfile.TarInfo, content: bytes) -> Iterator[str]:
    for column, here in (("offset", member.offset_data), ("bytes", len(content)), ("sha256", sha256_of_bytes(content))):
        if row[column] != here:
            yield f"{column} of its picture is {row[column]} in samples.parquet, {here} in the shard"


def _description(row: dict[str, Any], member: tarfile.TarInfo, content: bytes) -> Iterator[str]:
    try:
        facts = json.loads(content)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        yield f"{member.name} is no JSON"
        return
    for name in FACTS:
        if facts.get(name) != row[name]:
            yield f"{name} is {row[name]!r} in samples.parquet, {facts.get(name)!r} in {member.name}"
