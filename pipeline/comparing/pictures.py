"""The pictures behind changed samples. Of the shards only the bytes of these pictures are fetched."""

import base64
from typing import Any

import pyarrow as pa

from pipeline.comparing.facts import Facts
from pipeline.errors import UserError
from pipeline.files import sha256_of_bytes
from pipeline.revisions import Revision

EACH = 24  # pictures of each kind of change


def changed_pictures(key: str, dataset: Facts, before: Revision, after: Revision) -> dict[str, list[dict[str, Any]]]:
    """Return under `replaced`, `added` and `removed` at most EACH samples, evenly chosen, with their pictures.

    Each has `key`, `split`, `label`, and `pictures`: one per side that has it, with `side` (before or after), `source`
    (a data: URI; empty where it is out of reach) and `problem` (why it is).
    """
    samples = dataset.get("samples") or {}
    sides = {"before": before, "after": after}
    wanted = {"replaced": ("before", "after"), "added": ("after",), "removed": ("before",)}
    return {
        kind: [
            {name: row[name] for name in ("key", "split", "label")}
            | {"pictures": [_picture(key, row, side, sides[side], f"_{side}" * (len(of) > 1)) for side in of]}
            for row in evenly(samples[kind], EACH).to_pylist()
        ]
        for kind, of in wanted.items()
        if len(samples.get(kind, []))
    }


def evenly(table: pa.Table, most: int) -> pa.Table:
    """Return `most` rows of a table, evenly spaced from its first row on; all of a shorter one."""
    return table.take([number * len(table) // most for number in range(most)]) if len(table) > most else table


def _picture(key: str, row: dict[str, Any], side: str, revision: Revision, suffix: str) -> dict[str, str]:
    """Return one side's picture of a row whose place stands in the columns with this suffix."""
    shard, offset, size, sha256 = (row[name + suffix] for name in ("shard", "offset", "bytes", "sha256"))
    path = f"data/shard/{key}/{shard}"
    try:
        jpeg = revision.read_range(path, offset, size)
        if sha256_of_bytes(jpeg) != sha256:
            raise UserError(f"{path} of {revision.name} is not what samples.parquet says; see `veriframe verify`")
    except UserError as error:
        return {"side": side, "source": "", "problem": str(error)}
    return {"side": side, "source": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}", "problem": ""}
