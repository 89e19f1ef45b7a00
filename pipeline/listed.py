"""What published lists say before any media is there: the videos they imply, and what ties their splits."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import provenance
from pipeline.datasets import Layout, Lists, load_layout, read_lists
from pipeline.errors import UserError
from pipeline.files import list_files
from pipeline.tables import FAKE, REAL, SPLITS

SHOWN = 3  # examples of each kind of tie
Facts = dict[str, Any]


def audit(layout_name: str, folder: Path) -> Facts:
    """Return what ties the splits of the lists below `folder`, ready for JSON; `describe` says it in words.

    Lists lie at the root of `folder` or where the release has them. Raises UserError for an unknown layout, a folder
    that is not there, lists that are malformed or missing, and a layout whose lists give no split.
    """
    layout = load_layout(layout_name)
    lists = _read_lists(layout, layout_name, folder)
    videos = _listed_videos(layout, lists)
    split = videos.set_index("video").official_split
    if split.isna().all():
        raise UserError(f"the lists in {folder} put no video of the layout {layout_name} into a split")
    found = provenance.leaks(videos, split)
    return {
        "layout": layout_name,
        "title": layout.title,
        "lists": sorted(lists.files),
        "splits": {name: _contents(videos[videos.official_split == name]) for name in SPLITS},
        "all": _contents(videos),
        "unlisted_originals": int((~videos.path.isin(lists.named)).sum()),
        "shared_source_videos": _shared_source_videos(videos, found),
        "test_fakes": _originals_of_test_fakes(videos),
        "ties": [
            _tie(kind, provenance.shared(videos, split, [kind]), found[found.kind == kind])
            for kind in provenance.LINKS
            if (found.kind == kind).any()
        ],
    }


def _read_lists(layout: Layout, layout_name: str, folder: Path) -> Lists:
    """Read the lists below `folder`; UserError where there are none to audit."""
    if not folder.is_dir():
        raise UserError(f"--lists: there is no folder {folder}")
    lists = read_lists(layout, {layout.published(path): folder / path for path in list_files(folder)})
    if lists.missing:
        raise UserError(f"{folder} lacks {'; '.join(lists.missing)}")
    if not lists.named:
        raise UserError(f"{folder} holds no list that names videos of the layout {layout_name}")
    return lists


def _listed_videos(layout: Layout, lists: Lists) -> pd.DataFrame:
    """Return the videos the lists name and the originals of their fakes, one row each, as far as names tell.

    The columns are those of Record, `video` (method/compression/name), `path` (published) and an empty `sha256`. The
    originals belong to it: where a list names test videos only, whatever it leaves out is train.
    """
    named = {path: layout.recognise(path, lists) for path in sorted(lists.named)}
    originals = {record.original for record in named.values() if record and record.original}
    records = named | {path: layout.recognise(path, lists) for path in sorted(originals - set(named))}
    rows = [
        vars(record) | {"video": f"{record.method}/{record.compression}/{record.name}", "path": path, "sha256": None}
        for path, record in records.items()
        if record is not None
    ]
    if strangers := [path for path in named if named[path] is None]:
        what = f"{len(strangers):,} of {len(named):,} entries of the lists fit no video of {layout.title}"
        raise UserError(f"{what}, as {strangers[0]}; correct them, or nothing could be said of the whole")
    return pd.DataFrame(rows).drop_duplicates("video", ignore_index=True)


def _contents(videos: pd.DataFrame) -> dict[str, int]:
    """Count videos by label, and the recordings, source videos and persons among them in any role."""
    nodes = provenance.links(videos).groupby("kind").node.nunique()
    counted = {"recordings": "recording", "source_videos": "source_video", "persons": "person"}
    return {
        "real": int((videos.label == REAL).sum()),
        "fake": int((videos.label == FAKE).sum()),
        **{what: int(nodes.get(kind, 0)) for what, kind in counted.items()},
    }


def _shared_source_videos(videos: pd.DataFrame, leaks: pd.DataFrame) -> dict[str, int]:
    """Count source videos that several recordings were cut from, those recordings, and how many of them tie splits."""
    shown = videos[["recording", "source_video"]]
    donors = videos[["donor_recording", "donor_source_video"]].set_axis(shown.columns, axis=1)
    cuts = pd.concat([shown, donors]).dropna().drop_duplicates().source_video.value_counts()
    shared = cuts[cuts > 1]
    across = shared.index.isin(leaks.node[leaks.kind == "source_video"])
    return {"source_videos": len(shared), "recordings": int(shared.sum()), "across_splits": int(across.sum())}


def _originals_of_test_fakes(videos: pd.DataFrame) -> Facts:
    """Count the test fakes, the recordings they show, and the originals of those that are not in test themselves."""
    fakes = videos[(videos.official_split == "test") & (videos.label == FAKE)]
    in_test = videos.path[videos.official_split == "test"]
    outside = sorted(set(fakes.original.dropna()) - set(in_test))
    recordings = int(fakes.recording.nunique())
    return {
        "videos": len(fakes),
        "recordings": recordings,
        "originals_outside_test": len(outside),
        "examples": outside[:SHOWN],
    }


def _tie(kind: provenance.Kind, shared: pd.DataFrame, leaks: pd.DataFrame) -> Facts:
    """Say which splits the nodes of one kind tie: nodes and videos of each pair of splits, and examples."""
    between = [
        {
            "splits": [one, other],
            "nodes": int(((leaks[one] > 0) & (leaks[other] > 0)).sum()),
            "videos": [len(provenance.tied_videos(shared, *ends)) for ends in ((one, [other]), (other, [one]))],
        }
        for one, other in combinations(SPLITS, 2)
    ]
    return {
        "kind": kind,
        "meaning": provenance.LINKS[kind].meaning,
        "nodes": len(leaks),
        "between": [pair for pair in between if pair["nodes"]],
        "examples": leaks.sort_values("node").head(SHOWN)[["node", *SPLITS]].to_dict("records"),
    }


def describe(facts: Facts) -> str:
    """Return the facts of `audit` as text for people."""
    columns = ["real", "fake", "recordings", "source_videos", "persons"]
    lines = [f"{facts['title']} ({facts['layout']}), by {', '.join(facts['lists'])}", ""]
    lines.append("split" + "".join(f"{column.replace('_', ' '):>15}" for column in columns))
    for name, counts in [*facts["splits"].items(), ("all", facts["all"])]:
        lines.append(f"{name:5}" + "".join(f"{counts[column]:>15}" for column in columns))
    if facts["unlisted_originals"]:
        lines.append(f"of these, {facts['unlisted_originals']} stand in no list: originals of listed fakes")
    source, fakes = facts["shared_source_videos"], facts["test_fakes"]
    lines += [
        "",
        f"source videos that several recordings were cut from: {source['source_videos']}, by recordings: "
        f"{source['recordings']}, across splits: {source['across_splits']}"
        if facts["all"]["source_videos"]
        else "source videos: these lists do not name them",
        f"test fakes: {fakes['videos']}, recordings they show: {fakes['recordings']}, "
        f"their originals outside test: {fakes['originals_outside_test']}{_examples(fakes['examples'])}",
    ]
    for tie in facts["ties"]:
        lines += ["", f"{tie['kind']}: {tie['meaning']}"]
        for pair in tie["between"]:
            (one, other), (ours, theirs) = pair["splits"], pair["videos"]
            lines.append(f"  {one} and {other} share {pair['nodes']}: videos of {one} {ours}, of {other} {theirs}")
        for example in tie["examples"]:
            counts = ", ".join(f"{example[name]} of {name}" for name in SPLITS if example[name])
            lines.append(f"  e.g. {example['node']}: {counts}")
    if not facts["ties"]:
        lines += ["", "nothing ties the splits, as far as names tell"]
    return "\n".join(lines)


def _examples(names: list[str]) -> str:
    return f", e.g. {', '.join(names)}" if names else ""
