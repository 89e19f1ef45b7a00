import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabricated_shards import write_dataset, write_frames
from pipeline import evaluation, tables, voting
from pipeline.errors import UserError
from pipeline.models import scoring

VIDEOS = {"test": {"real": 3, "swap": 2, "mask": 1}, "train": {"real": 1}}
FAILED = {"video": "one/mask/native/test0", "split": "test", "label": 1, "method": "mask", "group": "one:test:0"}


def load(folder):
    """Return the tables of a dataset whose video one/mask/native/test0 lost a frame, and one/swap/native/test9 all."""
    samples = write_dataset(folder, "one", VIDEOS)
    failed = [
        FAILED | {"key": "f7", "frame": 7, "reason": "no_face"},
        FAILED | {"video": "one/swap/native/test9", "method": "swap", "key": "f1", "frame": 1, "reason": "no_face"},
        FAILED | {"video": "one/swap/native/test9", "method": "swap", "key": "f2", "frame": 2, "reason": "truncated"},
        FAILED | {"video": "one/swap/native/test9", "method": "swap", "key": "f3", "frame": 3, "reason": "truncated"},
        FAILED | {"key": "f8", "frame": 8, "split": "train", "reason": "no_face"},
    ]
    write_frames(folder, "one", samples, failed)
    frames = tables.read(folder / "extract/one/frames.parquet", tables.FRAMES)
    videos = tables.read(folder / "split/one/videos.parquet", tables.ASSIGNMENTS)
    lost = {"label": 1, "method": "swap", "group": "g", "split": "test", "status": "ok", "reason": ""}
    never_tried = lost | {"video": "one/swap/native/test8"}
    rejected = lost | {"video": "one/swap/native/test7", "group": None, "status": "rejected", "reason": "too_short"}
    videos = pd.concat([videos, pd.DataFrame([lost | {"video": "one/swap/native/test9"}, never_tried, rejected])])
    return samples[samples["split"] == "test"].reset_index(drop=True), frames, videos


def test_every_expected_frame_and_video_has_a_row(tmp_path):
    samples, frames, videos = load(tmp_path)
    logits = np.linspace(-3, 3, len(samples))
    by_frame = evaluation.frame_scores(samples, logits, frames)
    assert len(by_frame) == len(samples) + 4  # the failed frame of train is none of them
    scored = by_frame[by_frame["status"] == "scored"].set_index("key")["score"]
    assert scored[samples["key"]].tolist() == pytest.approx(list(1 / (1 + np.exp(-logits))))
    unscored = by_frame[by_frame["status"] == "unscored"].set_index("key")
    assert unscored["reason"].to_dict() == {"f7": "no_face", "f1": "no_face", "f2": "truncated", "f3": "truncated"}
    assert unscored["score"].isna().all()

    by_video = evaluation.video_scores(videos, by_frame).set_index("video")
    assert len(by_video) == 9
    reasons = {"test9": "truncated", "test8": "no_usable_frame", "test7": "too_short"}
    for name, reason in reasons.items():
        row = by_video.loc[f"one/swap/native/{name}"]
        assert (row["status"], row["reason"], row["frames_scored"]) == ("unscored", reason, 0)
        assert math.isnan(row["score"])
    # A frame was lost, but the video keeps its score, from the frames that are left.
    mask = by_video.loc["one/mask/native/test0"]
    assert (mask["status"], mask["reason"], mask["frames_scored"]) == ("scored", "", 3)
    own = samples["video"] == "one/mask/native/test0"
    assert mask["score"] == pytest.approx(scoring.probability(logits[own]).mean())
    tables.write(
        tmp_path / "scores.parquet",
        pd.concat([by_frame, by_video.reset_index()]),
        tables.SCORES,
        order=["level", "key"],
    )


def test_videos_of_one_name_but_two_methods_stay_apart(tmp_path):
    samples, frames, videos = load(tmp_path)
    logits = samples["method"].map({"real": -4.0, "swap": 0.0, "mask": 4.0}).to_numpy()
    by_video = evaluation.video_scores(videos, evaluation.frame_scores(samples, logits, frames)).set_index("video")
    found = {method: by_video.loc[f"one/{method}/native/test0", "score"] for method in ("real", "swap", "mask")}
    assert found == pytest.approx({"real": 0.018, "swap": 0.5, "mask": 0.982}, abs=1e-3)


def test_a_vote_is_the_share_of_frames_above_the_threshold(tmp_path):
    samples, frames, videos = load(tmp_path)
    logits = np.where(np.arange(len(samples)) % 3 == 0, 0.1, -0.1)  # one frame of three
    by_frame = evaluation.frame_scores(samples, logits, frames)
    found = evaluation.video_scores(videos, by_frame, "vote", 0.5).set_index("video")
    scored = found[found["status"] == "scored"]
    assert len(scored) == 6
    assert scored["score"].tolist() == pytest.approx([1 / 3] * 6)
    # At the threshold itself a frame is called real.
    level = float(scoring.probability(np.array([0.1]))[0])
    assert (evaluation.video_scores(videos, by_frame, "vote", level)["score"].dropna() == 0).all()
    lost = found.loc["one/swap/native/test9"]
    assert (lost["status"], lost["reason"], lost["frames_scored"]) == ("unscored", "truncated", 0)


def many_frames(fakes, reals):
    """The frame scores of one video, and its row of the split table."""
    shared = {"video": "one/swap/c23/a", "split": "test", "label": 1, "method": "swap", "group": "g"}
    rows = [
        shared | {"level": "frame", "score": score, "frames_scored": 1, "status": "scored", "reason": "", "key": str(n)}
        for n, score in enumerate([0.9] * fakes + [0.1] * reals)
    ]
    return pd.DataFrame([shared | {"status": "ok", "reason": ""}]), pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("fakes", "reals", "score"),
    [(30, 5, 1.0), (5, 30, 0.0), (21, 0, 1.0), (12, 5, 0.0), (5, 12, 1.0), (1, 0, 0.0), (20, 0, None), (5, 5, None)],
)
def test_the_published_vote_inverts_small_leads_and_drops_what_ties(fakes, reals, score):
    videos, frames = many_frames(fakes, reals)
    (row,) = evaluation.video_scores(videos, frames, "reversed_vote").to_dict("records")
    assert row["frames_scored"] == fakes + reals
    if score is None:
        assert (row["status"], row["reason"]) == ("unscored", "vote_dropped") and math.isnan(row["score"])
    else:
        assert (row["status"], row["reason"], row["score"]) == ("scored", "", score)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_published_vote_is_against_the_majority_below_a_clear_lead(real, fake):
    score = voting.vote("reversed_vote", real, fake)
    if abs(real - fake) in (0, 20):
        assert score is None
    else:
        assert (score == float(fake > real)) == (abs(real - fake) > 20)
    if real + fake:
        share = voting.vote("vote", real, fake)
        assert 0 <= share <= 1 and (share > voting.MAJORITY) == (fake > real)


def test_pictures_that_training_dealt_to_test():
    learned = pd.DataFrame(
        [
            ("one", "a", "test", 0), ("one", "a", "train", 1), ("one", "b", "val", 0),
            ("one", "c", "test", 0), ("one", "c", "test", 1), ("two", "d", "test", 0),
        ],
        columns=["dataset", "key", "part", "copy"],
    )  # fmt: skip
    assert evaluation.dealt_test(learned, "one") == {"a", "c"}
    assert evaluation.dealt_test(learned, "three") == set()


def test_pictures_of_a_video_outside_the_test_split_are_refused(tmp_path):
    samples, frames, videos = load(tmp_path)
    by_frame = evaluation.frame_scores(samples, np.zeros(len(samples)), frames)
    with pytest.raises(UserError, match="one/mask/native/test0 has test pictures but is no test video"):
        evaluation.video_scores(videos[videos["video"] != "one/mask/native/test0"], by_frame)
    with pytest.raises(UserError, match="no test video"):
        evaluation.video_scores(videos[videos["split"] == "train"], by_frame[:0])


def test_a_frame_cannot_count_twice(tmp_path):
    samples, frames, _ = load(tmp_path)
    with pytest.raises(AssertionError, match="frames in"):
        evaluation.frame_scores(pd.concat([samples, samples[:1]]), np.zeros(len(samples) + 1), frames)


def scores(*rows):
    columns = ["method", "label", "score", "status", "group"]
    return pd.DataFrame(rows, columns=columns)


def cell(figures, method, metric):
    (row,) = [row for row in figures if row["method"] == method and row["metric"] == metric]
    return row


def test_figures_per_method_are_against_all_reals():
    given = scores(
        ("youtube", 0, 0.1, "scored", "a"),
        ("actors", 0, 0.6, "scored", "b"),
        ("swap", 1, 0.9, "scored", "c"),
        ("mask", 1, 0.3, "scored", "b"),
        ("mask", 1, math.nan, "unscored", "c"),
    )
    figures = evaluation.figures(given, "one", "video", 0.5, 200, 0)
    assert {row["method"] for row in figures} == {"all", "swap", "mask"}
    assert len(figures) == 3 * 9
    assert [cell(figures, method, "auroc")["value"] for method in ("all", "swap", "mask")] == [0.75, 1, 0.5]
    assert [cell(figures, method, "coverage")["value"] for method in ("all", "swap", "mask")] == [0.8, 1, 0.75]
    assert cell(figures, "all", "accuracy")["value"] == 0.5
    assert (cell(figures, "mask", "auroc")["real"], cell(figures, "mask", "auroc")["fake"]) == (2, 1)
    bounds = cell(figures, "all", "auroc")
    assert bounds["lower"] <= bounds["value"] <= bounds["upper"]
    assert math.isnan(cell(figures, "all", "eer")["lower"])


def test_figures_of_one_class_are_empty_and_reach_the_table_so(tmp_path):
    given = scores(("real", 0, 0.1, "scored", "a"), ("real", 0, 0.2, "scored", "b"))
    figures = evaluation.figures(given, "one", "frame", 0.5, 200, 0)
    figures += evaluation.figures(given[:0], "one", "video", 0.5, 200, 0)
    tables.write(tmp_path / "metrics.parquet", figures, tables.METRICS, order=["level", "metric"])
    read = tables.read(tmp_path / "metrics.parquet", tables.METRICS).set_index(["level", "metric"])["value"]
    assert read["frame", "accuracy"] == 1
    assert read["frame", "coverage"] == 1
    assert read[[("frame", "auroc"), ("frame", "eer"), ("video", "accuracy"), ("video", "coverage")]].isna().all()
