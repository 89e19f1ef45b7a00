from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extracting.face_choice import choose

COLUMNS = ["frame", "face", "box_x", "box_y", "box_width", "box_height", "evidence"]
CLUES = [(False, ""), (True, ""), (True, "mask"), (True, "original")]

evidence = st.one_of(st.floats(0, 30), st.just(float("nan")))
faces = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 200), st.integers(20, 120), st.integers(20, 120), evidence),
    min_size=1,
    max_size=4,
)
videos = st.dictionaries(st.integers(0, 400), faces, min_size=1, max_size=8)


def table(video: dict[int, Sequence[tuple[Any, ...]]]) -> pd.DataFrame:
    """The usable faces of a video: frame -> (x, y, width, height, evidence) of each face."""
    rows = [(frame, face, *values) for frame, found in video.items() for face, values in enumerate(found)]
    return pd.DataFrame(rows, columns=COLUMNS)


def chosen(video: dict[int, Sequence[tuple[Any, ...]]], forged: bool, clue: str) -> list[tuple[int, str]]:
    """Face and reason of each frame, in order of the frames."""
    choice = choose(table(video), forged=forged, clue=clue)
    assert choice.frame.tolist() == sorted(video)
    return list(zip(choice.face.tolist(), choice.chosen_by.tolist(), strict=True))


# --- what always holds -----------------------------------------------------------------------------------------------


@given(video=videos, case=st.sampled_from(CLUES))
def test_one_face_of_every_frame_and_the_only_one_is_taken(video: dict[int, Any], case: tuple[bool, str]) -> None:
    forged, clue = case
    choice = choose(table(video), forged=forged, clue=clue)
    assert list(choice.columns) == ["frame", "face", "chosen_by"] and choice.index.tolist() == list(range(len(video)))
    assert choice.frame.tolist() == sorted(video)
    for frame, face, reason in choice.itertuples(index=False):
        assert 0 <= face < len(video[frame])
        reasons = {"only"} if len(video[frame]) == 1 else {"ambiguous_face" if forged else "track", clue}
        assert reason in (reasons | {"not_the_forged_face"} if clue else reasons)


@given(video=videos, case=st.sampled_from(CLUES), seed=st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(video: dict[int, Any], case: tuple[bool, str], seed: int) -> None:
    forged, clue = case
    found = table(video)
    shuffled = found.sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(
        choose(found, forged=forged, clue=clue), choose(shuffled, forged=forged, clue=clue), check_dtype=True
    )


@given(video=videos)
def test_a_real_takes_no_notice_of_evidence(video: dict[int, Any]) -> None:
    bare = {frame: [(*values[:4], np.nan) for values in found] for frame, found in video.items()}
    assert chosen(video, False, "original") == chosen(bare, False, "")


def test_the_columns_may_be_of_nullable_and_small_types() -> None:
    found = table({0: [(0, 0, 40, 40, 0.4), (200, 0, 60, 60, 0.0)], 10: [(0, 0, 40, 40, 0.5), (200, 0, 60, 60, 0.0)]})
    small = found.astype({"frame": "Int32", "face": "Int16", "box_x": "Int32", "evidence": "float32"})
    for forged, clue in CLUES:
        expected = choose(found, forged=forged, clue=clue)
        pd.testing.assert_frame_equal(choose(small, forged=forged, clue=clue), expected, check_dtype=False)


# --- tracks ----------------------------------------------------------------------------------------------------------


@given(
    sides=st.lists(st.tuples(st.integers(60, 100), st.integers(60, 100)), min_size=1, max_size=12),
    flips=st.lists(st.booleans(), min_size=12, max_size=12),
    shakes=st.lists(st.integers(-12, 12), min_size=12, max_size=12),
    forged=st.booleans(),
)
def test_two_people_who_stand_still_are_never_swapped(
    sides: list[tuple[int, int]], flips: list[bool], shakes: list[int], forged: bool
) -> None:
    video, left_is = {}, []
    for number, (left, right) in enumerate(sides):
        people = [(100 + shakes[number], 100, left, left, np.nan), (400, 100 + shakes[number], right, right, np.nan)]
        order = [1, 0] if flips[number] else [0, 1]  # numbers say who was the more probable face, not who is who
        video[10 * number] = [people[place] for place in order]
        left_is.append(order.index(0))
    areas = [sum(side**2 for side in person) for person in zip(*sides, strict=True)]
    if areas[0] != areas[1]:
        best = left_is if areas[0] > areas[1] else [1 - face for face in left_is]
        assert chosen(video, forged, "") == [(face, "ambiguous_face" if forged else "track") for face in best]


def test_equal_tracks_the_first_to_start_and_then_the_lower_number() -> None:
    left, right = (0, 0, 50, 50, np.nan), (200, 0, 50, 50, np.nan)
    assert chosen({0: [left, right], 5: [right, left]}, False, "") == [(0, "track"), (1, "track")]
    assert chosen({0: [right], 5: [left, right], 9: [left]}, False, "") == [(0, "only"), (1, "track"), (0, "only")]


def test_people_are_followed_as_they_pass_through_the_picture() -> None:
    walk = {
        10 * step: [(300 - 10 * step, 50, 60, 60, np.nan), (20 * step, 200, 80, 80, np.nan)][:: 1 if step % 2 else -1]
        for step in range(12)
    }
    assert chosen(walk, False, "") == [(1 if step % 2 else 0, "track") for step in range(12)]


def test_who_is_there_longer_goes_before_who_is_larger_for_a_moment() -> None:
    stays, visits = (100, 100, 60, 60, np.nan), (300, 50, 90, 90, np.nan)
    video = {frame: [stays] for frame in range(0, 100, 10)} | {50: [visits, stays]}
    assert chosen(video, False, "") == [(0, "only")] * 5 + [(1, "track")] + [(0, "only")] * 4


def test_the_greatest_overlap_is_served_first() -> None:
    video = {0: [(100, 0, 100, 100, np.nan)], 1: [(130, 0, 100, 100, np.nan), (105, 0, 100, 100, np.nan)]}
    assert chosen(video, False, "") == [(0, "only"), (1, "track")]


# --- evidence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clue", "small", "large", "reason"),
    [
        ("mask", 0.4, 0.0, "mask"),
        ("mask", 0.4, 0.1, "mask"),
        ("mask", 0.4, 0.3, "ambiguous_face"),  # both are marked
        ("mask", 0.04, 0.0, "ambiguous_face"),  # next to nothing is marked
        ("mask", 0.0, 0.0, "ambiguous_face"),
        ("mask", np.nan, np.nan, "ambiguous_face"),
        ("original", 9.0, 2.0, "original"),
        ("original", 3.0, 2.0, "original"),
        ("original", 2.9, 2.0, "ambiguous_face"),
        ("original", 0.4, 0.0, "ambiguous_face"),
        ("original", 9.0, np.nan, "ambiguous_face"),
        ("", 9.0, 0.0, "ambiguous_face"),
    ],
)
def test_evidence_that_stands_out_goes_before_size(clue: str, small: float, large: float, reason: str) -> None:
    video = {frame: [(300, 0, 90, 90, large), (0, 0, 50, 50, small)] for frame in range(0, 50, 10)}
    assert chosen(video, True, clue) == [(0 if reason == "ambiguous_face" else 1, reason)] * 5


def test_evidence_is_judged_over_the_video_not_by_frame() -> None:
    differences = [(8.0, 2.0), (1.0, 2.0), (9.0, 2.0), (7.0, 3.0)]  # in the second frame the other one blinks
    video = {
        frame: [(0, 0, 50, 50, forged), (300, 0, 90, 90, other)] for frame, (forged, other) in enumerate(differences)
    }
    assert chosen(video, True, "original") == [(0, "original")] * 4


def test_a_forged_face_that_jumps_is_found_again() -> None:
    bystanders = [(300, 0, 90, 90, 2.0), (500, 0, 70, 70, 1.0)]
    video = {0: [(0, 0, 50, 50, 9.0), *bystanders], 1: [(0, 200, 50, 50, 8.0), *bystanders]}
    assert chosen(video, True, "original") == [(0, "original"), (0, "original")]


def test_bystanders_are_not_taken_for_the_forged_face_when_that_is_not_seen() -> None:
    bystanders, stranger = [(300, 0, 90, 90, 2.0), (500, 0, 70, 70, 1.0)], (0, 300, 80, 80, np.nan)
    video = {
        0: [(0, 0, 50, 50, 9.0), *bystanders],
        1: bystanders,  # 2.0 against 1.0 says nothing beside 9.0
        2: bystanders[1:],
        3: [stranger],  # never seen beside another: nothing is known
        4: [stranger, (*bystanders[1][:4], np.nan)],
    }
    assert [reason for _, reason in chosen(video, True, "original")] == [
        "original",
        "not_the_forged_face",
        "not_the_forged_face",
        "only",
        "ambiguous_face",
    ]
    assert {reason for _, reason in chosen(video, False, "")} == {"only", "track"}


def test_nobody_is_cleared_where_nobody_is_singled_out() -> None:
    both = [(0, 0, 90, 90, 0.4), (300, 0, 90, 90, 0.3)]  # the mask marks two people
    third = [(600, 0, 90, 90, 0.05), (600, 300, 90, 90, 0.04)]
    video = {0: both, 1: both[:1], 2: third, 3: both[1:]}
    assert [reason for _, reason in chosen(video, True, "mask")] == ["ambiguous_face", "only", "ambiguous_face", "only"]
