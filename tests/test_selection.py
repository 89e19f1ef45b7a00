import random
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import selection
from pipeline.errors import UserError
from pipeline.files import sha256_of_text

# What a raw tree may hold: spaces, quotes, newlines, other scripts, dashes and dots in front, two cases.
odd_names = st.text(st.sampled_from("abAB019-_.~%'\"\\ \n\t/éßЖ漢\U0001f600\0"), min_size=1, max_size=70)


# --- candidates ------------------------------------------------------------------------------------------------------


@given(frames=st.integers(1, 3000), every=st.integers(1, 400))
def test_every_nth_frame_from_the_first(frames: int, every: int) -> None:
    chosen = selection.frame_indices(frames, every, None)
    assert chosen.tolist() == [index for index in range(frames) if index % every == 0]
    assert chosen.dtype == np.int32


@given(frames=st.integers(1, 3000), count=st.integers(1, 400))
def test_count_is_spread_evenly(frames: int, count: int) -> None:
    chosen = selection.frame_indices(frames, None, count).tolist()
    assert len(chosen) == min(frames, count)
    assert chosen == sorted(set(chosen))
    assert chosen[0] >= 0 and chosen[-1] < frames
    if len(chosen) > 1:
        assert (chosen[0], chosen[-1]) == (0, frames - 1)
        gaps = np.diff(chosen)
        assert gaps.max() - gaps.min() <= 1


def test_candidates_carry_the_stamps_of_their_frames() -> None:
    videos = pd.DataFrame(
        {
            "video": ["a", "b"],
            "split": "train",
            "label": [0, 1],
            "method": ["m", "n"],
            "frames": [4, 3],
            "pts": [np.array([100, 110, 125, 130]), np.array([0, 7, 8])],
            "time_base": [0.01, 0.5],
        },
        index=[7, 3],
    )
    table = selection.candidates(videos, 2, None)
    assert table.video.tolist() == ["a", "a", "b", "b"]
    assert table.frame.tolist() == [0, 2, 0, 2]
    assert table.pts.tolist() == [100, 125, 0, 8]
    assert table.time_s.tolist() == [0, 0.25, 0, 4]
    assert table.label.tolist() == [0, 0, 1, 1]


@st.composite
def indexed_videos(draw: st.DrawFn) -> pd.DataFrame:
    """Up to 6 usable videos and images in index order, with irregular stamps; an image has no time base."""
    rows = []
    for number in range(draw(st.integers(1, 6))):
        steps = draw(st.lists(st.integers(1, 5000), max_size=40))
        pts = np.cumsum([draw(st.integers(-9, 9)), *steps])
        time_base = draw(st.sampled_from([None, 1 / 30000, 0.04]))
        rows.append((f"d/m/native/{number}", "train", number % 2, "m", len(pts), pts, time_base))
    videos = pd.DataFrame(rows, columns=["video", "split", "label", "method", "frames", "pts", "time_base"])
    return videos.astype({"frames": "Int32", "time_base": "float64"})


@given(videos=indexed_videos(), rule=st.sampled_from([(1, None), (7, None), (None, 1), (None, 8)]))
def test_candidates_are_what_a_plain_loop_gives(videos: pd.DataFrame, rule: tuple[int | None, int | None]) -> None:
    expected = [
        (row.video, row.split, row.label, row.method, frame, row.pts[frame], round(seconds, 6))
        for row in videos.itertuples()
        for frame in selection.frame_indices(row.frames, *rule).tolist()
        for seconds in [(row.pts[frame] - row.pts[0]) * row.time_base]
    ]
    table = selection.candidates(videos.astype({"video": "category"}), *rule)
    assert table.time_s.dtype == "float64" and table.pts.dtype == "int64" and table.frame.dtype == "int32"
    plain = pd.DataFrame(expected, columns=table.columns).astype(table.dtypes.to_dict())
    pd.testing.assert_frame_equal(table, plain, check_exact=True)
    images = videos.video[videos.time_base.isna()]
    assert (table.time_s.isna() == table.video.isin(images)).all()


# --- keys ------------------------------------------------------------------------------------------------------------


@given(name=odd_names, method=st.sampled_from(["Celeb-real", "Deepfakes"]), frame=st.integers(0, 999_999))
def test_a_key_is_safe_in_a_webdataset(name: str, method: str, frame: int) -> None:
    frames = pd.DataFrame({"video": [f"data_1/{method}/c23/{name}"], "frame": [frame]})
    (key,) = selection.flat_keys(frames)
    assert re.fullmatch(r"[A-Za-z0-9_%~-]{1,95}", key)
    assert key.startswith(f"data_1__{method}__c23__") and key.endswith(f"__f{frame:06d}")


@given(names=st.sets(odd_names, min_size=2, max_size=6))
def test_keys_are_unique_without_regard_to_case_or_refused(names: set[str]) -> None:
    frames = pd.DataFrame(
        [(f"d/m/native/{name}", frame) for name in names for frame in (0, 10)], columns=["video", "frame"]
    )
    try:
        keys = selection.flat_keys(frames)
    except UserError as error:
        assert "rename one" in str(error)
        assert len({name.replace("/", "-").lower() for name in names}) < len(names)
    else:
        assert keys.str.lower().is_unique


def test_a_key_reads_as_documented() -> None:
    frames = pd.DataFrame(
        {"video": ["ffpp/Deepfakes/c23/071_054", "dfdc/unknown/native/part_0/a.b"], "frame": [120, 3]}
    )
    assert selection.flat_keys(frames).tolist() == [
        "ffpp__Deepfakes__c23__071_054__f000120",
        "dfdc__unknown__native__part_0-a%2Eb__f000003",
    ]


@pytest.mark.parametrize(("first", "second"), [("a/b", "a-b"), ("Take", "take")])
def test_names_that_fall_together_are_refused(first: str, second: str) -> None:
    frames = pd.DataFrame({"video": [f"d/m/native/{first}", f"d/m/native/{second}"], "frame": [0, 0]})
    with pytest.raises(UserError, match=re.escape(repr(f"d/m/native/{first}"))):
        selection.flat_keys(frames)


@given(numbers=st.lists(st.tuples(odd_names, st.integers(0, 2_000_000)), min_size=1, max_size=12), names=st.booleans())
def test_keys_are_what_a_plain_loop_gives(numbers: list[tuple[str, int]], names: bool) -> None:
    frames = pd.DataFrame(
        [(f"d/m/c23/{len(name)} {name}", frame) for name, frame in numbers], columns=["video", "frame"]
    )
    frames.index = pd.RangeIndex(5, 5 + len(frames))
    rows = zip(frames.video, frames.frame, strict=True)
    expected = [f"{selection.flat_name(video)}__f{frame:06d}" for video, frame in rows]
    if len({selection.flat_name(video).lower() for video in frames.video}) < frames.video.nunique():
        return  # refused, see above
    keys = selection.flat_keys(frames.astype({"video": "category"}) if names else frames)
    assert keys.tolist() == expected and keys.index.equals(frames.index)


def test_long_names_stay_apart() -> None:
    stem = "d/m/native/" + "long " * 40
    assert selection.flat_name(stem + "1") != selection.flat_name(stem + "2")


# --- ranks -----------------------------------------------------------------------------------------------------------


@st.composite
def flat_frames(draw: st.DrawFn) -> pd.DataFrame:
    """Rows like tables.FLAT: up to 8 videos of up to 6 frames in two splits, two classes, three methods."""
    rows = []
    for number in range(draw(st.integers(1, 8))):
        split = draw(st.sampled_from(["train", "test"]))
        label, method = draw(st.sampled_from([(0, "real"), (1, "swap"), (1, "mask")]))
        for frame in range(draw(st.integers(1, 6))):
            video = f"d/{method}/native/{number}"
            rows.append((f"{number}__f{frame}", video, split, label, method, frame))
    return pd.DataFrame(rows, columns=["key", "video", "split", "label", "method", "frame"])


@given(frames=flat_frames(), seed=st.integers(0, 3), order=st.randoms(use_true_random=False))
def test_rank_is_a_fair_order_of_each_cell(frames: pd.DataFrame, seed: int, order: random.Random) -> None:
    ranked = selection.rank(frames, seed)
    assert sorted(ranked.key) == sorted(frames.key)
    for _, cell in ranked.groupby(["split", "label"]):
        assert sorted(cell["rank"]) == list(range(len(cell)))
    for _, video in ranked.groupby("video"):
        assert sorted(video.turn) == list(range(len(video)))
        assert video.sort_values("rank").turn.is_monotonic_increasing
    for _, method in ranked.sort_values("rank").groupby(["split", "label", "method"]):
        assert method.turn.is_monotonic_increasing  # all first turns before all second ones
    for _, cell in ranked.sort_values("rank").groupby(["split", "label"]):
        counts = pd.get_dummies(cell.method).cumsum()
        totals = counts.iloc[-1]
        for method in counts:  # methods alternate: nobody is two ahead of a method that still has frames
            others = counts.loc[:, totals > counts[method].max()] if len(counts.columns) > 1 else counts[[]]
            assert (counts[[method]].to_numpy() - others.to_numpy() <= 1).all()

    shuffled = order.sample(range(len(frames)), len(frames))
    again = selection.rank(frames.iloc[shuffled].reset_index(drop=True), seed)
    columns = ["key", "turn", "rank"]
    pd.testing.assert_frame_equal(
        ranked[columns].sort_values("key", ignore_index=True), again[columns].sort_values("key", ignore_index=True)
    )


def plain_rank(frames: pd.DataFrame, seed: int) -> dict[str, tuple[int, int]]:
    """Return key -> (turn, rank), said in the plainest way: sort, then count, three times."""
    rows = sorted(frames.to_dict("records"), key=lambda row: sha256_of_text(seed, row["key"]))

    def count(*names: str) -> list[int]:
        seen: Counter[tuple[object, ...]] = Counter()
        places = []
        for row in rows:
            group = tuple(row[name] for name in names)
            places.append(seen[group])
            seen[group] += 1
        return places

    rows = [row | {"turn": turn} for row, turn in zip(rows, count("video"), strict=True)]
    rows.sort(key=lambda row: row["turn"])  # stable: in hash order where equal
    rows = [row | {"place": place} for row, place in zip(rows, count("split", "label", "method"), strict=True)]
    rows.sort(key=lambda row: (row["place"], sha256_of_text(seed, row["key"])))
    return {row["key"]: (row["turn"], rank) for row, rank in zip(rows, count("split", "label"), strict=True)}


@given(frames=flat_frames(), seed=st.integers(0, 3), names=st.booleans())
def test_rank_is_what_plain_sorting_gives(frames: pd.DataFrame, seed: int, names: bool) -> None:
    kinds = dict.fromkeys(["video", "split", "method"], "category" if names else "str")
    ranked = selection.rank(frames.astype(kinds), seed)
    assert ranked.key.tolist() == frames.key.tolist()
    assert ranked.turn.dtype == "int32" and ranked["rank"].dtype == "int32"
    expected = plain_rank(frames, seed)
    assert [expected[key] for key in ranked.key] == list(zip(ranked.turn, ranked["rank"], strict=True))


def test_another_seed_gives_another_order() -> None:
    frames = pd.DataFrame(
        {"key": [f"k{n}" for n in range(20)], "video": "v", "split": "train", "label": 0, "method": "m"}
    )
    first, second = (selection.rank(frames, seed).sort_values("key")["rank"].tolist() for seed in (0, 1))
    assert first != second


# --- filling quotas --------------------------------------------------------------------------------------------------

rules = st.one_of(st.integers(1, 12), st.sampled_from(["smallest_class", "none"]))


def fill(frames: pd.DataFrame, cells: pd.DataFrame, bad: set[str], order: random.Random | None = None) -> pd.DataFrame:
    """Try frames until next_round asks for none; with `order`, only a random half or more of each round is answered."""
    frames = frames.assign(state="untried")
    rounds = 0
    while len(wanted := selection.next_round(frames, cells)):
        assert wanted.is_unique and (frames.state[wanted] == "untried").all()
        if order is not None:
            wanted = pd.Index(order.sample(list(wanted), order.randint(-(-len(wanted) // 2), len(wanted))))
        frames.loc[wanted, "state"] = np.where(frames.key[wanted].isin(bad), "failed", "good")
        rounds += 1
        assert rounds <= len(frames)
    return frames


@st.composite
def trials(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame, set[str]]:
    """Ranked frames, their quotas, and the keys of the frames that will turn out bad."""
    ranked = selection.rank(draw(flat_frames()), 0).reset_index(drop=True)
    guarantee = {"train": draw(st.integers(0, 3)), "test": draw(st.integers(0, 3))}
    cells = selection.quotas(ranked, {"train": draw(rules), "test": draw(rules)}, guarantee)
    bad = draw(st.sets(st.sampled_from(sorted(ranked.key))))
    return ranked, cells, bad


def ideal(frames: pd.DataFrame, cell: pd.Series, quota: int) -> set[str]:
    """Return the keys to keep in one cell, said in the plainest way: the guaranteed ones, then by rank."""
    good = frames[(frames.split == cell.split) & (frames.label == cell.label) & frames.good].sort_values("rank")
    guaranteed = set(good.groupby("video").head(cell.min_per_video).key)
    rest = [key for key in good.key if key not in guaranteed]
    return guaranteed | set(rest[: max(quota - len(guaranteed), 0)])


@given(trial=trials())
def test_quotas_are_filled_with_the_first_good_frames(trial: tuple[pd.DataFrame, pd.DataFrame, set[str]]) -> None:
    ranked, cells, bad = trial
    frames = fill(ranked, cells, bad)
    status, filled = selection.settle(frames, cells)

    assert status.index.equals(frames.index) and set(status) <= {"kept", "surplus", "failed", "unused"}
    assert (status == "failed").equals(frames.state == "failed")
    assert (status == "unused").equals(frames.state == "untried")
    assert len(filled) == len(cells) and filled[["split", "label"]].equals(cells[["split", "label"]])
    assert (filled[["quota", "tried", "failed", "surplus", "kept"]] >= 0).all(axis=None)
    assert filled.kept.sum() == (status == "kept").sum() and filled.failed.sum() == (status == "failed").sum()
    assert (filled.tried == filled.kept + filled.surplus + filled.failed).all()

    judged = ranked.assign(good=~ranked.key.isin(bad))
    good = judged[judged.good].groupby(["split", "label"]).size()
    for _, cell in filled.iterrows():
        available = good.get((cell.split, cell.label), 0)
        in_split = [good.get((cell.split, label), 0) for label in cells[cells.split == cell.split].label]
        quota = {"smallest_class": min(in_split), "none": available}.get(cell.rule)
        quota = int(cell.rule) if quota is None else quota
        assert cell.quota == quota
        here = (frames.split == cell.split) & (frames.label == cell.label)
        kept = set(frames.key[here & (status == "kept")])
        assert kept == ideal(judged, cell, quota)
        if cell.min_per_video == 0:
            assert len(kept) == min(quota, available)


@given(trial=trials(), order=st.randoms(use_true_random=False))
def test_the_order_of_answers_decides_nothing(
    trial: tuple[pd.DataFrame, pd.DataFrame, set[str]], order: random.Random
) -> None:
    """Answers that come in any order and any portions keep the same frames (smallest_class asks for whole rounds)."""
    ranked, cells, bad = trial
    cells = cells[cells.rule != "smallest_class"].reset_index(drop=True)
    ranked = ranked[ranked.split.isin(cells.split)].reset_index(drop=True)
    if ranked.empty:
        return
    together, filled = selection.settle(fill(ranked, cells, bad), cells)
    bit_by_bit, filled_again = selection.settle(fill(ranked, cells, bad, order), cells)
    assert (together == "kept").equals(bit_by_bit == "kept")
    pd.testing.assert_frame_equal(filled[["quota", "kept"]], filled_again[["quota", "kept"]])

    # The order of the rows decides nothing either.
    rows = order.sample(range(len(ranked)), len(ranked))
    other, _ = selection.settle(fill(ranked.iloc[rows].reset_index(drop=True), cells, bad), cells)
    assert set(ranked.key[together == "kept"]) == set(ranked.key.iloc[rows].reset_index(drop=True)[other == "kept"])


@given(trial=trials())
def test_smallest_class_ends_balanced(trial: tuple[pd.DataFrame, pd.DataFrame, set[str]]) -> None:
    ranked, cells, bad = trial
    cells = cells.assign(rule="smallest_class", min_per_video=0)
    _, filled = selection.settle(fill(ranked, cells, bad), cells)
    assert (filled.groupby("split").kept.nunique() == 1).all()


def test_nothing_is_tried_that_no_quota_wants() -> None:
    frames = pd.DataFrame({"key": [f"k{n:02d}" for n in range(40)], "split": "train", "label": 0, "method": "m"})
    frames["video"] = [f"v{n % 4}" for n in range(40)]
    ranked = selection.rank(frames, 0).reset_index(drop=True)
    cells = selection.quotas(ranked, {"train": 5}, {"train": 0})
    bad = set(ranked.key[ranked["rank"].isin([0, 3])])
    tried = fill(ranked, cells, bad)
    assert set(ranked["rank"][tried.state != "untried"]) == set(range(7))


@given(trial=trials(), names=st.booleans())
def test_a_round_does_not_depend_on_how_names_are_held(
    trial: tuple[pd.DataFrame, pd.DataFrame, set[str]], names: bool
) -> None:
    ranked, cells, bad = trial
    tried = fill(ranked, cells, bad)
    half = tried.assign(state=tried.state.where(tried["rank"] % 2 == 0, "untried"))
    kinds = dict.fromkeys(["video", "split", "method"], "category" if names else "str")
    assert selection.next_round(half.astype(kinds), cells).tolist() == selection.next_round(half, cells).tolist()
    status, filled = selection.settle(half.astype(kinds), cells)
    expected, expected_filled = selection.settle(half, cells)
    assert status.equals(expected) and filled.equals(expected_filled) and status.dtype == "str"


# --- shortfalls ------------------------------------------------------------------------------------------------------


@given(trial=trials())
def test_a_shortfall_is_a_number_that_cannot_be_reached(trial: tuple[pd.DataFrame, pd.DataFrame, set[str]]) -> None:
    ranked, cells, bad = trial
    before = selection.shortfall(ranked.assign(state="untried", reason=""), cells).query("method != 'any method'")
    frames = fill(ranked, cells, bad)
    frames["reason"] = np.where(frames.state == "failed", "no_face", "")
    after = selection.shortfall(frames, cells).query("method != 'any method'")
    status, filled = selection.settle(frames, cells)

    assert after.columns.tolist() == before.columns.tolist() == selection.SHORTFALL
    missed = {
        (cell.split, cell.label): int(cell.rule) - cell.kept
        for cell in filled.itertuples()
        if cell.rule.isdigit() and cell.kept < int(cell.rule)
    }
    assert {(row.split, row.label): row.missing for row in after.itertuples()} == missed
    for row in after.itertuples():
        here = (frames.split == row.split) & (frames.label == row.label)
        of_method = here & (frames.method == row.method)
        assert row.possible == (here & (status == "kept")).sum() == row.quota - row.missing
        assert row.candidates == of_method.sum() == row.tried
        assert (row.failed, row.good) == tuple(
            (of_method & (frames.state == state)).sum() for state in ("failed", "good")
        )
        assert row.reasons == (f"no_face {row.failed}" if row.failed else "")
    # What is told before the first frame is decoded is certain: it is still missing in the end.
    assert {(row.split, row.label) for row in before.itertuples()} <= set(missed)
    assert (before[["tried", "failed", "good"]] == 0).all(axis=None) and (before.reasons == "").all()
    methods = frames[["split", "label", "method"]].drop_duplicates().itertuples(index=False)
    assert set(after[["split", "label", "method"]].itertuples(index=False, name=None)) == {
        (split, label, method) for split, label, method in methods if (split, label) in missed
    }


def test_reasons_are_told_the_most_frequent_first() -> None:
    frames = pd.DataFrame({"key": [f"k{n}" for n in range(7)], "split": "val", "label": 1, "method": "swap"})
    frames["video"] = "v"
    cells = selection.quotas(frames, {"val": 9}, {"val": 0})
    assert (cells.quota.item(), cells.candidates.item()) == (9, 7)  # what was asked for, not what there is
    frames["rank"] = range(7)
    frames["state"] = ["failed"] * 5 + ["good", "untried"]
    frames["reason"] = ["small_face", "no_face", "corrupt_frame", "small_face", "no_face", "", ""]
    row, no_reals = selection.shortfall(frames, cells).itertuples(index=False)
    assert (no_reals.label, no_reals.missing, no_reals.candidates) == (0, 9, 0)
    assert row.reasons == "no_face 2, small_face 2, corrupt_frame 1"
    assert (row.quota, row.possible, row.missing) == (9, 2, 7)
    assert (row.candidates, row.tried, row.failed, row.good) == (7, 6, 5, 1)
    assert selection.next_round(frames, cells).tolist() == [6]


def test_a_class_without_any_candidate_is_a_shortfall() -> None:
    frames = pd.DataFrame({"split": ["train"] * 3, "label": [0] * 3, "method": ["m"] * 3, "video": list("abc")})
    frames = frames.assign(key=frames.video, rank=range(3), turn=0, state="untried", reason="")
    cells = selection.quotas(frames, {"train": 2}, {"train": 0})
    short = selection.shortfall(frames, cells)
    assert short[["split", "label", "missing", "candidates"]].to_numpy().tolist() == [["train", 1, 2, 0]]
    assert selection.shortfall(frames, selection.quotas(frames, {"train": "smallest_class"}, {"train": 0})).empty
