"""Who came from whom: the links between videos, the groups they form, and the leaks of a split or across datasets.

A link ties a video to a node: a recording it shows or takes a face from, the published video that one was cut from,
a person, identical content. Nodes are named `<corpus>/<name>`, so that equal names mean the same material whatever the
dataset. Videos that share material belong to one provenance group (connected components). Persons are counted as
leaks, but form no groups by themselves: in Celeb-DF everybody is swapped with everybody, so that one group would hold
the whole dataset. A leak is a node with videos in more than one split; ties count those videos.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.tables import SPLITS

Kind = Literal["recording", "source_video", "target_person", "donor_person", "person", "content"]


@dataclass(frozen=True)
class Link:
    """A kind of link: the columns of tables.VIDEOS that name its nodes, and what two videos with one node share."""

    columns: tuple[str, ...]
    meaning: str


LINKS: dict[Kind, Link] = {
    "recording": Link(("recording", "donor_recording"), "the same recording, whether shown or giving its face"),
    "source_video": Link(
        ("source_video", "donor_source_video"), "recordings cut from the same published video, whether shown or donor"
    ),
    "target_person": Link(("person",), "the same person's body, shown in both"),
    "donor_person": Link(("donor_person",), "the same person's face, put into both"),
    "person": Link(("person", "donor_person"), "the same person in any role: donor here and target there"),
    "content": Link(("sha256",), "the same bytes"),
}
MATERIAL: tuple[Kind, ...] = ("recording", "source_video", "content")  # what forms groups
TIED = (("test", "train"), ("test", "val"), ("val", "train"))  # which ties spoil a figure
COLUMNS = sorted({column for link in LINKS.values() for column in link.columns})


def links(videos: pd.DataFrame, kinds: Collection[Kind] = tuple(LINKS)) -> pd.DataFrame:
    """Return the links of `videos` (rows of tables.VIDEOS) as distinct rows (video, kind, node); no node is empty."""
    parts = []
    for kind in kinds:
        columns = [videos[["video"]].assign(node=videos[column].astype("str")) for column in LINKS[kind].columns]
        of_kind = pd.concat(columns, ignore_index=True).dropna(subset="node")
        parts.append((of_kind.drop_duplicates() if len(columns) > 1 else of_kind).assign(kind=kind))
    return pd.concat(parts, ignore_index=True)[["video", "kind", "node"]]


def groups(videos: pd.DataFrame, kinds: Collection[Kind] = MATERIAL) -> pd.Series:
    """Return the provenance group of each video: the smallest recording name in its connected component.

    The index is the video key; links of `kinds` connect. Where a component has no recording, it is named by its
    smallest video key. A group's name does not change when videos are added elsewhere.
    """
    video_ids, video_names = pd.factorize(videos.video)
    position = pd.Series(video_ids, index=video_names)
    tied = links(videos, kinds)
    rows = position[tied.video].to_numpy()
    nodes = tied.groupby(["kind", "node"], sort=False).ngroup().to_numpy()
    size = len(video_names) + nodes.max(initial=-1) + 1
    graph = coo_array((np.ones(len(tied), dtype=bool), (rows, len(video_names) + nodes)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(video_names)]
    label = videos.recording.fillna(videos.video).groupby(component).min()
    return pd.Series(label.loc[component].to_numpy(), index=video_names, name="group")


def shared(videos: pd.DataFrame, split: pd.Series, kinds: Collection[Kind] = tuple(LINKS)) -> pd.DataFrame:
    """Return the links whose node belongs to two videos or more, as rows (video, kind, node, split).

    `split` maps the video key to train, val or test; videos without a split do not count.
    """
    tied = links(videos, kinds)
    tied = tied.assign(split=tied.video.map(split)).dropna(subset="split")
    return tied[tied.duplicated(["kind", "node"], keep=False)]


def tied_videos(shared_links: pd.DataFrame, split: str, others: Collection[str]) -> pd.Index:
    """Return the videos of `split` that share a node with videos of the splits `others`, from rows of `shared`."""
    theirs = shared_links.loc[shared_links.split.isin(others), ["kind", "node"]].drop_duplicates()
    ours = shared_links[shared_links.split == split].merge(theirs, on=["kind", "node"])
    return pd.Index(ours.video.unique())


def makeups(cell: pd.Series, group: pd.Series) -> list[list[str]]:
    """Return the groups by make-up: lists of those that hold the same set of `cell` values (methods, for one).

    `cell` and `group` have one row per video.
    """
    makeup = cell.groupby(group).agg(lambda cells: "\n".join(sorted(set(cells))))
    return [list(same.index) for _, same in makeup.groupby(makeup)]


def tied_counts(ties: pd.DataFrame, kind: str) -> dict[str, int]:
    """Return `test_to_train` and so on: videos of the first split tied to the second (rows of tables.TIES)."""
    videos = ties[ties.kind == kind].set_index(["split", "tied_to"]).videos
    return {f"{one}_to_{other}": int(videos[one, other]) for one, other in TIED}


def leaks(videos: pd.DataFrame, split: pd.Series, kinds: Collection[Kind] = tuple(LINKS)) -> pd.DataFrame:
    """Return the nodes that tie videos of different splits, as rows of tables.LEAKS; `split` as in `shared`."""
    counts = shared(videos, split, kinds).groupby(["kind", "node", "split"]).size().unstack("split", fill_value=0)
    counts = counts.reindex(columns=list(SPLITS), fill_value=0).astype("int32")
    return counts[(counts > 0).sum(axis=1) > 1].reset_index().rename_axis(columns=None)


def ties(videos: pd.DataFrame, split: pd.Series) -> list[dict[str, Any]]:
    """Return how many videos of each split are tied to each other split, by kind, as rows of tables.TIES.

    `split` is as in `shared`. There is a row for every kind and ordered pair of splits, so that a count of none is
    said as well.
    """
    rows = []
    tied = shared(videos, split)
    for kind in LINKS:
        of_kind = tied[tied.kind == kind]
        for one, other in permutations(SPLITS, 2):
            count = len(tied_videos(of_kind, one, [other]))
            rows.append({"kind": kind, "split": one, "tied_to": other, "videos": count})
    return rows


def across(videos_by_key: Mapping[str, pd.DataFrame], learned: Collection[str]) -> pd.DataFrame:
    """Return the nodes that tie what a model learns from to test videos of another dataset: rows of tables.ACROSS.

    `videos_by_key` holds for each dataset its usable videos with the link columns of tables.VIDEOS and `split`;
    `learned` are the keys of the datasets whose train and val videos a model sees.
    """
    videos_by_key = with_known_sources(videos_by_key)
    seen = {key: _videos_of_nodes(videos_by_key[key], ["train", "val"]) for key in learned}
    tested = {key: _videos_of_nodes(videos, ["test"]) for key, videos in videos_by_key.items()}
    parts = [
        pd.concat({"learned_videos": seen[one], "tested_videos": tested[other]}, axis=1, join="inner")
        .reset_index()
        .assign(learned=one, tested=other)
        for one, other in product(seen, tested)
        if one != other
    ]
    columns = ["kind", "node", "learned", "tested", "learned_videos", "tested_videos"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def linkable(videos: pd.DataFrame, *, built_in: bool) -> pd.DataFrame:
    """Return `videos` with what ties them across datasets.

    Of a built-in dataset that is content alone: it names its recordings and people as a published one does, and means
    others.
    """
    by_name = [column for column in COLUMNS if column not in LINKS["content"].columns]
    return videos.assign(**dict.fromkeys(by_name)) if built_in else videos


def with_known_sources(videos_by_key: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Fill in source videos of recordings that only another dataset knows (FF++'s, where others show its sequences)."""
    shown = [videos[["recording", "source_video"]] for videos in videos_by_key.values()]
    known = pd.concat(shown).dropna().drop_duplicates("recording").set_index("recording").source_video
    return {
        key: videos.assign(
            source_video=videos.source_video.fillna(videos.recording.map(known)),
            donor_source_video=videos.donor_source_video.fillna(videos.donor_recording.map(known)),
        )
        for key, videos in videos_by_key.items()
    }


def _videos_of_nodes(videos: pd.DataFrame, splits: Collection[str]) -> "pd.Series[int]":
    """Count the videos of `splits` at each node (index: kind, node)."""
    return links(videos[videos.split.isin(splits)]).groupby(["kind", "node"]).size()
