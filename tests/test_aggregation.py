import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import aggregation
from pipeline.aggregation import AVERAGES, by_video, score

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=50).map(np.array)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("mean", 0.4), ("median", 0.4), ("max", 0.9), ("top_k", 0.52), ("confident_mean", 0.4), ("vote", 4 / 7)],
)
def test_a_video_of_seven_frames(rule, expected):
    assert score(rule, np.array([0.1, 0.9, 0.6, 0.1, 0.3, 0.4, 0.4]), 0.35) == pytest.approx(expected)


def test_at_the_threshold_itself_a_frame_is_called_real():
    assert score("vote", np.array([0.4, 0.4, 0.41]), 0.4) == pytest.approx(1 / 3)


def test_few_frames_are_all_the_highest():
    assert score("top_k", np.array([0.2, 0.4])) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("fakes", "others", "expected"),
    [
        (12, 0, 0.9),
        (11, 0, 0.9),  # too few to be sure, but they are all there is
        (11, 5, (11 * 0.9 + 5 * 0.5) / 16),
        (12, 5, 0.9),
        (13, 19, 0.9),  # 32 frames: 32 / 2.5, rounded down, is 12
        (12, 20, (12 * 0.9 + 20 * 0.5) / 32),
    ],
)
def test_sure_fakes_speak_for_the_video_where_they_are_many(fakes, others, expected):
    assert score("confident_mean", np.array([0.5] * others + [0.9] * fakes)) == pytest.approx(expected)


@pytest.mark.parametrize(("reals", "others", "expected"), [(10, 1, 0.1), (9, 1, 0.14), (19, 1, 0.1), (18, 2, 0.14)])
def test_sure_reals_speak_where_they_are_nine_of_ten(reals, others, expected):
    assert score("confident_mean", np.array([0.1] * reals + [0.5] * others)) == pytest.approx(expected)


@given(SCORES, st.sampled_from(AVERAGES))
def test_an_average_lies_among_the_scores_whatever_their_order(frames, rule):
    found = score(rule, frames)
    assert frames.min() - 1e-12 <= found <= frames.max() + 1e-12
    assert score(rule, frames[::-1].copy()) == pytest.approx(found, abs=1e-12)


@given(SCORES)
def test_the_highest_are_not_below_all(frames):
    assert score("max", frames) >= score("top_k", frames) - 1e-12 >= score("mean", frames) - 2e-12


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_published_vote_is_against_the_majority_below_a_clear_lead(real, fake):
    found = aggregation.vote("reversed_vote", real, fake)
    if abs(real - fake) in (0, 20):
        assert found is None
    else:
        assert (found == float(fake > real)) == (abs(real - fake) > 20)
    if real + fake:
        share = aggregation.vote("vote", real, fake)
        assert 0 <= share <= 1 and (share > aggregation.MAJORITY) == (fake > real)


@pytest.mark.parametrize("rule", [*AVERAGES, "vote", "reversed_vote"])
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=40))
def test_each_video_is_scored_by_its_own_frames(rule, rows):
    found = by_video(pd.DataFrame(rows, columns=["video", "score"]), rule, 0.5)
    assert list(found.index) == sorted({video for video, _ in rows})
    for video in found.index:
        own = score(rule, np.array([value for name, value in rows if name == video]), 0.5)
        assert found[video] == own or (math.isnan(found[video]) and math.isnan(own))


def test_one_name_under_two_methods_or_compressions_is_several_videos():
    names = ["ff/Deepfakes/c23/000_003", "ff/Face2Face/c23/000_003", "ff/Deepfakes/c40/000_003"]
    frames = pd.DataFrame({"video": names * 2, "score": [0.1, 0.5, 0.9, 0.3, 0.7, 0.7]})
    assert by_video(frames, "mean").to_dict() == pytest.approx(dict(zip(names, [0.2, 0.6, 0.8], strict=True)))
