"""Ranks that take the same frame of an original and of its fakes together, so that any quota keeps pairs.

Paired is a frame of a fake whose original is among the real candidates of the same split and has a frame of that index.
All else is ranked as it is without pairs. Rows are ordered by integers: DFDC has millions of them.
"""

import numpy as np
import pandas as pd

from pipeline.selection import hashes, in_turns, place_within
from pipeline.tables import FAKE, REAL


def rank_pairs(frames: pd.DataFrame, originals: pd.Series, seed: int) -> pd.DataFrame:
    """Return `frames` (rows of tables.FLAT) with `turn` and `rank`, as selection.rank does, but in pairs.

    `originals` has the key of the video that a video was made from, or none, by key of the video. The same frame of an
    original and of its fakes has one chance, drawn from the original's key. Reals are ranked by turns as ever. Fakes
    are ranked layer by layer: the first layer holds one fake of each frame of an original, in the order of the reals,
    the next layer another one, until all are used up; in a layer methods take turns. Fakes that are not paired stand
    where the reals have no fake, or behind. So among the first N reals and the first N fakes every real frame that has
    fakes has one of them.
    """
    video, videos = pd.factorize(frames.video, sort=True)
    family = _families(frames, video, videos, originals)
    # A slot is one frame index of a family: of an original and its fakes, or of a video alone.
    span = int(frames.frame.max()) + 1
    slot, slots = pd.factorize(pd.Series(family[video] * span + frames.frame.to_numpy()))
    chance = _slot_chances(np.asarray(slots), span, videos, seed)
    ranked = in_turns(frames, np.lexsort((video, chance[slot])))
    turn, rank = ranked.turn.to_numpy(), ranked["rank"].to_numpy(copy=True)

    real = frames.label.to_numpy() == REAL
    partner = np.full(len(slots), -1)  # row of the original's frame
    partner[slot[real]] = np.flatnonzero(real)
    paired, alone = (np.flatnonzero(~real & has) for has in (partner[slot] >= 0, partner[slot] < 0))
    partners = partner[slot[paired]]

    split, _ = pd.factorize(frames.split)
    line = rank.copy()  # the rank among reals at which a fake's frame stands
    line[paired] = rank[partners]
    line[alone] = _gaps(rank[alone], split[alone], line[paired], split[paired])

    first = np.flatnonzero(real & (turn == 0))
    start = np.zeros(len(videos), dtype=np.int32)  # an original begins with another of its fakes than the next one
    start[video[first]] = rank[first]
    layer = np.zeros_like(rank)
    layer[paired] = _layers(
        split=split[paired],
        slot=slot[paired],
        method=pd.factorize(frames.method, sort=True)[0][paired],
        video=video[paired],
        line=line[paired],
        step=start[video[partners]] + turn[partners],
    )
    fakes = np.flatnonzero(~real)
    rank[fakes] = place_within(split[fakes], np.lexsort((line[fakes], layer[fakes])))
    return ranked.assign(rank=rank, turn=place_within(video, np.argsort(rank, kind="stable")))


def _families(frames: pd.DataFrame, video: np.ndarray, videos: pd.Index, originals: pd.Series) -> np.ndarray:
    """Return for each of `videos` the number of its original, where that is a real of the same split, else its own."""
    row = np.empty(len(videos), dtype=np.int64)
    row[video] = np.arange(len(video))
    facts = frames[["split", "label"]].iloc[row].reset_index(drop=True)
    names = pd.Index(videos.astype("str"))
    number = names.get_indexer(originals.reindex(names))
    original = facts.iloc[number].reset_index(drop=True)
    paired = (number >= 0) & (facts.label == FAKE) & (original.label == REAL) & (facts.split == original.split)
    return np.where(paired, number, np.arange(len(videos)))


def _slot_chances(slots: np.ndarray, span: int, videos: pd.Index, seed: int) -> np.ndarray:
    """Return the place of each slot (family * span + frame) in the order of chance."""
    family, frame = np.divmod(slots, span)
    names = pd.Series(videos.astype("str").array[family]) + "\n" + pd.Series(frame).astype("str")
    places = np.empty(len(slots), dtype=np.int64)
    places[np.argsort(hashes(seed, names), kind="stable")] = np.arange(len(slots))
    return places


def _gaps(rank: np.ndarray, split: np.ndarray, taken: np.ndarray, split_of_taken: np.ndarray) -> np.ndarray:
    """Return for rows in rank order the places of their split, from 0, that are not `taken`."""
    line = np.empty(len(rank), dtype=np.int32)
    for number in np.unique(split):
        rows, here = np.flatnonzero(split == number), taken[split_of_taken == number]
        free = np.ones(len(rows) + here.max(initial=-1) + 1, dtype=bool)
        free[here] = False
        line[rows[np.argsort(rank[rows])]] = np.flatnonzero(free)[: len(rows)]
    return line


def _layers(**columns: np.ndarray) -> np.ndarray:
    """Return the layer of each paired frame of a fake, from 0: its place among the fakes of its slot.

    The columns are split, slot, method, video, line (that of the slot) and step, all as integers. Which method comes
    first goes round from slot to slot along the line, among the slots of a split with as many methods; which fake of a
    method comes first goes round with the step.
    """
    rows = pd.DataFrame(columns, dtype="int32").sort_values(["slot", "method", "video"])
    new_slot, new_method = rows.slot.diff() != 0, rows.method.diff() != 0
    kind = (new_slot | new_method).groupby(rows.slot).cumsum() - 1  # number of the method in its slot
    kinds = kind.groupby(rows.slot).transform("max") + 1
    along = rows[new_slot].assign(kinds=kinds).sort_values("line")
    along["number"] = along.groupby(["split", "kinds"]).cumcount()
    number = rows.slot.map(along.set_index("slot").number)
    of_method = rows.groupby(["slot", "method"])
    rows["by_method"] = (kind - number) % kinds
    rows["by_fake"] = (of_method.cumcount() - rows.step) % of_method.slot.transform("size")
    return rows.sort_values(["by_fake", "by_method"]).groupby("slot").cumcount().sort_index().to_numpy()
