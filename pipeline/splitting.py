"""Assign every video to train, val or test: official lists first, the rest carved by provenance group."""

import math
from collections.abc import Mapping

import pandas as pd

from pipeline import provenance
from pipeline.files import sha256_of_text

FEWEST_GROUPS = 10  # with fewer groups than this a carved split would be a matter of chance


def carving_kinds(videos: pd.DataFrame) -> tuple[provenance.Kind, ...]:
    """Return the kinds of links that form the groups of a dataset without published splits.

    Material always; persons in any role where that leaves at least FEWEST_GROUPS groups, else the persons shown where
    that does: where everybody is swapped with everybody, donors would tie all videos into one group.
    """
    persons: tuple[provenance.Kind, ...] = ("person", "target_person")
    for kind in persons:
        if provenance.groups(videos, (*provenance.MATERIAL, kind)).nunique() >= FEWEST_GROUPS:
            return (*provenance.MATERIAL, kind)
    return provenance.MATERIAL


def assign(
    videos: pd.DataFrame,
    group: pd.Series,
    validation: float,
    test: float,
    seed: int,
    max_videos: Mapping[int, int | None] | None = None,
) -> pd.Series:
    """Return the split of each usable video (index: video key); videos the official lists leave out get none.

    `videos` are rows of tables.VIDEOS with status ok, `group` maps video -> provenance group. Where the lists name no
    validation, the share `validation` (0 to 0.5) of train's groups becomes validation. Where there are no lists at
    all, the share `test` of all groups becomes test first, and the rest is train. Groups that a test video belongs to
    never become validation: they would tie it to test. `max_videos` maps a label to how many train videos it may have
    before validation is carved out of them; those beyond get no split either.
    """
    split = videos.set_index("video").official_split.astype("str")
    if split.isna().all():
        split[:] = "train"
        _carve(videos, group, split, "test", test, seed)
    split[_beyond(videos, split, max_videos or {}, seed)] = None
    if not (split == "val").any():
        _carve(videos, group, split, "val", validation, seed)
    return split


def _carve(videos: pd.DataFrame, group: pd.Series, split: pd.Series, name: str, share: float, seed: int) -> None:
    """Move whole groups of train to the split `name`: of each make-up (the set of methods in a group) the share.

    At least one but never all where there are two or more, none where there is one; chosen by hash of seed and group,
    so that the choice does not depend on order.
    """
    group = group.loc[split.index]
    in_test = set(group[split == "test"])
    pool = group[(split == "train") & ~group.isin(in_test)]
    methods = videos.set_index("video").method.loc[pool.index]
    for groups in provenance.makeups(methods, pool):
        names = sorted(groups, key=lambda name: sha256_of_text(seed, name))
        wanted = max(math.floor(share * len(names) + 0.5), 1) if share > 0 else 0
        chosen = names[: min(wanted, len(names) - 1)]
        split[pool.index[pool.isin(chosen)]] = name


def _beyond(videos: pd.DataFrame, split: pd.Series, most: Mapping[int, int | None], seed: int) -> pd.Index:
    """Return the train videos beyond `most` of their label; each method gives in turn, by hash of seed and video."""
    beyond: list[str] = []
    pool = videos[videos.video.map(split) == "train"]
    for label, count in most.items():
        if count is None:
            continue
        rows = pool[pool.label == label]
        rows = rows.assign(order=[sha256_of_text(seed, video) for video in rows.video]).sort_values("order")
        turn = rows.groupby("method").cumcount()
        beyond += list(rows.assign(turn=turn).sort_values(["turn", "order"]).video[count:])
    return pd.Index(beyond)


def tied_to_evaluation(videos: pd.DataFrame, split: pd.Series, kinds: list[provenance.Kind]) -> pd.Index:
    """Return the videos whose removal leaves no link of `kinds` between splits, without touching test.

    They are the videos of val that are tied to test, and those of train that are tied to test or to what is left of
    val. `split` maps the video key to train, val or test.
    """
    shared = provenance.shared(videos, split, kinds)
    of_val = provenance.tied_videos(shared, "val", ["test"])
    of_train = provenance.tied_videos(shared[~shared.video.isin(of_val)], "train", ["val", "test"])
    return of_val.append(of_train)
