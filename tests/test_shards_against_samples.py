"""One shard against its rows of samples.parquet."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.tars import write_tar
from pipeline.verification.samples import compare

PICTURES = {name: name.encode() * 100 for name in "abcd"}


def shard_of(folder: Path, descriptions: dict[str, Any]) -> tuple[str, Path, pa.Table]:
    """Write a shard of PICTURES, described by what their rows say and `descriptions`; return a job for `compare`."""
    facts = {"dataset": "d", "split": "test", "method": "real", "group": "g", "label": 0, "frame": 3, "time_s": None}
    members = []
    for name, picture in PICTURES.items():
        description = facts | {"video": f"d/{name}"} | descriptions.get(name, {})
        members += [(f"{name}.jpg", picture), (f"{name}.json", json.dumps(description).encode())]
    offsets = write_tar(folder / "a.tar", members)[::2]
    rows = [
        facts
        | {"key": name, "video": f"d/{name}", "shard": "a.tar", "offset": offset, "bytes": len(picture)}
        | {"sha256": hashlib.sha256(picture).hexdigest()}
        for (name, picture), offset in zip(PICTURES.items(), offsets, strict=True)
    ]
    return "a.tar", folder / "a.tar", pa.Table.from_pylist(rows, schema=tables.SAMPLES)


def test_a_shard_that_fits(tmp_path: Path) -> None:
    assert compare(shard_of(tmp_path, {"a": {"pts": 12, "box": [1, 2, 3, 4]}})) == []


@pytest.mark.parametrize("name", ["dataset", "video", "split", "method", "group", "label", "frame", "time_s"])
def test_every_fact_of_a_sample_is_compared(tmp_path: Path, name: str) -> None:
    ((key, problem, what),) = compare(shard_of(tmp_path, {"c": {name: 7}}))
    assert (key, problem) == ("c", "altered") and what.startswith(f"{name} is ") and what.endswith(", 7 in c.json")


def test_rows_and_members_without_each_other(tmp_path: Path) -> None:
    name, path, rows = shard_of(tmp_path, {})
    twice = pa.concat_tables([rows.slice(1), rows.slice(3)])
    assert [(key, problem) for key, problem, _ in compare((name, path, twice))] == [
        ("d", "extra"),
        ("a", "extra"),
        ("a", "extra"),
    ]
    write_tar(path, [("a.jpg", PICTURES["a"]), ("a.json", b"[]"), ("b.jpg", b"b")])
    found = [(key, problem) for key, problem, _ in compare((name, path, rows.slice(0, 2)))]
    assert found == [("a", "altered"), ("b", "altered"), ("b", "altered"), ("b", "missing")]
