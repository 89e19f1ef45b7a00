import math

import numpy as np
import pandas as pd
import pytest

from fabricated_shards import write_dataset, write_frames
from pipeline import evaluation, tables
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
