"""What every stage made of one video or frame: its rows, in the order of the stages. Behind `veriframe trace`.

Tables may hold millions of rows: only the columns and rows that are told are read.
"""

import difflib
import heapq
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product, takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import params, tables
from pipeline.errors import UsageError, UserError
from pipeline.wording import printable

DATA = Path("data")
NEAREST, LOOKED_AT = 3, 300
INDEX = ["video", "path", "media", "label", "method", "compression", "official_split", "recording", "donor_recording"]
INDEX += ["source_video", "donor_source_video", "person", "donor_person", "original", "mask", "bytes", "sha256"]
INDEX += ["container", "codec", "width", "height", "frame_rate", "crf", "frames", "status", "reason", "detail"]

Row = dict[str, Any]
Facts = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class Item:
    """What is traced: a video of the dataset `key`, or the frame of it that has the flat key `frame`."""

    key: str
    video: str
    frame: str | None = None


def trace(name: str) -> str:
    """Return what every stage says of a video or frame, as text; the project's root is the current folder.

    `name` is a video's key, the path of a file in a dataset's folder, or the flat key of a frame. Raises UsageError for
    one that no table holds, with the nearest names; UserError for tables of another version.
    """
    item = _find(name)
    blocks = [item.frame or item.video]
    for stage, table, tell in STAGES:
        lines = ["not run yet"]
        if (DATA / stage / item.key / f"{table}.parquet").is_file():
            lines = _aligned([(what, value) for what, value in tell(item) if value not in (None, "")])
        blocks.append("\n  ".join([stage, *lines]))
    return "\n\n".join(blocks)


def _aligned(facts: list[tuple[str, Any]]) -> list[str]:
    width = max((len(what) for what, _ in facts), default=0)
    return [f"{what:{width}}  {_word(value)}" for what, value in facts] or ["no row"]


def _word(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
    return printable(text)


# --- what the stages say ---------------------------------------------------------------------------------------------


def _index(item: Item) -> Facts:
    for row in _rows("index", item.key, "videos", tables.VIDEOS, ("video", item.video), INDEX):
        row["label"] = tables.CLASSES.get(row["label"])
        yield from row.items()
        yield from _findings("index", item.key, row["path"])


def _split(item: Item) -> Facts:
    columns = ["split", "split_by", "group", "status", "reason"]
    for row in _rows("split", item.key, "videos", tables.ASSIGNMENTS, ("video", item.video), columns):
        yield from row.items()


def _sample(item: Item) -> Facts:
    columns = ["candidates", "status", "reason"]
    for row in _rows("sample", item.key, "videos", tables.SAMPLED_VIDEOS, ("video", item.video), columns):
        yield from row.items()


def _flatten(item: Item) -> Facts:
    columns = ["key", "frame", "time_s"]
    rows = _rows("flatten", item.key, "frames", tables.FLAT, _asked(item), columns)
    if item.frame is None and rows:
        yield "keys", len(rows)
        yield "first", rows[0]["key"]
        yield "last", rows[-1]["key"]
    elif rows:
        yield from rows[0].items()


def _reduce(item: Item) -> Facts:
    columns = ["split", "label", "rank", "turn"]
    rows = _rows("reduce", item.key, "frames", tables.RANKED, _asked(item), columns)
    if not rows:
        return
    if item.frame is None:
        yield "best rank", min(row["rank"] for row in rows)
    else:
        yield "rank", rows[0]["rank"]
        yield "turn", rows[0]["turn"]
    yield from _quota("reduce", item.key, tables.QUOTAS, rows[0])


def _extract(item: Item) -> Facts:
    columns = ["split", "label", "status", "reason", "faces", "chosen_by", "probability", "sharpness", "tar", "offset"]
    boxes = [f"{kind}_{side}" for kind in ("box", "crop") for side in ("x", "y", "width", "height")]
    rows = _rows("extract", item.key, "frames", tables.FRAMES, _asked(item), columns + boxes)
    if not rows:
        return
    if item.frame is None:
        for status, number in sorted(Counter(row["status"] for row in rows).items()):
            reasons = Counter(row["reason"] for row in rows if row["status"] == status and row["reason"])
            why = ", ".join(f"{reason} {times:,}" for reason, times in sorted(reasons.items()))
            yield status, f"{number:,} ({why})" if why else number
    else:
        row = rows[0]
        yield from ((what, row[what]) for what in ("status", "reason", "faces", "chosen_by", "probability"))
        yield "face box", _box(row, "box")
        yield "crop", _box(row, "crop")
        yield from ((what, row[what]) for what in ("sharpness", "tar", "offset"))
    yield from _quota("extract", item.key, tables.FILLED, rows[0])


def _check(item: Item) -> Facts:
    found = list(_findings("check", item.key, item.frame or item.video))
    yield from found or [("findings", "none about it")]


def _shard(item: Item) -> Facts:
    rows = _rows("shard", item.key, "samples", tables.SAMPLES, _asked(item), ["shard", "offset", "bytes"])
    if item.frame is None:
        for shard, number in sorted(Counter(row["shard"] for row in rows).items()):
            yield shard, f"{number:,} samples" if number > 1 else "1 sample"
    else:
        for row in rows:
            yield from row.items()


def _evaluate(item: Item) -> Facts:
    columns = ["score", "frames_scored", "leak_free", "status", "reason"]
    wanted = ("key", item.frame or item.video)
    for row in _rows("evaluate", item.key, "scores", tables.SCORES, wanted, columns):
        yield from row.items()


# Each stage with the table that says it has run, and what it says.
STAGES: list[tuple[str, str, Callable[[Item], Facts]]] = [
    ("index", "videos", _index),
    ("split", "videos", _split),
    ("sample", "videos", _sample),
    ("flatten", "frames", _flatten),
    ("reduce", "frames", _reduce),
    ("extract", "frames", _extract),
    ("check", "findings", _check),
    ("shard", "samples", _shard),
    ("evaluate", "scores", _evaluate),
]

# Where frames stand by their flat keys; who has pulled the shards alone has only the last.
KEYS = [("flatten", "frames", tables.FLAT), ("extract", "frames", tables.FRAMES), ("shard", "samples", tables.SAMPLES)]


def _asked(item: Item) -> tuple[str, str]:
    return ("video", item.video) if item.frame is None else ("key", item.frame)


def _findings(stage: str, key: str, subject: str) -> Facts:
    for row in _rows(stage, key, "findings", tables.FINDINGS, ("subject", subject), ["severity", "code", "detail"]):
        yield row["severity"], f"{row['code']}: {row['detail']}"


def _quota(stage: str, key: str, schema: pa.Schema, row: Row) -> Facts:
    """Yield the quota of the row's split and class."""
    for cell in _rows(stage, key, "quotas", schema, ("split", row["split"]), ["label", "rule", "quota"]):
        if cell["label"] == row["label"]:
            place = f"{row['split']}, {tables.CLASSES[row['label']]}"
            yield "quota", f"{cell['quota']:,} frames of {place} (rule {cell['rule']})"


def _box(row: Row, kind: str) -> str | None:
    x, y, width, height = (row[f"{kind}_{side}"] for side in ("x", "y", "width", "height"))
    return None if x is None else f"{width} x {height} at {x}, {y}"


def _rows(
    stage: str, key: str, table: str, schema: pa.Schema, wanted: tuple[str, str], columns: list[str]
) -> list[Row]:
    """Return `columns` of those rows of a stage's table whose column `wanted[0]` is `wanted[1]`; none without table."""
    path = DATA / stage / key / f"{table}.parquet"
    if not path.is_file():
        return []
    column, value = wanted
    rows: list[Row] = tables.read_arrow(path, schema, columns, pc.field(column) == value).to_pylist()
    return rows


# --- what is asked for -----------------------------------------------------------------------------------------------


def _find(name: str) -> Item:
    """Return the video or frame with this name; UsageError with the nearest names where there is none."""
    datasets = params.load_datasets()
    name = name.encode(errors="replace").decode()  # the shell passes bytes that are not UTF-8
    frame = re.sub(r"\.(jpg|png|json|cls)\Z", "", name)
    for key, (stage, table, schema) in product(datasets, KEYS):
        for row in _rows(stage, key, table, schema, ("key", frame), ["video"]):
            return Item(key, row["video"], frame)
    indexed = [key for key in datasets if (DATA / "index" / key / "videos.parquet").is_file()]
    if not indexed:
        raise UserError("no dataset has been indexed; run `dvc repro` first")
    for key in indexed:
        if video := _video(key, name, datasets[key].root):
            return Item(key, video)
    unflattened = [key for key in indexed if not (DATA / "flatten" / key / "frames.parquet").is_file()]
    unknown = f"; frames of {', '.join(unflattened)} have no keys yet" if unflattened else ""
    nearest = f"; nearest: {', '.join(near)}" if (near := _nearest(frame, indexed)) else ""
    raise UsageError(f"there is no video or frame {name!r}{nearest}{unknown}")


def _video(key: str, name: str, root: Path) -> str | None:
    """Return the key of the video with this key, of which this is the file, or an image."""
    file, folder = Path.cwd() / name, Path.cwd() / root
    below = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else name
    path = DATA / "index" / key / "videos.parquet"
    where = (pc.field("video") == name) | pc.field("path").isin([name, below])
    found = tables.read_arrow(path, tables.VIDEOS, ["video"], where)["video"].to_pylist()
    if found:
        return str(found[0])
    images = tables.read_arrow(path, tables.VIDEOS, ["video", "images"], pc.field("media") == "images").combine_chunks()
    for place in pc.index_in(pa.array([name, below]), pc.list_flatten(images["images"])).drop_null().to_pylist():
        return str(images["video"][pc.list_parent_indices(images["images"])[place].as_py()])
    return None


def _nearest(name: str, keys: list[str]) -> list[str]:
    """Return the known names nearest to `name`: frames of the same video, else videos and their files."""
    if match := re.fullmatch(r"(.+__f)(\d+)", name):
        start, number = match[1], int(match[2])
        if frames := [frame for key in keys for frame in _frames_of(key, start)]:
            return heapq.nsmallest(NEAREST, frames, key=lambda frame: abs(int(frame.removeprefix(start)) - number))
        name = start.removesuffix("__f").replace("__", "/")
    known: list[str] = []
    for key in keys:
        videos = tables.read_arrow(DATA / "index" / key / "videos.parquet", tables.VIDEOS, ["video", "path"])
        known += videos["video"].to_pylist() + videos["path"].to_pylist()
    return difflib.get_close_matches(name, _alike(name, known), NEAREST, cutoff=0.3)


def _frames_of(key: str, start: str) -> list[str]:
    """Return the flat keys that are `start` and a number."""
    path = DATA / "flatten" / key / "frames.parquet"
    if not path.is_file():
        return []
    found = tables.read_arrow(path, tables.FLAT, ["key"], pc.starts_with(pc.field("key"), start))["key"].to_pylist()
    return [frame for frame in found if frame.removeprefix(start).isdecimal()]


def _alike(name: str, known: list[str]) -> list[str]:
    """Return the names that share most letters at both ends: difflib is too slow for all of them."""
    return heapq.nlargest(LOOKED_AT, known, key=lambda other: _shared(name, other) + _shared(name[::-1], other[::-1]))


def _shared(one: str, other: str) -> int:
    """Return how many letters both begin with."""
    return sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], zip(one, other, strict=False)))
