"""Which frames: candidates from the packet scan, flat keys, ranks, quotas, and the filling of quotas in rank order."""

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
    """Return the candidate frames of usable videos as rows of tables.CANDIDATES.

    `videos` has the columns video, split, label, method, frames, pts (array of all time stamps), time_base (seconds).
    """
    chosen = [frame_indices(frames, every, count) for frames in videos.frames]
    repeats = [len(indices) for indices in chosen]
    table = videos[["video", "split", "label", "method"]].loc[videos.index.repeat(repeats)].reset_index(drop=True)
    table["frame"] = np.concatenate(chosen)
    stamps = [np.asarray(pts)[indices] for pts, indices in zip(videos.pts, chosen, strict=True)]
    table["pts"] = np.concatenate(stamps)
    starts = np.repeat([pts[0] for pts in videos.pts], repeats)
    table["time_s"] = ((table.pts - starts) * np.repeat(videos.time_base.to_numpy(), repeats)).round(6)
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
    names = {video: flat_name(video) for video in frames.video.unique()}
    owner: dict[str, str] = {}
    for video, flat in names.items():
        other = owner.setdefault(flat.lower(), video)
        if other != video:
            raise UserError(f"videos {other!r} and {video!r} would both be named {flat!r}; rename one of them")
    return frames.video.map(names) + "__f" + frames.frame.astype(str).str.zfill(6)


def rank(frames: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return `frames` (rows of tables.FLAT) with `turn` and `rank`: the order in which each split and class is filled.

    The frames of a video take turns in hash order; within a method all first turns come before all second ones; methods
    alternate. So any first part of the order is spread over methods and videos as evenly as they allow.
    """
    ranked = frames.assign(chance=[sha256_of_text(seed, key) for key in frames.key])
    ranked = ranked.sort_values("chance", kind="stable")
    ranked["turn"] = ranked.groupby("video").cumcount().astype("int32")
    ranked = ranked.sort_values(["turn", "chance"], kind="stable")
    ranked["place"] = ranked.groupby([*CELL, "method"]).cumcount()
    ranked = ranked.sort_values(["place", "chance"], kind="stable")
    ranked["rank"] = ranked.groupby(CELL).cumcount().astype("int32")
    return ranked.drop(columns=["chance", "place"])


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
