import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import provenance
from pipeline.splitting import assign, carving_kinds, tied_to_evaluation
from pipeline.tables import FAKE, REAL, SPLITS

COLUMNS = ["video", "method", "official_split"]


@st.composite
def pools(
    draw: st.DrawFn, official: tuple[str | None, ...] = ("train", "train", "test", None)
) -> tuple[pd.DataFrame, pd.Series]:
    """Videos with what the lists say of them, and their groups."""
    rows, groups = [], {}
    for number in range(draw(st.integers(1, 14))):
        video = f"v{number}"
        listed = draw(st.sampled_from(official if number else official[:1]))  # the first is listed, or none is
        rows.append((video, draw(st.sampled_from(["real", "swap", "mask"])), listed))
        groups[video] = f"g{draw(st.integers(0, 8))}"
    return pd.DataFrame(rows, columns=COLUMNS), pd.Series(groups)


shares = st.floats(0, 0.5)
seeds = st.integers(0, 5)


@given(pool=pools(), validation=shares, seed=seeds, order=st.randoms(use_true_random=False))
def test_validation_is_carved_in_whole_groups(
    pool: tuple[pd.DataFrame, pd.Series], validation: float, seed: int, order: random.Random
) -> None:
    videos, group = pool
    split = assign(videos, group, validation, 0.2, seed)
    official = videos.set_index("video").official_split

    assert split.index.tolist() == videos.video.tolist()
    assert (split[official == "test"] == "test").all()
    assert split[official.isna()].isna().all()
    assert split[official == "train"].isin(["train", "val"]).all()

    in_train, in_val, in_test = (set(group[split.index[split == name]]) for name in ("train", "val", "test"))
    assert not in_train & in_val
    assert not in_val & in_test

    rows = order.sample(range(len(videos)), len(videos))
    again = assign(videos.iloc[rows], group, validation, 0.2, seed)
    assert again[split.index].equals(split)


@given(pool=pools(), validation=shares, seed=seeds)
def test_the_share_holds_for_every_makeup(pool: tuple[pd.DataFrame, pd.Series], validation: float, seed: int) -> None:
    videos, group = pool
    split = assign(videos, group, validation, 0.2, seed)
    free = videos[
        (videos.official_split == "train") & ~videos.video.map(group).isin(group[split[split == "test"].index])
    ]
    if free.empty:
        assert "val" not in set(split)
        return
    makeup = free.groupby(free.video.map(group)).method.agg(lambda names: frozenset(names))
    for _, members in makeup.groupby(makeup.map(sorted).map("+".join)):
        chosen = sum(split[group.index[group == name]].eq("val").any() for name in members.index)
        assert abs(chosen - validation * len(members)) <= 1
        if len(members) == 1 or validation == 0:
            assert chosen == 0
        else:
            assert 1 <= chosen < len(members)  # both sides see every make-up


@given(pool=pools(("train", "val", "test", None)), validation=shares, seed=seeds)
def test_a_published_validation_list_is_obeyed(
    pool: tuple[pd.DataFrame, pd.Series], validation: float, seed: int
) -> None:
    videos, group = pool
    if "val" not in set(videos.official_split):
        videos.loc[len(videos)] = ["listed", "real", "val"]
        group = pd.concat([group, pd.Series({"listed": "own"})])
    split = assign(videos, group, validation, 0.2, seed)
    assert split.equals(videos.set_index("video").official_split)


@given(pool=pools((None,)), share=shares, seed=seeds, order=st.randoms(use_true_random=False))
def test_without_any_list_all_three_are_carved_in_whole_groups(
    pool: tuple[pd.DataFrame, pd.Series], share: float, seed: int, order: random.Random
) -> None:
    videos, group = pool
    split = assign(videos, group, 0.2, share, seed)
    assert split.isin(["train", "val", "test"]).all()
    assert (split.groupby(group).nunique() == 1).all()

    makeup = videos.groupby(videos.video.map(group)).method.agg(lambda names: "+".join(sorted(set(names))))
    split_of_group = split.groupby(group).first()
    for _, members in makeup.groupby(makeup):
        in_test = int((split_of_group[members.index] == "test").sum())
        assert abs(in_test - share * len(members)) <= 1
        assert in_test < len(members) and (in_test > 0) == (share > 0 and len(members) > 1)
        left = len(members) - in_test
        assert ((split_of_group[members.index] == "val").sum() > 0) == (left > 1)

    rows = order.sample(range(len(videos)), len(videos))
    assert assign(videos.iloc[rows], group, 0.2, share, seed)[split.index].equals(split)


@given(
    pool=pools(),
    most=st.none() | st.integers(1, 4),
    validation=shares,
    seed=seeds,
    order=st.randoms(use_true_random=False),
)
def test_train_videos_beyond_the_quota_of_their_class_get_no_split(
    pool: tuple[pd.DataFrame, pd.Series], most: int | None, validation: float, seed: int, order: random.Random
) -> None:
    videos, group = pool
    videos = videos.assign(label=(videos.method != "real").astype(int))
    quota = {REAL: None, FAKE: most}
    split = assign(videos, group, validation, 0.2, seed, quota)
    official = videos.set_index("video").official_split
    listed = videos[(official == "train").to_numpy()]
    kept = listed[split[listed.video].notna().to_numpy()]

    assert split[official == "test"].eq("test").all()
    assert (kept.label == REAL).sum() == (listed.label == REAL).sum()
    fakes, left = listed[listed.label == FAKE], kept[kept.label == FAKE]
    assert len(left) == (len(fakes) if most is None else min(most, len(fakes)))
    taken, there = (rows.method.value_counts().to_dict() for rows in (left, fakes))
    for one in there:  # no method gives two more than another that has some left
        for other in there:
            assert taken.get(one, 0) <= taken.get(other, 0) + 1 or taken.get(other, 0) == there[other]
    # Validation is carved as if the videos beyond the quota were not there.
    alone = videos[~videos.video.isin(set(listed.video) - set(kept.video))]
    assert assign(alone, group[alone.video], validation, 0.2, seed).equals(split[alone.video])

    rows = order.sample(range(len(videos)), len(videos))
    assert assign(videos.iloc[rows], group, validation, 0.2, seed, quota)[split.index].equals(split)


def people(*pairs: tuple[str, str | None]) -> pd.DataFrame:
    """Return videos, each of its own recording, from (person shown, person whose face was put in)."""
    videos = pd.DataFrame(pairs, columns=["person", "donor_person"], dtype=object).assign(
        **dict.fromkeys(["donor_recording", "source_video", "donor_source_video", "sha256"])
    )
    return videos.assign(video=[f"v{row}" for row in videos.index], recording=[f"c/{row}" for row in videos.index])


@pytest.mark.parametrize(
    ("videos", "kind"),
    [
        # Ten pairs of people who swap among themselves; then everybody with their neighbour; then only nine people.
        (people(*[(f"p{n}", f"q{n}") for n in range(10)], *[(f"q{n}", f"p{n}") for n in range(10)]), ["person"]),
        (people(*[(f"p{n % 10}", f"p{(n + 1) % 10}") for n in range(20)]), ["target_person"]),
        (people(*[(f"p{n % 9}", f"p{(n + 1) % 9}") for n in range(20)]), []),
    ],
)
def test_persons_are_kept_apart_as_far_as_ten_groups_remain(videos: pd.DataFrame, kind: list[str]) -> None:
    assert list(carving_kinds(videos)) == [*provenance.MATERIAL, *kind]


@st.composite
def linked_videos(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.Series]:
    """Videos with links of every kind, and a split for each."""
    nodes = st.none() | st.sampled_from("abcdef")
    size = draw(st.integers(1, 12))
    rows = [{column: draw(nodes) for column in provenance.COLUMNS} for _ in range(size)]
    videos = pd.DataFrame(rows, dtype=object).assign(video=[f"v{number}" for number in range(size)])
    split = pd.Series([draw(st.sampled_from([*SPLITS, None])) for _ in range(size)], index=videos.video, dtype=object)
    return videos, split


kinds_of_links = st.lists(st.sampled_from(list(provenance.LINKS)), min_size=1, unique=True)


@given(pool=linked_videos(), kinds=kinds_of_links, order=st.randoms(use_true_random=False))
def test_nothing_is_tied_after_dropping_and_nothing_is_dropped_in_vain(
    pool: tuple[pd.DataFrame, pd.Series], kinds: list[provenance.Kind], order: random.Random
) -> None:
    videos, split = pool
    dropped = tied_to_evaluation(videos, split, kinds)
    assert dropped.is_unique and "test" not in set(split[dropped]) and split[dropped].notna().all()
    left = split.drop(dropped)
    assert provenance.leaks(videos, left, kinds).empty
    for video in dropped:  # any of them, put back, would tie two splits again
        assert not provenance.leaks(videos, pd.concat([left, split[[video]]]), kinds).empty
    rows = order.sample(range(len(videos)), len(videos))
    assert set(tied_to_evaluation(videos.iloc[rows], split, kinds)) == set(dropped)


def test_groups_that_are_added_or_gone_move_no_other() -> None:
    """Each group's place in the order is its own hash: one more group changes at most one other's split."""
    videos = pd.DataFrame([(f"v{number}", "real", "train") for number in range(41)], columns=COLUMNS)
    group = pd.Series({video: f"group of {video}" for video in videos.video})
    all_of_them = assign(videos, group, 0.2, 0.2, 0)
    without_last = assign(videos.iloc[:-1], group, 0.2, 0.2, 0)
    assert (all_of_them[without_last.index] != without_last).sum() <= 1


def test_another_seed_carves_other_groups() -> None:
    videos = pd.DataFrame([(f"v{number}", "real", "train") for number in range(40)], columns=COLUMNS)
    group = pd.Series({video: video for video in videos.video})
    first, second = (assign(videos, group, 0.2, 0.2, seed) for seed in (0, 1))
    assert (first == "val").sum() == (second == "val").sum() == 8
    assert not first.equals(second)
