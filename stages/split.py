"""split: train, val or test for every video; ties between splits counted. `python -m stages.split KEY`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from pipeline import params, provenance, splitting, tables
from pipeline.errors import UserError, exit_on_user_error

COLUMNS = ["video", "label", "method", "official_split", "status", "reason", *provenance.COLUMNS]
SHOWN = 3  # nodes named in a message


Most = Annotated[int, Field(ge=1)] | None


class MaxVideos(params.Section):
    """Train videos per class; None takes all."""

    real: Most
    fake: Most


class Params(params.Section):
    """The section `split` of params.yaml."""

    validation: float = Field(ge=0, le=0.5)
    test: float = Field(ge=0, le=0.5)
    on_leak: Literal["report", "drop", "fail"]
    leak_links: list[provenance.Kind] = Field(min_length=1)
    max_videos: MaxVideos
    seed: int


def main() -> None:
    """Write data/split/KEY: videos.parquet, ties.parquet and leaks.parquet."""
    key = params.dataset_key(sys.argv)
    out = Path("data/split") / key
    knobs = params.load_section(Params, "split", key)
    videos = tables.read(Path("data/index") / key / "videos.parquet", tables.VIDEOS, COLUMNS)
    usable = videos[videos.status == "ok"]
    if usable.empty:
        raise UserError(f"{key}: no usable video; data/index/{key}/findings.parquet says why")
    listed = videos.official_split.notna().any()
    if listed and usable.official_split.isna().all():
        raise UserError(f"{key}: the published split lists name none of its {len(usable)} usable videos")
    kinds = provenance.MATERIAL if listed else splitting.carving_kinds(usable)
    group = provenance.groups(usable, kinds)
    most = {tables.REAL: knobs.max_videos.real, tables.FAKE: knobs.max_videos.fake}
    split = splitting.assign(usable, group, knobs.validation, knobs.test, knobs.seed, most)
    if not listed:
        _tell_carved(key, group, kinds)
    if knobs.on_leak == "fail":
        _refuse_leaks(key, provenance.leaks(usable, split, knobs.leak_links))
    dropped = _tied(key, usable, split, knobs.leak_links) if knobs.on_leak == "drop" else pd.Index([])
    left = split.dropna().drop(dropped)

    assignments = _assignments(videos, split, dropped)
    assignments["group"] = assignments.video.map(group.loc[left.index])
    if len(assignments) != len(videos):
        raise AssertionError(f"split: {len(videos)} videos in, {len(assignments)} out")
    tables.write(out / "videos.parquet", assignments, tables.ASSIGNMENTS, order=["video"])
    tables.write(out / "ties.parquet", provenance.ties(usable, left), tables.TIES, order=["kind", "split", "tied_to"])
    tables.write(out / "leaks.parquet", provenance.leaks(usable, left), tables.LEAKS, order=["kind", "node"])


def _assignments(videos: pd.DataFrame, split: pd.Series, dropped: pd.Index) -> pd.DataFrame:
    """Return the rows of tables.ASSIGNMENTS without `group`: one for each video of the index, rejected or not."""
    rows = videos[["video", "label", "method", "status", "reason"]].copy()
    # A damaged video keeps the split its list gives it, so that evaluation can say what could not be scored.
    lost = videos.official_split.where(~videos.reason.isin(tables.NOT_ASKED_FOR))
    rows["split"] = rows.video.map(split).fillna(lost)
    by_list = rows.split == videos.official_split
    rows["split_by"] = by_list.map({True: "official", False: "carved"}).where(rows.split.notna())
    unsplit = (rows.status == "ok") & rows.video.map(split).isna()
    listed = videos.official_split.notna()
    beyond = unsplit & (listed | (not listed.any()))
    rows.loc[unsplit, ["status", "reason"]] = "rejected", "in_no_list"
    rows.loc[beyond, "reason"] = "video_quota"
    rows.loc[rows.video.isin(dropped), ["status", "reason"]] = "rejected", "leak"
    return rows


def _tied(key: str, usable: pd.DataFrame, split: pd.Series, kinds: list[provenance.Kind]) -> pd.Index:
    """Return the videos to drop so that no link of `kinds` ties the splits; UserError where nothing of one is left."""
    tied = splitting.tied_to_evaluation(usable, split, kinds)
    if emptied := sorted(set(split.dropna()) - set(split.drop(tied).dropna())):
        raise UserError(
            f"{key}: split.on_leak: drop leaves nothing of {', '.join(emptied)}; all its videos are tied to another "
            f"split by {', '.join(kinds)}; name fewer kinds in split.leak_links"
        )
    return tied


def _tell_carved(key: str, group: pd.Series, kinds: tuple[provenance.Kind, ...]) -> None:
    """Say on which ground a dataset without published splits was divided."""
    text = f"split {key}: no published split; {group.nunique()} groups tied by {', '.join(kinds)} are divided"
    if "person" not in kinds:
        text += f"; persons in any role tie them into fewer than {splitting.FEWEST_GROUPS}: ties.parquet counts those"
    print(text, file=sys.stderr)


def _refuse_leaks(key: str, leaks: pd.DataFrame) -> None:
    """Raise UserError where nodes tie splits, with the number of each kind and the first ones."""
    found = [
        f"{kind} {len(nodes)} ({', '.join(nodes.sort_values().head(SHOWN))}{', ...' if len(nodes) > SHOWN else ''})"
        for kind, nodes in leaks.groupby("kind").node
    ]
    if found:
        raise UserError(
            f"{key}: its splits are tied by {'; '.join(found)}; with split.on_leak: drop the tied videos of train and "
            "val are left out, with report they are only counted"
        )


if __name__ == "__main__":
    exit_on_user_error(main)
