import itertools
import random

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pipeline import provenance

COLUMNS = ["video", "recording", "donor_recording", "person", "donor_person", "sha256"]


def table(*rows: tuple[str | None, ...]) -> pd.DataFrame:
    """Return videos from (video, recording, donor recording, person, donor person[, content]); content is its own."""
    full = [row if len(row) == 6 else (*row, f"content of {row[0]}") for row in rows]
    return pd.DataFrame(full, columns=COLUMNS)


CELEB_DF = table(
    ("id0_0000", "id0_0000", None, "id0", None),
    ("id0_0001", "id0_0001", None, "id0", None),
    ("id0_id1_0000", "id0_0000", None, "id0", "id1"),
    ("id0_id2_0000", "id0_0000", None, "id0", "id2"),
    ("id1_0000", "id1_0000", None, "id1", None),
    ("id2_id0_0009", "id2_0009", None, "id2", "id0"),  # its original is not there
    ("00000", "YouTube-real/00000", None, None, None),
)
FFPP = table(
    ("000", "000", None, None, None),
    ("003", "003", None, None, None),
    ("000_003", "000", "003", None, None),
    ("003_000", "003", "000", None, None),
    ("071", "071", None, None, None),
    ("071_054", "071", "054", None, None),
    ("102", "102", None, None, None),
)
DFDC = table(
    ("p0/real", "p0/real", None, None, None),
    ("p0/fake1", "p0/real", None, None, None),
    ("p0/fake2", "p0/gone", None, None, None),
    ("p0/fake3", "p0/gone", None, None, None),
    ("p1/real", "p1/real", None, None, None, "content of p0/real"),  # the same file in two parts
)


def partition(group: pd.Series) -> set[frozenset[str]]:
    return {frozenset(members.index) for _, members in group.groupby(group)}


def test_celeb_df_groups_are_recordings_with_their_fakes_not_persons() -> None:
    group = provenance.groups(CELEB_DF)
    assert partition(group) == {
        frozenset({"id0_0000", "id0_id1_0000", "id0_id2_0000"}),
        frozenset({"id0_0001"}),
        frozenset({"id1_0000"}),
        frozenset({"id2_id0_0009"}),
        frozenset({"00000"}),
    }
    assert group["id0_id2_0000"] == "id0_0000"


def test_ffpp_groups_are_pairs() -> None:
    assert partition(provenance.groups(FFPP)) == {
        frozenset({"000", "003", "000_003", "003_000"}),
        frozenset({"071", "071_054"}),
        frozenset({"102"}),
    }


def test_dfdc_groups_follow_originals_and_identical_content() -> None:
    assert partition(provenance.groups(DFDC)) == {
        frozenset({"p0/real", "p0/fake1", "p1/real"}),
        frozenset({"p0/fake2", "p0/fake3"}),
    }


def leaks_of(videos: pd.DataFrame, split: dict[str, str]) -> dict[tuple[str, str], list[int]]:
    rows = provenance.leaks(videos, pd.Series(split))
    assert rows.columns.tolist() == ["kind", "node", "train", "val", "test"]
    return {(row.kind, row.node): [row.train, row.val, row.test] for row in rows.itertuples()}


def test_celeb_df_leaks_recordings_and_persons() -> None:
    split = {"id0_0000": "train", "id0_0001": "test", "id0_id1_0000": "test", "id0_id2_0000": "test", "id1_0000": "val"}
    assert leaks_of(CELEB_DF, split) == {
        ("recording", "id0_0000"): [1, 0, 2],
        ("person", "id0"): [1, 0, 3],
        ("person", "id1"): [0, 1, 1],
    }


def test_ffpp_leaks_donors() -> None:
    split = {"000": "train", "003": "test", "000_003": "train", "071": "val", "071_054": "val", "102": "test"}
    assert leaks_of(FFPP, split) == {("recording", "003"): [1, 0, 1]}


def test_dfdc_leaks_content() -> None:
    assert leaks_of(DFDC, {"p0/real": "train", "p1/real": "test", "p0/fake2": "val", "p0/fake3": "val"}) == {
        ("content", "content of p0/real"): [1, 0, 1]
    }


def test_no_leak_within_one_split_or_without_any() -> None:
    assert leaks_of(FFPP, dict.fromkeys(FFPP.video, "train")) == {}
    assert leaks_of(FFPP, dict.fromkeys(FFPP.video)) == {}


def test_a_video_that_shows_one_recording_twice_counts_once() -> None:
    videos = table(("a", "r", "r", "p", "p"), ("b", "r", None, "p", None))
    assert leaks_of(videos, {"a": "train", "b": "test"}) == {("recording", "r"): [1, 0, 1], ("person", "p"): [1, 0, 1]}


# --- properties ------------------------------------------------------------------------------------------------------

nodes = st.sampled_from([f"r{number}" for number in range(6)])
contents = st.sampled_from([f"h{number}" for number in range(8)])


@st.composite
def any_videos(draw: st.DrawFn) -> pd.DataFrame:
    rows = [
        (f"v{number}", draw(st.none() | nodes), draw(st.none() | nodes), None, None, draw(contents))
        for number in range(draw(st.integers(1, 10)))
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype(object)


@given(videos=any_videos(), order=st.randoms(use_true_random=False))
def test_groups_are_the_connected_components(videos: pd.DataFrame, order: random.Random) -> None:
    group = provenance.groups(videos)
    assert group.index.tolist() == videos.video.tolist() and group.notna().all()
    component = {video: {video} for video in videos.video}
    nodes_of = {
        row.video: {node for node in (row.recording, row.donor_recording, row.sha256) if pd.notna(node)}
        for row in videos.itertuples()
    }
    for first, second in itertools.combinations(videos.video, 2):
        if nodes_of[first] & nodes_of[second]:
            joined = component[first] | component[second]
            component |= dict.fromkeys(joined, joined)
    assert partition(group) == {frozenset(members) for members in component.values()}

    shuffled = provenance.groups(videos.iloc[order.sample(range(len(videos)), len(videos))])
    assert shuffled[group.index].equals(group)


@given(videos=any_videos())
def test_a_dataset_beside_it_renames_no_group(videos: pd.DataFrame) -> None:
    other = videos.assign(
        video="other/" + videos.video, recording="a" + videos.recording, donor_recording="a" + videos.donor_recording
    ).assign(sha256="x" + videos.sha256)
    together = provenance.groups(pd.concat([videos, other], ignore_index=True))
    assert together[videos.video].equals(provenance.groups(videos))


@given(videos=any_videos(), data=st.data())
def test_leaks_are_counted_as_by_hand(videos: pd.DataFrame, data: st.DataObject) -> None:
    split = {video: data.draw(st.sampled_from(["train", "val", "test", None])) for video in videos.video}
    expected: dict[tuple[str, str], list[int]] = {}
    for kind, columns in provenance.LINK_COLUMNS.items():
        for node in {value for column in columns for value in videos[column] if value is not None}:
            here = videos.video[videos[list(columns)].eq(node).any(axis=1)].map(split)
            counts = [int((here == name).sum()) for name in ("train", "val", "test")]
            if sum(count > 0 for count in counts) > 1:
                expected[(kind, node)] = counts
    assert leaks_of(videos, split) == expected
