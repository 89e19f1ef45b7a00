import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fabricated_shards import write_dataset, write_frames
from pipeline import aggregation, tables
from pipeline.errors import UserError
from pipeline.evaluation.decisions import Decisions, from_validation
from pipeline.evaluation.evaluate import evaluate, with_parts, write
from pipeline.evaluation.figures import metric_rows, overall_rows
from pipeline.evaluation.scores import dealt_test, frame_scores, video_scores
from pipeline.metrics import binary, calibration

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
    given = np.linspace(0.05, 0.95, len(samples))
    by_frame = frame_scores(samples, given, frames)
    assert len(by_frame) == len(samples) + 4  # the failed frame of train is none of them
    scored = by_frame[by_frame["status"] == "scored"].set_index("key")["score"]
    assert scored[samples["key"]].tolist() == list(given)
    unscored = by_frame[by_frame["status"] == "unscored"].set_index("key")
    assert unscored["reason"].to_dict() == {"f7": "no_face", "f1": "no_face", "f2": "truncated", "f3": "truncated"}
    assert unscored["score"].isna().all()

    by_video = video_scores(videos, by_frame).set_index("video")
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
    assert mask["score"] == pytest.approx(given[own].mean())
    rows = with_parts(pd.concat([by_frame, by_video.reset_index()]), [])
    tables.write(tmp_path / "scores.parquet", rows, tables.SCORES, order=["level", "key"])
    assert set(rows["compression"]) == {"native"}


def test_videos_of_one_name_but_two_methods_stay_apart(tmp_path):
    samples, frames, videos = load(tmp_path)
    expected = {"real": 0.1, "swap": 0.5, "mask": 0.9}
    given = samples["method"].map(expected).to_numpy()
    by_video = video_scores(videos, frame_scores(samples, given, frames)).set_index("video")
    assert {method: by_video.loc[f"one/{method}/native/test0", "score"] for method in expected} == pytest.approx(
        expected
    )


def test_a_vote_is_the_share_of_frames_above_the_threshold(tmp_path):
    samples, frames, videos = load(tmp_path)
    by_frame = frame_scores(samples, np.where(np.arange(len(samples)) % 3 == 0, 0.6, 0.4), frames)  # one of three
    found = video_scores(videos, by_frame, "vote", 0.5).set_index("video")
    scored = found[found["status"] == "scored"]
    assert len(scored) == 6
    assert scored["score"].tolist() == pytest.approx([1 / 3] * 6)
    # At the threshold itself a frame is called real.
    assert (video_scores(videos, by_frame, "vote", 0.6)["score"].dropna() == 0).all()
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
    (row,) = video_scores(videos, frames, "reversed_vote").to_dict("records")
    assert row["frames_scored"] == fakes + reals
    if score is None:
        assert (row["status"], row["reason"]) == ("unscored", "vote_dropped") and math.isnan(row["score"])
    else:
        assert (row["status"], row["reason"], row["score"]) == ("scored", "", score)


def test_pictures_that_training_dealt_to_test():
    learned = pd.DataFrame(
        [
            ("one", "a", "test", 0), ("one", "a", "train", 1), ("one", "b", "val", 0),
            ("one", "c", "test", 0), ("one", "c", "test", 1), ("two", "d", "test", 0),
        ],
        columns=["dataset", "key", "part", "copy"],
    )  # fmt: skip
    assert dealt_test(learned, "one") == {"a", "c"}
    assert dealt_test(learned, "three") == set()


def test_pictures_of_a_video_outside_the_test_split_are_refused(tmp_path):
    samples, frames, videos = load(tmp_path)
    by_frame = frame_scores(samples, np.zeros(len(samples)), frames)
    with pytest.raises(UserError, match="one/mask/native/test0 has test pictures but is no test video"):
        video_scores(videos[videos["video"] != "one/mask/native/test0"], by_frame)
    with pytest.raises(UserError, match="no test video"):
        video_scores(videos[videos["split"] == "train"], by_frame[:0])


def test_a_frame_cannot_count_twice(tmp_path):
    samples, frames, _ = load(tmp_path)
    with pytest.raises(AssertionError, match="frames in"):
        frame_scores(pd.concat([samples, samples[:1]]), np.zeros(len(samples) + 1), frames)


# --- decisions -------------------------------------------------------------------------------------------------------


def frames_of(*videos):
    """Return validation frames from (label, scores of the frames) of each video."""
    rows = [(f"v{number}", label, score) for number, (label, scores) in enumerate(videos) for score in scores]
    return pd.DataFrame(rows, columns=["video", "label", "score"])


VALIDATION = frames_of((0, [0.1, 0.5]), (1, [0.4, 0.9]))


def test_thresholds_come_from_frames_and_from_videos():
    decided = from_validation(VALIDATION, "mean")
    assert decided.thresholds["frame"] == pytest.approx(0.7)  # equally good: 0.25 and 0.7; 0.7 is the nearer to 0.5
    assert decided.thresholds["video"] == pytest.approx((0.3 + 0.65) / 2)
    assert decided.chosen == binary.THRESHOLD_RULE


def test_each_rule_has_the_threshold_of_its_own_videos():
    assert from_validation(VALIDATION, "max").thresholds["video"] == pytest.approx((0.5 + 0.9) / 2)
    voted = from_validation(VALIDATION, "vote")
    assert voted.thresholds == {"frame": pytest.approx(0.7), "video": aggregation.MAJORITY}
    assert voted.chosen == "majority" and voted.temperatures["video"] is None


def test_a_threshold_that_was_given_is_kept():
    assert from_validation(VALIDATION, "median", 0.3).thresholds == {"frame": 0.3, "video": 0.3}
    assert from_validation(VALIDATION, "median", 0.3).chosen == "given"
    assert from_validation(VALIDATION, "vote", 0.3).thresholds == {"frame": 0.3, "video": aggregation.MAJORITY}


@pytest.mark.parametrize("validation", [VALIDATION[:0], VALIDATION[VALIDATION.label == 0]], ids=["none", "one class"])
def test_without_both_classes_the_threshold_is_one_half_and_says_so(validation):
    decided = from_validation(validation, "mean")
    assert decided.thresholds == {"frame": 0.5, "video": 0.5}
    assert decided.temperatures == {"frame": None, "video": None}
    assert "0.5" in decided.chosen


def test_temperatures_are_of_each_levels_own_scores():
    random = np.random.default_rng(0)
    videos = [(label, 1 / (1 + np.exp(-random.normal(4 * label - 2, 4, 3)))) for label in [0, 1] * 40]
    validation = frames_of(*videos)
    found = from_validation(validation, "mean").temperatures
    means = np.array([scores.mean() for _, scores in videos])
    assert found["frame"] == calibration.fit_temperature(validation.label.to_numpy(), validation.score.to_numpy())
    assert found["video"] == pytest.approx(calibration.fit_temperature(np.array([0, 1] * 40), means), rel=1e-6)
    assert found["frame"] != found["video"]


# --- figures ---------------------------------------------------------------------------------------------------------

DECISIONS = Decisions("mean", {"frame": 0.5, "video": 0.5}, {"frame": None, "video": 2.0}, "given")


def scores(*rows, level="video"):
    """Return rows as of tables.SCORES from (method, label, score, group[, compression[, leak_free]])."""
    full = [(*row, *("c23", True)[len(row) - 4 :]) for row in rows]
    table = pd.DataFrame(full, columns=["method", "label", "score", "group", "compression", "leak_free"])
    status = np.where(table["score"].isna(), "unscored", "scored")
    return table.assign(level=level, status=status)


SOME = [
    ("youtube", 0, 0.1, "a"),
    ("actors", 0, 0.6, "b"),
    ("swap", 1, 0.9, "c"),
    ("mask", 1, 0.3, "b"),
    ("mask", 1, math.nan, "c"),
]


def cells(rows, **wanted):
    """Return the rows by metric of one cell; the parts that are not named are all."""
    named = {"subset": "all", "method": "all", "compression": "all"} | wanted
    return {row["metric"]: row for row in rows if all(row[name] == value for name, value in named.items())}


def test_figures_per_method_are_against_all_reals():
    found = metric_rows(scores(*SOME), "one", DECISIONS, 200, 0)
    assert {row["method"] for row in found} == {"all", "swap", "mask"}
    by_method = {method: cells(found, method=method) for method in ("all", "swap", "mask")}
    assert [by_method[method]["auroc"]["value"] for method in by_method] == pytest.approx([0.75, 1, 0.5])
    counts = [
        [by_method[name]["auroc"][count] for count in ("real", "fake", "groups", "expected")] for name in by_method
    ]
    assert counts == [[2, 2, 3, 5], [2, 1, 3, 3], [2, 1, 2, 4]]
    assert by_method["all"]["accuracy"]["value"] == pytest.approx(0.5)
    row = by_method["all"]["auroc"]
    assert (row["dataset"], row["level"], row["rule"]) == ("one", "video", "mean")
    assert row["lower"] <= row["value"] <= row["upper"]


def test_compressions_and_the_leak_free_are_judged_alone():
    rows = [
        (f"m{label}", label, (label + place) / 3, f"g{place}", "c23", place != 1)
        for label in (0, 1)
        for place in range(3)
    ]
    rows += [("m0", 0, 0.9, "g9", "c40"), ("m1", 1, 0.1, "g9", "c40")]
    found = metric_rows(scores(*rows), "one", DECISIONS, 200, 0)
    assert cells(found, compression="c40")["auroc"]["value"] == 0
    assert cells(found, compression="c23")["auroc"]["expected"] == 6
    leak_free = cells(found, subset="leak_free")
    assert leak_free["auroc"]["expected"] == 6
    kept = [row for row in rows if len(row) == 5 or row[5]]
    assert leak_free["auroc"]["value"] == pytest.approx(
        roc_auc_score([row[1] for row in kept], [row[2] for row in kept])
    )


def test_where_nothing_leaks_both_columns_agree_to_the_last_digit():
    found = metric_rows(scores(*SOME), "one", DECISIONS, 200, 0)
    same = [row | {"subset": "all"} for row in cells(found, subset="leak_free").values()]
    assert repr(same) == repr(list(cells(found).values()))


def test_calibrated_figures_stand_beside_the_raw_where_there_is_a_temperature():
    given = scores(*SOME)
    found = cells(metric_rows(given, "one", DECISIONS, 200, 0))
    assert set(found) == {*binary.METRICS, "log_loss_calibrated", "brier_calibrated", "ece_calibrated"}
    scored = given.dropna(subset="score")
    softer = calibration.calibrated(scored["score"].to_numpy(), 2.0)
    expected = binary.binary_metrics(scored["label"].to_numpy(), softer, 0.5)
    for name in ("log_loss", "brier", "ece"):
        assert found[f"{name}_calibrated"]["value"] == pytest.approx(expected[name])
    plain = Decisions("mean", DECISIONS.thresholds, {"frame": None, "video": None}, "given")
    assert set(cells(metric_rows(given, "one", plain, 200, 0))) == set(binary.METRICS)


def test_frames_have_an_interval_for_the_auroc_of_all_and_videos_for_every_figure():
    rows = [(f"m{label}", label, label * 0.3 + place % 7 / 10, f"g{place}") for label in (0, 1) for place in range(20)]
    found = metric_rows(scores(*rows, level="frame"), "one", DECISIONS, 200, 0)
    bounded = {(row["method"], row["compression"], row["metric"]) for row in found if not math.isnan(row["lower"])}
    assert bounded == {("all", "all", "auroc")}
    assert all(row["rule"] == "" for row in found)
    values = {name: row["value"] for name, row in cells(found).items()}
    of_videos = cells(metric_rows(scores(*rows), "one", DECISIONS, 200, 0))
    assert values == pytest.approx({name: of_videos[name]["value"] for name in values})
    assert not any(math.isnan(row["lower"]) for row in of_videos.values())


def test_figures_of_one_class_are_empty_and_reach_the_table_so(tmp_path):
    found = metric_rows(scores(SOME[0], SOME[1], level="frame"), "one", DECISIONS, 200, 0)
    found += overall_rows(scores(*SOME)[:0], "one", DECISIONS, 200, 0)
    tables.write(tmp_path / "metrics.parquet", found, tables.METRICS, order=["level", "metric"])
    read = tables.read(tmp_path / "metrics.parquet", tables.METRICS).query("subset == compression == 'all'")
    values = read.set_index(["level", "metric"])["value"]
    assert values["frame", "accuracy"] == 0.5
    assert values[[("frame", "auroc"), ("frame", "eer"), ("video", "accuracy"), ("video", "auroc")]].isna().all()


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10), st.integers(0, 5)), min_size=2, max_size=30))
def test_swapped_labels_mirror_the_auroc(rows):
    given = scores(*[("m", label, score / 10, f"g{group}") for label, score, group in rows])
    turned = given.assign(label=1 - given["label"])
    one, other = (overall_rows(table, "one", DECISIONS, 200, 0)[0]["value"] for table in (given, turned))
    assert one == pytest.approx(1 - other, nan_ok=True)


# --- the whole -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The test videos, their frames' scores, and the evaluation by the highest; one real video is tied to training."""
    samples, frames, videos = load(tmp_path_factory.mktemp("judged"))
    by_frame = frame_scores(samples, np.random.default_rng(0).uniform(0, 1, len(samples)), frames)
    tied = ["one/real/native/test0"]
    return videos, by_frame, evaluate("one", videos, by_frame, VALIDATION, tied, "max", None, 200, 0)


def test_every_average_stands_beside_the_chosen_rule(judged):
    videos, by_frame, found = judged
    of_videos = [row for row in found.metrics if row["level"] == "video"]
    assert {row["rule"] for row in of_videos} == set(aggregation.AVERAGES)
    assert {row["rule"] for row in of_videos if row["method"] != "all"} == {"max"}
    median = video_scores(videos, by_frame, "median").dropna(subset="score")
    labels, values = median["label"].to_numpy(np.int64), median["score"].to_numpy()
    expected = binary.binary_metrics(labels, values, from_validation(VALIDATION, "median").thresholds["video"])
    of_median = {row["metric"]: row["value"] for row in of_videos if row["rule"] == "median"}
    assert {name: of_median[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_a_video_that_failed_is_expected_but_not_counted_and_is_listed(judged):
    _, _, found = judged
    by_rule = [row for row in found.metrics if row["rule"] == "max"]
    row = cells(by_rule)["auroc"]
    assert (row["real"] + row["fake"], row["expected"]) == (6, 9)
    videos = found.scores[found.scores["level"] == "video"].set_index("video")
    assert videos[videos["status"] == "unscored"]["reason"].to_dict() == {
        "one/swap/native/test7": "too_short",
        "one/swap/native/test8": "no_usable_frame",
        "one/swap/native/test9": "truncated",
    }
    assert cells(by_rule, subset="leak_free")["auroc"]["expected"] == 8
    assert found.scores[~found.scores["leak_free"]]["video"].unique().tolist() == ["one/real/native/test0"]


def test_writes_tables_that_read_back(judged, tmp_path):
    _, _, found = judged
    write(tmp_path, "one", found, {"label_polarity": "why"})
    read = tables.read(tmp_path / "scores.parquet", tables.SCORES)
    assert read["score"].dropna().sum() == pytest.approx(found.scores["score"].sum())
    assert len(tables.read(tmp_path / "metrics.parquet", tables.METRICS)) == len(found.metrics)
    rule = json.loads((tmp_path / "rule.json").read_text())
    assert (rule["videos"], rule["guards_lifted"]) == ("max", {"label_polarity": "why"})
