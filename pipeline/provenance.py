"""Who came from whom: the links between videos, the groups they form, and the leaks of a split.

A link ties a video to a node: a recording it shows or takes a face from, a person, identical content. Videos that share
a recording or content belong to one provenance group (connected components). Persons are counted as leaks, but form no
groups: in Celeb-DF everybody is swapped with everybody, so that one group would hold the whole dataset.
"""

import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.tables import SPLITS

LINK_COLUMNS = {
    "recording": ("recording", "donor_recording"),
    "person": ("person", "donor_person"),
    "content": ("sha256",),
}
GROUPING = ("recording", "content")


def links(videos: pd.DataFrame) -> pd.DataFrame:
    """Return the links of `videos` (rows of tables.VIDEOS) as rows (video, kind, node), without empty nodes."""
    parts = [
        videos[["video"]].assign(kind=kind, node=videos[column])
        for kind, columns in LINK_COLUMNS.items()
        for column in columns
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset="node").drop_duplicates(ignore_index=True)


def groups(videos: pd.DataFrame) -> pd.Series:
    """Return the provenance group of each video: the smallest recording name in its connected component.

    The index is the video key. A group's name does not change when videos are added elsewhere.
    """
    tied = links(videos)
    tied = tied[tied.kind.isin(GROUPING)]
    video_ids, video_names = pd.factorize(videos.video)
    position = pd.Series(video_ids, index=video_names)
    node_ids, _ = pd.factorize(tied.kind + "\n" + tied.node)
    rows = position[tied.video].to_numpy()
    size = len(video_names) + node_ids.max(initial=-1) + 1
    graph = coo_array(([True] * len(tied), (rows, len(video_names) + node_ids)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(video_names)]
    label = videos.recording.fillna(videos.video).groupby(component).min()
    return pd.Series(label.loc[component].to_numpy(), index=video_names, name="group")


def leaks(videos: pd.DataFrame, split: pd.Series) -> pd.DataFrame:
    """Return the nodes that tie videos of different splits, as rows of tables.LEAKS.

    `split` maps the video key to train, val or test; videos without a split do not count.
    """
    tied = links(videos).assign(split=lambda rows: rows.video.map(split)).dropna(subset="split")
    counts = tied.groupby(["kind", "node", "split"]).video.nunique().unstack("split", fill_value=0)
    counts = counts.reindex(columns=list(SPLITS), fill_value=0).astype("int32")
    return counts[(counts > 0).sum(axis=1) > 1].reset_index().rename_axis(columns=None)
