import random

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from pipeline.splitting import assign

COLUMNS = ["video", "method", "official_split"]


@st.composite
def pools(
    draw: st.DrawFn, official: tuple[str | None, ...] = ("train", "train", "test", None)
) -> tuple[pd.DataFrame, pd.Series]:
    """Videos with what the lists say of them, and their groups."""
    rows, groups = [], {}
    for number in range(draw(st.integers(1, 14))):
        video = f"v{number}"
        rows.append((video, draw(st.sampled_from(["real", "swap", "mask"])), draw(st.sampled_from(official))))
        groups[video] = f"g{draw(st.integers(0, 8))}"
    return pd.DataFrame(rows, columns=COLUMNS), pd.Series(groups)


shares = st.floats(0, 0.5)
seeds = st.integers(0, 5)


@given(pool=pools(), validation=shares, seed=seeds, order=st.randoms(use_true_random=False))
def test_validation_is_carved_in_whole_groups(
    pool: tuple[pd.DataFrame, pd.Series], validation: float, seed: int, order: random.Random
) -> None:
    videos, group = pool
    split = assign(videos, group, validation, seed)
    official = videos.set_index("video").official_split

    assert split.index.tolist() == videos.video.tolist()
    assert (split[official == "test"] == "test").all()
    assert split[official.isna()].isna().all()
    assert split[official == "train"].isin(["train", "val"]).all()

    in_train, in_val, in_test = (set(group[split.index[split == name]]) for name in ("train", "val", "test"))
    assert not in_train & in_val
    assert not in_val & in_test

    rows = order.sample(range(len(videos)), len(videos))
    again = assign(videos.iloc[rows], group, validation, seed)
    assert again[split.index].equals(split)


@given(pool=pools(), validation=shares, seed=seeds)
def test_the_share_holds_for_every_makeup(pool: tuple[pd.DataFrame, pd.Series], validation: float, seed: int) -> None:
    videos, group = pool
    split = assign(videos, group, validation, seed)
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
    split = assign(videos, group, validation, seed)
    assert split.equals(videos.set_index("video").official_split)


def test_groups_that_are_added_or_gone_move_no_other() -> None:
    """Each group's place in the order is its own hash: one more group changes at most one other's split."""
    videos = pd.DataFrame([(f"v{number}", "real", "train") for number in range(41)], columns=COLUMNS)
    group = pd.Series({video: f"group of {video}" for video in videos.video})
    all_of_them = assign(videos, group, 0.2, 0)
    without_last = assign(videos.iloc[:-1], group, 0.2, 0)
    assert (all_of_them[without_last.index] != without_last).sum() <= 1


def test_another_seed_carves_other_groups() -> None:
    videos = pd.DataFrame([(f"v{number}", "real", "train") for number in range(40)], columns=COLUMNS)
    group = pd.Series({video: video for video in videos.video})
    first, second = (assign(videos, group, 0.2, seed) for seed in (0, 1))
    assert (first == "val").sum() == (second == "val").sum() == 8
    assert not first.equals(second)
