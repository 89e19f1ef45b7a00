"""Assign every video to train, val or test: official lists first, validation carved by provenance group."""

import math

import pandas as pd

from pipeline.files import sha256_of_text


def assign(videos: pd.DataFrame, group: pd.Series, validation: float, seed: int) -> pd.Series:
    """Return the split of each usable video (index: video key); videos the official lists leave out get none.

    `videos` are rows of tables.VIDEOS with status ok, `group` maps video -> provenance group. Where the lists name no
    validation, whole groups of the training pool become validation: the share `validation` (0 to 1) of the groups of
    each make-up (the set of methods in the group), at least one where a make-up has two groups or more, chosen by hash
    of seed and group so that the choice does not depend on order. Groups that a test video belongs to are not chosen:
    they would tie validation to test.
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
        wanted = math.floor(validation * len(names) + 0.5)
        chosen = names[: max(wanted, 1) if validation > 0 and len(names) > 1 else wanted]
        split[pool.index[pool.isin(chosen)]] = "val"
    return split
