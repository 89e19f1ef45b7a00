"""Assign every video to train, val or test: official lists first, validation carved by provenance group."""

import math

import pandas as pd

from pipeline.files import sha256_of_text


def assign(videos: pd.DataFrame, group: pd.Series, validation: float, seed: int) -> pd.Series:
    """Return the split of each usable video (index: video key); videos the official lists leave out get none.

    `videos` are rows of tables.VIDEOS with status ok, `group` maps video -> provenance group. Where the lists name no
    validation, whole groups of the training pool become validation: the share `validation` (0 to 1) of the groups of
    each make-up (the set of methods in the group), at least one but never all where there are two or more, none where
    there is one; chosen by hash of seed and group so that the choice does not depend on order. Groups that a test video
    belongs to are not chosen: they would tie validation to test.
    """
    split = videos.set_index("video").official_split.copy()
    if (split == "val").any():
        return split
    group = group.loc[split.index]
    in_test = set(group[split == "test"])
    pool = group[(split == "train") & ~group.isin(in_test)]
    methods = videos.set_index("video").method.loc[pool.index]
    makeup = methods.groupby(pool).agg(lambda names: "+".join(sorted(set(names))))
    for _, members in makeup.groupby(makeup):
        names = sorted(members.index, key=lambda name: sha256_of_text(seed, name))
        wanted = max(math.floor(validation * len(names) + 0.5), 1) if validation > 0 else 0
        chosen = names[: min(wanted, len(names) - 1)]
        split[pool.index[pool.isin(chosen)]] = "val"
    return split
