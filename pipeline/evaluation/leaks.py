"""Which videos of a dataset hang together with what a model learned from: their figures flatter it."""

from collections.abc import Collection, Mapping

import pandas as pd

from pipeline import provenance
from pipeline.selection import flat_name


def learned_videos(learned: pd.DataFrame, videos_by_key: Mapping[str, pd.DataFrame]) -> dict[str, set[str]]:
    """Return, by dataset, the videos whose pictures a model was trained or validated on.

    `learned` is tables.LEARNED; `videos_by_key` has the videos (column video) of each dataset it names. A training may
    deal out pictures whatever split they are of: it is the pictures that count.
    """
    used = learned[learned["part"].isin(["train", "val"])]
    found = {}
    for key, keys in used.groupby("dataset")["key"]:
        names = set(keys.str.rsplit("__f", n=1).str[0])
        found[str(key)] = {video for video in videos_by_key[str(key)]["video"] if flat_name(video) in names}
    return found


def tied_videos(
    key: str,
    videos_by_key: Mapping[str, pd.DataFrame],
    learned: Mapping[str, Collection[str]],
    built_in: Collection[str],
) -> set[str]:
    """Return the videos of dataset `key` that share material with videos that were learned from, those included.

    `videos_by_key` holds the link columns (provenance.COLUMNS) and `video` of `key` and of every dataset in `learned`,
    which has the videos learned from by dataset. Material is what forms provenance groups: a recording (shown or giving
    its face), the published video it was cut from, identical content; not persons. `built_in` names the datasets whose
    names mean nothing outside them (provenance.linkable).
    """
    outside = provenance.with_known_sources(
        {name: provenance.linkable(videos, built_in=name in built_in) for name, videos in videos_by_key.items()}
    )
    tied = set(learned.get(key, ()))
    for other, seen in learned.items():
        known = videos_by_key if other == key else outside
        theirs = known[other][known[other]["video"].isin(list(seen))]
        nodes = provenance.links(theirs, provenance.MATERIAL)[["kind", "node"]].drop_duplicates()
        ours = provenance.links(known[key], provenance.MATERIAL).merge(nodes, on=["kind", "node"])
        tied |= set(ours["video"])
    return tied
