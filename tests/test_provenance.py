import itertools
import random
from typing import get_args

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pipeline import provenance, tables

COLUMNS = ["video", "recording", "donor_recording", "person", "donor_person", "sha256"]
SOURCES = ["source_video", "donor_source_video"]


def table(*rows: tuple[str | None, ...]) -> pd.DataFrame:
    """Return videos from (video, recording, donor recording, person, donor person[, content]); content is its own."""
    full = [row if len(row) == 6 else (*row, f"content of {row[0]}") for row in rows]
    return pd.DataFrame(full, columns=COLUMNS).assign(**dict.fromkeys(SOURCES))


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
        ("target_person", "id0"): [1, 0, 3],
        ("person", "id0"): [1, 0, 3],
        ("person", "id1"): [0, 1, 1],  # the donor in test is shown in val
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
    once = [1, 0, 1]
    assert leaks_of(videos, {"a": "train", "b": "test"}) == dict.fromkeys(
        [("recording", "r"), ("person", "p"), ("target_person", "p")], once
    )


# Sequences 0 and 1 are cuts of one published video, so pairs (0, 2) and (1, 3) hang together.
CUTS = pd.DataFrame(
    [
        ("0", "ffpp/0", None, "youtube/a", None),
        ("1", "ffpp/1", None, "youtube/a", None),
        ("0_2", "ffpp/0", "ffpp/2", "youtube/a", "youtube/b"),
        ("3_1", "ffpp/3", "ffpp/1", "youtube/c", "youtube/a"),
        ("4", "ffpp/4", None, "youtube/d", None),
    ],
    columns=["video", "recording", "donor_recording", *SOURCES],
).assign(person=None, donor_person=None, sha256=None)  # before any file is opened


def test_cuts_of_one_published_video_belong_together() -> None:
    assert partition(provenance.groups(CUTS)) == {frozenset({"0", "1", "0_2", "3_1"}), frozenset({"4"})}
    assert partition(provenance.groups(CUTS, ["recording"])) == {
        frozenset({"0", "0_2"}),
        frozenset({"1", "3_1"}),
        frozenset({"4"}),
    }
    split = {"0": "train", "0_2": "train", "1": "val", "3_1": "test", "4": "test"}
    assert leaks_of(CUTS, split) == {
        ("source_video", "youtube/a"): [2, 1, 1],
        ("recording", "ffpp/1"): [0, 1, 1],
    }


def ties_of(videos: pd.DataFrame, split: dict[str, str]) -> dict[tuple[str, str, str], int]:
    rows = provenance.ties(videos, pd.Series(split))
    assert len(rows) == 6 * len(provenance.LINKS)  # none is said as well
    return {(row["kind"], row["split"], row["tied_to"]): row["videos"] for row in rows if row["videos"]}


def test_ties_count_videos_both_ways() -> None:
    split = {
        "id0_0000": "train",
        "id0_0001": "train",
        "id0_id1_0000": "test",
        "id0_id2_0000": "test",
        "id1_0000": "val",
    }
    assert ties_of(CELEB_DF, split) == {
        ("recording", "train", "test"): 1,
        ("recording", "test", "train"): 2,
        ("target_person", "train", "test"): 2,
        ("target_person", "test", "train"): 2,
        ("person", "train", "test"): 2,
        ("person", "test", "train"): 2,
        ("person", "val", "test"): 1,
        ("person", "test", "val"): 1,
    }
    assert ties_of(CELEB_DF, dict.fromkeys(CELEB_DF.video, "train")) == {}


def test_across_ties_what_is_learned_to_what_others_test() -> None:
    ffpp = CUTS.assign(split=["train", "val", "train", "test", "test"])
    shifted = pd.DataFrame(  # another dataset with the reals of the first
        [("s/0_9", "ffpp/0", "deeperforensics/9", "test"), ("s/4_9", "ffpp/4", "deeperforensics/9", "train")],
        columns=["video", "recording", "donor_recording", "split"],
    ).assign(**dict.fromkeys([*SOURCES, "person", "donor_person", "sha256"]))
    rows = provenance.across({"ffpp": ffpp, "shifted": shifted}, learned=["ffpp", "shifted"])
    assert sorted(rows.to_dict("split")["data"]) == [
        ["recording", "ffpp/0", "ffpp", "shifted", 2, 1],
        ["recording", "ffpp/4", "shifted", "ffpp", 1, 1],
        ["source_video", "youtube/a", "ffpp", "shifted", 3, 1],  # which the second does not know by itself
        ["source_video", "youtube/d", "shifted", "ffpp", 1, 1],
    ]
    only = provenance.across({"ffpp": ffpp, "shifted": shifted}, learned=["shifted"])
    assert only.node.tolist() == ["ffpp/4", "youtube/d"]
    for none in ({"ffpp": ffpp}, {"ffpp": ffpp, "empty": shifted[:0]}):
        rows = provenance.across(none, learned=["ffpp"])
        assert rows.empty and set(rows.columns) == set(tables.ACROSS.names)


# --- properties ------------------------------------------------------------------------------------------------------

SOURCE_OF = {f"r{number}": f"y/{number % 4}" for number in range(6)}
nodes = st.sampled_from([f"r{number}" for number in range(6)])
contents = st.sampled_from([f"h{number}" for number in range(8)])


@st.composite
def any_videos(draw: st.DrawFn) -> pd.DataFrame:
    rows = [
        (f"v{number}", *[draw(st.none() | nodes) for _ in range(6)], draw(contents))
        for number in range(draw(st.integers(1, 10)))
    ]
    columns = ["video", "recording", "donor_recording", *SOURCES, "person", "donor_person", "sha256"]
    return pd.DataFrame(rows, columns=columns).astype(object)


@given(videos=any_videos(), order=st.randoms(use_true_random=False))
def test_groups_are_the_connected_components(videos: pd.DataFrame, order: random.Random) -> None:
    group = provenance.groups(videos)
    assert group.index.tolist() == videos.video.tolist() and group.notna().all()
    component = {video: {video} for video in videos.video}
    nodes_of = {
        row.video: {
            (kind, getattr(row, column))
            for kind in ("recording", "source_video", "content")
            for column in provenance.LINKS[kind].columns
            if pd.notna(getattr(row, column))
        }
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
    other = videos.assign(**{column: "a" + videos[column] for column in ["video", *provenance.COLUMNS]})
    together = provenance.groups(pd.concat([videos, other], ignore_index=True))
    assert together[videos.video].equals(provenance.groups(videos))


@given(videos=any_videos(), data=st.data())
def test_leaks_and_ties_are_counted_as_by_hand(videos: pd.DataFrame, data: st.DataObject) -> None:
    split = {video: data.draw(st.sampled_from(["train", "val", "test", None])) for video in videos.video}
    expected: dict[tuple[str, str], list[int]] = {}
    tied: dict[tuple[str, str, str], set[str]] = {}
    for kind, link in provenance.LINKS.items():
        for node in {value for column in link.columns for value in videos[column] if value is not None}:
            here = videos.video[videos[list(link.columns)].eq(node).any(axis=1)]
            members = {name: {video for video in here if split[video] == name} for name in tables.SPLITS}
            if sum(map(bool, members.values())) > 1:
                expected[(kind, node)] = [len(members[name]) for name in tables.SPLITS]
            for one, other in itertools.permutations(tables.SPLITS, 2):
                if members[one] and members[other]:
                    tied[(kind, one, other)] = tied.get((kind, one, other), set()) | members[one]
    assert leaks_of(videos, split) == expected
    assert ties_of(videos, split) == {pair: len(members) for pair, members in tied.items()}


@given(videos=any_videos(), data=st.data())
def test_across_counts_as_leaks_do(videos: pd.DataFrame, data: st.DataObject) -> None:
    """A dataset cut in two, one learned and one tested, has across it what one dataset has between train and test."""
    videos = videos.assign(
        split=[data.draw(st.sampled_from(["train", "test"])) for _ in videos.video],
        source_video=videos.recording.map(SOURCE_OF),  # a recording comes from one source, whoever knows it
        donor_source_video=videos.donor_recording.map(SOURCE_OF),
    )
    rows = provenance.across(
        {"a": videos[videos.split == "train"], "b": videos[videos.split == "test"]}, learned=["a", "b"]
    )
    within = leaks_of(videos, videos.set_index("video").split.to_dict())
    assert {(row.kind, row.node): [row.learned_videos, 0, row.tested_videos] for row in rows.itertuples()} == within
    assert set(rows.learned) <= {"a"} and set(rows.tested) <= {"b"}


def test_every_kind_says_what_is_shared() -> None:
    assert tuple(provenance.LINKS) == get_args(provenance.Kind)
    assert set(provenance.COLUMNS) <= set(tables.VIDEOS.names)
    assert all(link.meaning for link in provenance.LINKS.values())


def test_a_source_video_that_only_one_dataset_knows_ties_others() -> None:
    """FF++ 755 (test) and 756 (train) come from one YouTube video; DeeperForensics shows 756 and does not say so."""
    columns = ["video", "split", *provenance.COLUMNS]
    ffpp = pd.DataFrame(
        [
            {"video": "f/755", "split": "test", "recording": "ffpp/755", "source_video": "youtube/x"},
            {"video": "f/756", "split": "train", "recording": "ffpp/756", "source_video": "youtube/x"},
        ]
    )
    deeper = pd.DataFrame([{"video": "d/756", "split": "train", "recording": "ffpp/756"}])
    found = provenance.across({"f": ffpp.reindex(columns=columns), "d": deeper.reindex(columns=columns)}, ["f", "d"])
    tied = found[(found.learned == "d") & (found.tested == "f")]
    assert list(zip(tied.kind, tied.node, strict=True)) == [("source_video", "youtube/x")]
