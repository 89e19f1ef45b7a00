"""Which frames: candidates from the packet scan, flat keys, ranks, quotas, and the filling of quotas in rank order.

DFDC has millions of candidates: up to the ranks, names may be strings or categories, and rows are ordered by integers.
"""

import hashlib
from urllib.parse import quote

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.files import sha256_of_text

# A tar member's name holds 100 bytes; the longest extension, ".json", needs five.
LONGEST_KEY = 95

CELL = ["split", "label"]


def frame_indices(frames: int, every: int | None, count: int | None) -> np.ndarray:
    """Return the candidate frames of a video of `frames` frames: every Nth from the first, or `count` evenly spaced.

    Exactly one of `every` and `count` is a number. A video shorter than `count` gives all its frames. int32, ascending.
    """
    if every is not None:
        return np.arange(0, frames, every, dtype=np.int32)
    assert count is not None
    if frames <= count:
        return np.arange(frames, dtype=np.int32)
    return np.round(np.linspace(0, frames - 1, count)).astype(np.int32)


def candidates(videos: pd.DataFrame, every: int | None, count: int | None) -> pd.DataFrame:
    """Return the candidate frames of usable videos as rows of tables.CANDIDATES, video by video.

    `videos` has the columns video, split, label, method, frames, pts (array of all time stamps), time_base (seconds;
    empty for images, whose frames then have no time).
    """
    indices_of = {frames: frame_indices(frames, every, count) for frames in videos.frames.unique()}
    chosen = [indices_of[frames] for frames in videos.frames]
    row = np.repeat(np.arange(len(videos)), [len(indices) for indices in chosen])  # of `videos`, for each candidate
    table = videos[["video", "split", "label", "method"]].iloc[row].reset_index(drop=True)
    table["frame"] = np.concatenate(chosen)
    table["pts"] = np.concatenate([np.asarray(pts)[indices] for pts, indices in zip(videos.pts, chosen, strict=True)])
    starts = np.array([pts[0] for pts in videos.pts])
    table["time_s"] = ((table.pts - starts[row]) * videos.time_base.to_numpy(float)[row]).round(6)
    return table


def flat_name(video: str) -> str:
    """Return the flat form of a video key `dataset/method/compression/name`.

    The four parts are joined by `__`; `/` within the name becomes `-`; dots and whatever is not plain ASCII are
    percent-encoded, because a WebDataset key ends at its first dot. A long name is cut and ends in a hash of the whole.
    """
    dataset, method, compression, name = video.split("/", 3)
    parts = [
        quote(part.replace("/", "-"), safe="").replace(".", "%2E") for part in (dataset, method, compression, name)
    ]
    flat = "__".join(parts)
    room = LONGEST_KEY - len("__f000000")
    return flat if len(flat) <= room else f"{flat[: room - 9]}~{sha256_of_text(video)[:8]}"


def flat_keys(frames: pd.DataFrame) -> pd.Series:
    """Return the flat key of each frame, unique without regard to case; UserError naming two videos that collide."""
    video, videos = pd.factorize(frames.video)
    names = pd.Series([flat_name(name) for name in videos], dtype="str")
    owner: dict[str, str] = {}
    for name, flat in zip(videos, names, strict=True):
        other = owner.setdefault(flat.lower(), name)
        if other != name:
            raise UserError(f"videos {other!r} and {name!r} would both be named {flat!r}; rename one of them")
    number, numbers = pd.factorize(frames.frame)
    suffixes = pd.Series([f"__f{frame:06d}" for frame in numbers], dtype="str")
    keys = names.iloc[video].reset_index(drop=True) + suffixes.iloc[number].reset_index(drop=True)
    return keys.set_axis(frames.index)


def rank(frames: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return `frames` (rows of tables.FLAT) with `turn` and `rank`: the order in which each split and class is filled.

    The frames of a video take turns in hash order; within a method all first turns come before all second ones; methods
    alternate. So any first part of the order is spread over methods and videos as evenly as they allow. The rows
    themselves stay where they are.
    """
    by_chance = np.argsort(_hashes(seed, frames.key), kind="stable")
    turn = _count(frames.groupby("video").ngroup(), by_chance)
    by_turn = by_chance[np.argsort(turn[by_chance], kind="stable")]
    place = _count(frames.groupby([*CELL, "method"]).ngroup(), by_turn)
    by_place = by_chance[np.argsort(place[by_chance], kind="stable")]
    return frames.assign(turn=turn, rank=_count(frames.groupby(CELL).ngroup(), by_place))


def _hashes(seed: int, keys: pd.Series) -> np.ndarray:
    """Return the SHA-256 of `seed` and each key as 32 bytes (dtype S32); files.sha256_of_text gives the same as digits.

    Bytes sort as their digits do, in half the memory, and are made in half the time.
    """
    # In portions: millions of Python strings at once would take more memory than the whole table.
    portions = (keys.iloc[start : start + 100_000].tolist() for start in range(0, len(keys), 100_000))
    hashes = (hashlib.sha256(f"{seed}\n{key}".encode()).digest() for portion in portions for key in portion)
    return np.fromiter(hashes, dtype="S32", count=len(keys))


def _count(group: pd.Series, order: np.ndarray) -> np.ndarray:
    """Return each row's place (int32, from 0) among the rows of its group when all rows are taken in `order`."""
    members = group.to_numpy()[order]
    place = np.empty(len(order), dtype=np.int32)
    place[order] = pd.Series(members).groupby(members).cumcount()
    return place


def quotas(ranked: pd.DataFrame, rules: dict[str, int | str], min_per_video: dict[str, int]) -> pd.DataFrame:
    """Return one row of tables.QUOTAS per split and class. `rules` gives a number, smallest_class or none per split."""
    cells = ranked.groupby(CELL).agg(candidates=("key", "size"), videos=("video", "nunique")).reset_index()
    cells["rule"] = cells.split.map(rules).astype(str)
    cells["min_per_video"] = cells.split.map(min_per_video).astype("int32")
    cells["quota"] = targets(cells, cells.candidates)
    return cells


def targets(cells: pd.DataFrame, available: pd.Series) -> pd.Series:
    """Return how many frames each cell (row of tables.QUOTAS) is to keep when `available` frames are or may be good."""
    smallest = available.groupby(cells.split).transform("min")
    numbers = pd.to_numeric(cells.rule, errors="coerce")
    chosen = np.where(cells.rule == "smallest_class", smallest, np.where(cells.rule == "none", available, numbers))
    return pd.Series(chosen, index=cells.index).astype("int32")


def next_round(frames: pd.DataFrame, cells: pd.DataFrame) -> pd.Index:
    """Return the index of the frames to try next; empty when every quota is filled or nothing is left to try.

    `frames` are ranked frames with a column `state`: untried, good or failed. A cell that lacks n good frames tries its
    next n in rank order; a video that lacks some of its guaranteed frames tries its own next ones as well.
    """
    frames = _with_aims(frames, frames, cells)
    good = frames.state == "good"
    untried = frames[frames.state == "untried"]
    lacking = frames.aim - good.groupby([frames.split, frames.label]).transform("sum")
    lacking_of_video = frames.min_per_video - good.groupby(frames.video).transform("sum")
    by_rank = untried.groupby(CELL).cumcount() < lacking[untried.index]
    by_video = untried.groupby("video").cumcount() < lacking_of_video[untried.index]
    return untried.index[by_rank | by_video]


def settle(frames: pd.DataFrame, cells: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Return the status of every frame (kept, surplus, failed, unused) and the cells as rows of tables.FILLED.

    Kept are each video's guaranteed good frames, then good frames in rank order until the quota is full.
    """
    good = _with_aims(frames[frames.state == "good"], frames, cells)
    good["beyond"] = good.groupby("video").cumcount() >= good.min_per_video
    good = good.sort_values(["beyond", "rank"])
    kept = ~good.beyond | (good.groupby(CELL).cumcount() < good.aim)
    status = frames.state.map({"untried": "unused", "failed": "failed", "good": "surplus"})
    status[good.index[kept]] = "kept"

    counts = status.groupby([frames.split, frames.label]).value_counts().unstack(fill_value=0)
    counts = counts.reindex(columns=["kept", "surplus", "failed", "unused"], fill_value=0)
    counts["tried"] = counts.kept + counts.surplus + counts.failed
    filled = cells.drop(columns="quota").merge(_aims(frames, cells), on=[*CELL, "min_per_video"])
    filled = filled.rename(columns={"aim": "quota"}).merge(counts.drop(columns="unused").reset_index(), on=CELL)
    return status, filled


def _with_aims(part: pd.DataFrame, frames: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return `part` of `frames` in rank order, each row with its cell's min_per_video and aim; the index stays."""
    part = part.sort_values("rank", kind="stable")
    return part.merge(_aims(frames, cells), on=CELL, how="left").set_axis(part.index)


def _aims(frames: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return split, label, min_per_video and aim: the quota given how many frames are good or may still be."""
    possible = (frames.state != "failed").groupby([frames.split, frames.label]).sum().rename("possible").reset_index()
    cells = cells.merge(possible, on=CELL, how="left")
    return cells.assign(aim=targets(cells, cells.possible))[[*CELL, "min_per_video", "aim"]]
