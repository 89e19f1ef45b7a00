"""How much the disks will hold more after an extraction, and whether they can."""

import shutil
from pathlib import Path
from typing import Any

from pipeline import machine
from pipeline.disks import existing

Row = dict[str, Any]


def demand(rows: dict[str, Row], dvc_cache: Path | None, linked: bool) -> list[Row]:
    """Return for each disk what it will hold more, and what is free.

    `rows` has for each dataset the bytes to come: work_cache_bytes, extract_bytes, shard_bytes. DVC's cache, if there
    is one, holds the outputs once more unless its files are `linked` into the workspace.
    Returned are `places` (name -> bytes to come), `needed_bytes`, `free_bytes` and `fits`.
    """
    data = Path("data")
    made = {key: row["extract_bytes"] + row["shard_bytes"] for key, row in rows.items()}
    shared = linked and dvc_cache is not None and _disk(dvc_cache) == _disk(data)
    # What is there goes before a stage runs; where it is linked to DVC's cache, that frees nothing.
    before = {key: 0 if shared else _bytes_below(data / "extract" / key, data / "shard" / key) for key in rows}
    places = [
        ("work cache", machine.cache_folder(), sum(row["work_cache_bytes"] for row in rows.values())),
        ("workspace", data, sum(max(0, size - before[key]) for key, size in made.items())),
    ]
    if dvc_cache is not None:
        places.append(("DVC's cache", dvc_cache, 0 if shared else sum(made.values())))
    disks: dict[int, Row] = {}
    for name, path, size in places:
        disk = disks.setdefault(_disk(path), {"places": {}, "free_bytes": shutil.disk_usage(existing(path)).free})
        disk["places"][name] = round(size)
    for disk in disks.values():
        disk["needed_bytes"] = sum(disk["places"].values())
        disk["fits"] = disk["needed_bytes"] <= disk["free_bytes"]
    return list(disks.values())


def _disk(path: Path) -> int:
    return existing(path).stat().st_dev


def _bytes_below(*folders: Path) -> int:
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
