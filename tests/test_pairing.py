"""Ranks in pairs, on made-up tables: fakes shorter or longer than their originals, of other splits, of none at all."""

import random
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import pairing, selection

Pair = tuple[str, int]


def table(rows: list[tuple[str, str, str, int, int, str | None]]) -> tuple[pd.DataFrame, pd.Series]:
    """Return frames, and originals by video, of (video, method, split, label, number of frames, original)."""
    frames = [
        (f"{video}__f{frame}", video, method, split, label, frame * 10)
        for video, method, split, label, count, _ in rows
        for frame in range(count)
    ]
    originals = pd.Series({video: original for video, *_, original in rows}, dtype="object")
    return pd.DataFrame(frames, columns=["key", "video", "method", "split", "label", "frame"]), originals


@st.composite
def datasets(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.Series]:
    rows: list[tuple[str, str, str, int, int, str | None]] = []
    splits = st.sampled_from(["train", "test"])
    for number in range(draw(st.integers(1, 7))):
        real, split, count = f"real/{number}", draw(splits), draw(st.integers(1, 5))
        rows.append((real, draw(st.sampled_from(["studio", "street"])), split, 0, count, None))
        for fake in range(draw(st.integers(0, 4))):
            method = draw(st.sampled_from(["swap", "mask", "lips"]))
            of = draw(st.sampled_from([real, real, real, None, f"?/{number}"]))
            where = draw(st.sampled_from([split, split, split, "test"]))
            frames = max(1, count + draw(st.integers(-1, 1)))
            rows.append((f"{method}/{number}_{fake}", method, where, 1, frames, of))
    return table(rows)


def pairs_of(frames: pd.DataFrame, originals: pd.Series) -> dict[str, Pair]:
    """Return key of a fake's frame -> (original, frame), where that is a real candidate of the same split."""
    reals = {(row.split, row.video, row.frame) for row in frames.itertuples() if row.label == 0}
    return {
        row.key: (originals[row.video], row.frame)
        for row in frames.itertuples()
        if row.label == 1 and (row.split, originals[row.video], row.frame) in reals
    }


@given(dataset=datasets(), seed=st.integers(0, 2))
def test_any_first_part_of_both_classes_is_pairs(dataset: tuple[pd.DataFrame, pd.Series], seed: int) -> None:
    frames, originals = dataset
    ranked = pairing.rank_pairs(frames, originals, seed)
    assert ranked[frames.columns].equals(frames) and ranked.index.equals(frames.index)
    assert ranked["rank"].dtype == "int32" and ranked.turn.dtype == "int32"
    pairs = pairs_of(frames, originals)
    for _, split in ranked.groupby("split"):
        reals, fakes = (split[split.label == label].sort_values("rank") for label in (0, 1))
        for part in (reals, fakes):
            assert part["rank"].tolist() == list(range(len(part)))
        moments = list(zip(reals.video, reals.frame, strict=True))
        shown = [pairs.get(key) for key in fakes.key]
        for first in range(len(reals) + 1):
            wanted = set(moments[:first]) & set(shown)
            assert wanted <= set(shown[:first])
        # Nobody is shown twice before everybody was shown once, nor a third time before a second.
        times = [shown[:place].count(moment) for place, moment in enumerate(shown) if moment]
        assert times == sorted(times)
    for _, video in ranked.groupby("video"):
        assert video.sort_values("rank").turn.tolist() == list(range(len(video)))


@given(dataset=datasets(), order=st.randoms(use_true_random=False), names=st.booleans())
def test_the_order_of_rows_decides_nothing(
    dataset: tuple[pd.DataFrame, pd.Series], order: random.Random, names: bool
) -> None:
    frames, originals = dataset
    kinds = dict.fromkeys(["video", "split", "method"], "category" if names else "str")
    shuffled = frames.iloc[order.sample(range(len(frames)), len(frames))].astype(kinds)
    ranked = pairing.rank_pairs(frames, originals, 0)
    again = pairing.rank_pairs(shuffled, originals.sample(frac=1, random_state=1), 0).loc[frames.index]
    assert ranked["rank"].equals(again["rank"]) and ranked.turn.equals(again.turn)


@given(dataset=datasets())
def test_reals_take_turns_as_ever(dataset: tuple[pd.DataFrame, pd.Series]) -> None:
    frames, originals = dataset
    ranked = pairing.rank_pairs(frames, originals, 0)
    for _, kind in ranked[ranked.label == 0].sort_values("rank").groupby(["split", "method"]):
        assert kind.turn.is_monotonic_increasing
    # Without a fake it is the order of selection.rank for frames that are named by video and frame.
    reals = frames[frames.label == 0]
    plain = selection.rank(reals.assign(key=reals.video + "\n" + reals.frame.astype(str)), 0)
    assert pairing.rank_pairs(reals, originals, 0)["rank"].equals(plain["rank"])
    assert ranked["rank"][reals.index].equals(plain["rank"])


@pytest.mark.parametrize("methods", [["swap"], ["swap", "mask"], ["swap", "mask", "lips", "face", "voice"]])
@pytest.mark.parametrize("fakes", [1, 3])
def test_methods_and_fakes_stay_even(methods: list[str], fakes: int) -> None:
    rows: list[tuple[str, str, str, int, int, str | None]] = []
    for number in range(12):
        real = f"real/{number:02d}"
        rows.append((real, "real", "train", 0, 6 + number % 5, None))
        for method in methods:
            rows += [(f"{method}/{number}_{fake}", method, "train", 1, 6 + number % 5, real) for fake in range(fakes)]
    frames, originals = table(rows)
    ranked = pairing.rank_pairs(frames, originals, 0).sort_values("rank")
    reals, forged = ranked[ranked.label == 0], ranked[ranked.label == 1]
    for first in range(1, len(reals) + 1):
        counts = Counter(forged.method[:first])
        assert max(counts.values()) - min(counts[method] for method in methods) <= 1
    layer = forged[: len(reals)]
    assert sorted(zip(layer.video.map(originals), layer.frame, strict=True)) == sorted(
        zip(reals.video, reals.frame, strict=True)
    )
    if len(methods) == 1:  # the fakes of an original share its frames
        shares = layer.groupby("video").size()
        assert len(shares) == 12 * fakes
        assert (shares.groupby(shares.index.map(originals)).agg(lambda part: part.max() - part.min()) <= 1).all()
    begins = layer[layer.frame == layer.frame.groupby(layer.video.map(originals)).transform("min")]
    assert begins.video.str[-1].nunique() == fakes  # not always the one whose name comes first


def test_fakes_without_an_original_are_ranked_as_without_pairs() -> None:
    rows = [(f"real/{n}", "real", "train", 0, 4, None) for n in range(3)]
    rows += [(f"{method}/{n}", method, "train", 1, 4, f"?/{n}") for method in ("swap", "mask") for n in range(5)]
    frames, originals = table(rows)
    ranked = pairing.rank_pairs(frames, originals, 0)
    plain = selection.rank(frames.assign(key=frames.video + "\n" + frames.frame.astype(str)), 0)
    pd.testing.assert_frame_equal(ranked[["rank", "turn"]], plain[["rank", "turn"]])


def test_fakes_without_an_original_fill_the_places_of_reals_without_fakes() -> None:
    rows = [(f"real/{n}", "real", "train", 0, 1, None) for n in range(40)]
    rows += [(f"swap/{n}", "swap", "train", 1, 1, f"real/{n}") for n in range(20)]
    rows += [(f"alone/{n}", "gan", "train", 1, 1, None) for n in range(30)]
    frames, originals = table(rows)
    ranked = pairing.rank_pairs(frames, originals, 0).sort_values("rank")
    reals, fakes = (ranked[ranked.label == label] for label in (0, 1))
    expected = ["swap" if int(video.removeprefix("real/")) < 20 else "gan" for video in reals.video]
    assert fakes.method[:40].tolist() == expected and set(fakes.method[40:]) == {"gan"}
