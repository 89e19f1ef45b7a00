"""Which frames: candidates from the packet scan, flat keys, ranks, quotas, and the filling of quotas in rank order.

DFDC has millions of candidates: up to the ranks, names may be strings or categories, and rows are ordered by integers.
"""

import hashlib
from collections import Counter
from urllib.parse import quote

import numpy as np
import pandas as pd

from pipeline.errors import UserError
from pipeline.files import sha256_of_text
from pipeline.tables import CLASSES

# A tar member's name holds 100 bytes; the longest extension, ".json", needs five.
LONGEST_KEY = 95

CELL = ["split", "label"]
SHORTFALL = [*CELL, "method", "quota", "possible", "missing", "candidates", "tried", "failed", "good", "reasons"]


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
    return in_turns(frames, np.argsort(hashes(seed, frames.key), kind="stable"))


def in_turns(frames: pd.DataFrame, order: np.ndarray) -> pd.DataFrame:
    """Return `frames` with `turn` and `rank` as in `rank`, with `order` (positions of the rows) in place of chance."""
    turn = place_within(frames.groupby("video").ngroup(), order)
    by_turn = order[np.argsort(turn[order], kind="stable")]
    place = place_within(frames.groupby([*CELL, "method"]).ngroup(), by_turn)
    by_place = order[np.argsort(place[order], kind="stable")]
    return frames.assign(turn=turn, rank=place_within(frames.groupby(CELL).ngroup(), by_place))


def hashes(seed: int, names: pd.Series) -> np.ndarray:
    """Return the SHA-256 of `seed` and each name as 32 bytes (dtype S32).

    files.sha256_of_text gives the same as digits; bytes sort as those do, in half the memory, and take half the time.
    """
    # In portions: millions of Python strings at once would take more memory than the whole table.
    portions = (names.iloc[start : start + 100_000].tolist() for start in range(0, len(names), 100_000))
    digests = (hashlib.sha256(f"{seed}\n{name}".encode()).digest() for portion in portions for name in portion)
    return np.fromiter(digests, dtype="S32", count=len(names))


def place_within(group: pd.Series | np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return each row's place (int32, from 0) among the rows of its group when all rows are taken in `order`."""
    members = np.asarray(group)[order]
    place = np.empty(len(order), dtype=np.int32)
    place[order] = _place_so_far(members)
    return place


def _place_so_far(members: np.ndarray) -> np.ndarray:
    """Return for each row how many rows before it are of the same group."""
    return pd.Series(members).groupby(members).cumcount().to_numpy()


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
    cell, good = _cell_of(frames, cells), (frames.state == "good").to_numpy()
    lacking = _aims(frames, cell, cells) - np.bincount(cell[good], minlength=len(cells))
    rows = _by_rank(frames, (frames.state == "untried").to_numpy())
    wanted = _place_so_far(cell[rows]) < lacking[cell[rows]]

    guarantee = cells.min_per_video.to_numpy()
    owed = np.flatnonzero(guarantee[cell[rows]] > 0)  # most often the test split alone
    video, videos = pd.factorize(frames.video)
    lacking_of_video = guarantee[cell[rows[owed]]] - np.bincount(video[good], minlength=len(videos))[video[rows[owed]]]
    wanted[owed] |= _place_so_far(video[rows[owed]]) < lacking_of_video
    return frames.index[rows[wanted]]


def settle(frames: pd.DataFrame, cells: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """Return the status of every frame (kept, surplus, failed, unused) and the cells as rows of tables.FILLED.

    Kept are each video's guaranteed good frames, then good frames in rank order until the quota is full.
    """
    cell = _cell_of(frames, cells)
    aims = _aims(frames, cell, cells)
    good = _by_rank(frames, (frames.state == "good").to_numpy())
    beyond = _place_so_far(pd.factorize(frames.video)[0][good]) >= cells.min_per_video.to_numpy()[cell[good]]
    good = np.concatenate([good[~beyond], good[beyond]])  # the guaranteed first, each part in rank order
    kept = (_place_so_far(cell[good]) < aims[cell[good]]) | (np.arange(len(good)) < np.sum(~beyond))

    names = ["unused", "failed", "surplus", "kept"]
    code = np.zeros(len(frames), dtype=np.int8)
    code[(frames.state == "failed").to_numpy()] = 1
    code[good] = np.where(kept, 3, 2)
    status = pd.Series(pd.Categorical.from_codes(code, pd.Index(names)), index=frames.index).astype("str")

    counts = np.bincount(cell * len(names) + code, minlength=len(cells) * len(names)).reshape(-1, len(names))
    filled = cells.assign(quota=aims, **dict(zip(names, counts.T.astype("int32"), strict=True)))
    filled["tried"] = filled.failed + filled.surplus + filled.kept
    return status, filled.drop(columns="unused")


def shortfall(frames: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row per method of each split and class whose quota is a number that cannot be reached any more.

    `frames` are ranked frames with `state` (untried, good or failed) and `reason`. Columns are those of SHORTFALL:
    quota, possible (frames that are good or may still be) and missing are of the class; candidates, tried, failed,
    good and reasons, the most frequent first ("no_face 12, blurred_face 3"), of the method.
    """
    cell = _cell_of(frames, cells)
    possible = _possible(frames, cell, cells)
    numbers = pd.to_numeric(cells.rule, errors="coerce").to_numpy(float)
    rows = []
    for number in np.flatnonzero(possible < numbers):
        of_class = cells.iloc[number][[*CELL, "quota"]].to_dict() | {"possible": possible[number]}
        of_class["missing"] = of_class["quota"] - of_class["possible"]
        for method, part in frames[cell == number].groupby("method", observed=True):
            count = part.state.value_counts()
            failed, good = count.get("failed", 0), count.get("good", 0)
            of_method = {"method": method, "candidates": len(part), "tried": failed + good, "failed": failed}
            reasons = Counter(part.reason[part.state == "failed"])
            frequent = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
            told = ", ".join(f"{reason} {times}" for reason, times in frequent)
            rows.append(of_class | of_method | {"good": good, "reasons": told})
    for split, part in cells[~np.isnan(numbers)].groupby("split"):
        for label in set(CLASSES) - set(part.label):  # a class without a single candidate has no cell
            quota = int(part.rule.iloc[0])
            nothing = dict.fromkeys(["possible", "candidates", "tried", "failed", "good"], 0)
            rows.append({"split": split, "label": label, "method": "any method", "quota": quota, "missing": quota})
            rows[-1] |= nothing | {"reasons": ""}
    return pd.DataFrame(rows, columns=SHORTFALL)


def _cell_of(frames: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Return the position of each frame's split and class among the rows of `cells`."""
    split, splits = pd.factorize(frames.split)
    label, labels = pd.factorize(frames.label)
    number = {names: row for row, names in enumerate(zip(cells.split, cells.label, strict=True))}
    table = np.array([[number.get((name, kind), -1) for kind in labels] for name in splits], dtype=np.int64)
    return table.reshape(len(splits), len(labels))[split, label]


def _by_rank(frames: pd.DataFrame, among: np.ndarray) -> np.ndarray:
    """Return the positions of the frames that `among` marks, in rank order."""
    rows = np.flatnonzero(among)
    return rows[np.argsort(frames["rank"].to_numpy()[rows], kind="stable")]


def _possible(frames: pd.DataFrame, cell: np.ndarray, cells: pd.DataFrame) -> np.ndarray:
    """Return how many frames of each cell are good or may still be."""
    return np.bincount(cell[(frames.state != "failed").to_numpy()], minlength=len(cells))


def _aims(frames: pd.DataFrame, cell: np.ndarray, cells: pd.DataFrame) -> np.ndarray:
    """Return the quota of each cell, given how many frames are good or may still be."""
    return targets(cells, pd.Series(_possible(frames, cell, cells), index=cells.index)).to_numpy()
