"""Which face of a frame is THE face of the video: the same person's in every frame, and the forged one in a fake."""

import numpy as np
import pandas as pd

BOX = ["box_x", "box_y", "box_width", "box_height"]

# Boxes of one face in two chosen frames overlap by so much at least (intersection over union), unless it moved far.
SAME_FACE = 0.3

# How evidence of forgery singles out a face of a frame: so many times the evidence of each other face there, so much at
# least, and half of the greatest in the video at least. A mask marks some tenths of the forged face's box and next to
# nothing of others. An original differs everywhere a little, by encoding, and clearly more where it was forged.
TIMES_THE_NEXT = {"mask": 2.0, "original": 1.5}
LEAST = {"mask": 0.05, "original": 0.5}  # share of the box; grey levels


def choose(found: pd.DataFrame, *, forged: bool, clue: str) -> pd.DataFrame:
    """Choose one face in every frame of one video.

    Args:
        found: the usable faces, in any order. frame (int), face (int, its number in the frame), box_x, box_y,
            box_width, box_height (pixels of the upright frame), evidence of forgery (float; NaN where there is none):
            share of the box that the mask marks, or mean absolute difference from the original in grey levels.
        forged: whether the video is a fake.
        clue: what the evidence is: mask, original, or "" for none.

    Returns:
        One row for each frame, ascending: frame, face and chosen_by: `only` where there is no other face; `mask` or
        `original` where the evidence singles one out; `ambiguous_face` in a fake otherwise and `track` in a real, and
        then it is the face of the person who takes up most of the video; `not_the_forged_face` where every face of the
        frame belongs to somebody whom the evidence of other frames has cleared: no face of that frame is to be taken.
    """
    found = found.sort_values(["frame", "face"], ignore_index=True)
    alone = ~found.frame.duplicated(keep=False)
    if alone.all():
        return found.assign(chosen_by="only")[["frame", "face", "chosen_by"]]
    track = _tracks(found)
    singled_out = _singled_out(found, track, clue) if forged and clue else np.zeros(len(found), bool)
    # Tracks are numbered as they start: of equally large ones the first.
    size = np.bincount(track, found.box_width * found.box_height)[track]
    best_first = np.lexsort((track, -size, ~singled_out, found.frame))
    chosen = found.iloc[best_first].drop_duplicates("frame")
    reason = np.where(singled_out, clue, "ambiguous_face" if forged else "track")
    reason = np.where(alone, "only", reason)
    reason = np.where(_cleared(found, track, singled_out), "not_the_forged_face", reason)
    return chosen.assign(chosen_by=reason[chosen.index])[["frame", "face", "chosen_by"]].reset_index(drop=True)


def _tracks(found: pd.DataFrame) -> np.ndarray:
    """Return the number of each face's track, counted as they start; `found` is sorted by frame and face.

    A face continues the track whose last box it overlaps most, each track at most once in a frame; the greatest
    overlap is served first.
    """
    boxes = found[BOX].to_numpy(float)
    corners = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    tracks = np.full(len(found), -1)
    last = np.empty((0, 4))  # the last box of each track
    starts = np.flatnonzero(np.diff(found.frame.to_numpy(), prepend=found.frame.iloc[0] - 1))
    for rows in np.split(np.arange(len(found)), starts[1:]):
        overlap = _overlaps(corners[rows], last)
        while overlap.size and overlap.max() >= SAME_FACE:
            face, track = np.unravel_index(overlap.argmax(), overlap.shape)
            tracks[rows[face]] = track
            overlap[face], overlap[:, track] = 0, 0
        new = rows[tracks[rows] < 0]
        tracks[new] = len(last) + np.arange(len(new))
        last = np.concatenate([last, corners[new]])
        last[tracks[rows]] = corners[rows]
    return tracks


def _overlaps(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return intersection over union of each of `some` with each of `others`: (some, others); both (n, 4) corners."""
    corner = np.maximum(some[:, None, :2], others[None, :, :2])
    opposite = np.minimum(some[:, None, 2:], others[None, :, 2:])
    common = (opposite - corner).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (some, others)]
    return common / (areas[0][:, None] + areas[1][None] - common)


def _singled_out(found: pd.DataFrame, track: np.ndarray, clue: str) -> np.ndarray:
    """Return for each face whether the evidence, averaged over its track, singles it out among several of its frame."""
    mean = found.evidence.groupby(track).transform("mean")
    order = np.lexsort((-mean, found.frame))
    frame, mine = found.frame.to_numpy()[order], mean.to_numpy()[order]
    first = frame != np.concatenate([[-1], frame[:-1]])
    next_best = np.where(np.append(first[1:], True), np.nan, np.append(mine[1:], np.nan))
    enough = mine >= max(LEAST[clue], mean.max() / 2)
    singled_out = np.zeros(len(found), bool)
    singled_out[order] = first & enough & (mine >= TIMES_THE_NEXT[clue] * next_best)
    return singled_out


def _cleared(found: pd.DataFrame, track: np.ndarray, singled_out: np.ndarray) -> np.ndarray:
    """Return for each face whether it and all others of its frame are of people who were seen and not singled out.

    Only where somebody was singled out at all; who was never seen beside another has no evidence, and is not cleared.
    """
    seen = found.evidence.notna().groupby(track).transform("any")
    forged = pd.Series(singled_out).groupby(track).transform("any")
    innocent = (seen & ~forged) if singled_out.any() else pd.Series(False, index=found.index)
    return innocent.groupby(found.frame).transform("all").to_numpy()
