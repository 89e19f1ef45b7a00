import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from pipeline.metrics import binary, calibration
from scored_items import both_classes


def drawn(temperature, items=4000, seed=0):
    """Labels, and scores whose logits are `temperature` times too large for them."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, items)
    return (random.random(items) < expit(logits)).astype(int), expit(logits * temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_scores_is_found(temperature):
    labels, scores = drawn(temperature)
    found = calibration.fit_temperature(labels, scores)
    assert found == pytest.approx(temperature, rel=0.1)
    # Its inverse is the only coefficient of a logistic regression on the logits, without intercept or penalty.
    logits = np.log(scores / (1 - scores)).reshape(-1, 1)
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(logits, labels)
    assert found == pytest.approx(1 / regression.coef_[0, 0], rel=1e-5)


def test_calibrated_scores_mean_more_and_keep_their_order():
    labels, scores = drawn(3.0)
    better = calibration.calibrated(scores, calibration.fit_temperature(labels, scores))
    before, after = (binary.binary_metrics(labels, values, 0.5) for values in (scores, better))
    assert after["log_loss"] < before["log_loss"]
    assert after["ece"] < 0.03 < before["ece"]
    assert after["auroc"] == pytest.approx(before["auroc"], abs=1e-12)
    assert after["accuracy"] == before["accuracy"]  # a logit of 0 stays 0


@given(both_classes)
def test_no_other_temperature_has_a_lower_loss(items):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    found = calibration.fit_temperature(labels, scores)
    if found is None:
        return
    assert found > 0

    def loss(temperature):
        calibrated = calibration.calibrated(scores, temperature)
        return -np.log(np.where(labels == 1, calibrated, 1 - calibrated)).mean()

    for other in (found / 3, found / 1.05, found * 1.05, found * 3):
        assert loss(found) <= loss(other) + 1e-8


def test_nothing_to_fit_a_temperature_on():
    assert calibration.fit_temperature(np.array([1, 1]), np.array([0.2, 0.9])) is None
    assert calibration.fit_temperature(np.array([], int), np.array([])) is None
    assert calibration.fit_temperature(np.array([0, 1]), np.array([0.2, 0.9])) is None  # the colder, the better
    assert calibration.fit_temperature(np.array([0, 1]), np.array([0.9, 0.2])) is None  # the warmer, the better
    assert calibration.fit_temperature(np.array([0, 1]), np.array([0.5, 0.5])) is None
    scores = np.array([0.0, 0.3, 1.0], dtype=np.float32)
    assert calibration.calibrated(scores, None).tolist() == scores.astype(float).tolist()


def test_scores_of_zero_and_one_stay_finite():
    labels, scores = np.array([0, 1, 1, 0, 1]), np.array([0.0, 1.0, 0.0, 0.2, 0.9])
    found = calibration.fit_temperature(labels, scores)
    assert found > 1  # one fake was called real with certainty
    calibrated = calibration.calibrated(scores, found)
    assert np.isfinite(np.log(calibrated)).all()
    assert np.isfinite(np.log(1 - calibrated)).all()
    assert calibration.calibrated(scores, 1.0) == pytest.approx(scores, abs=1e-15)


@given(both_classes, st.sampled_from([1, 5, 15]))
def test_the_reliability_diagram_holds_every_item_once(items, bins):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    rows = calibration.reliability(labels, scores, bins)
    assert sum(row["count"] for row in rows) == len(labels)
    assert sum(row["count"] * row["share_fake"] for row in rows) == pytest.approx(labels.sum())
    assert [row["low"] for row in rows] == sorted(row["low"] for row in rows)
    for row in rows:
        assert row["low"] - 1e-12 <= row["mean_score"] <= row["high"] + 1e-12
    if bins == binary.CALIBRATION_BINS:
        error = sum(row["count"] * abs(row["mean_score"] - row["share_fake"]) for row in rows) / len(labels)
        assert binary.expected_calibration_error(labels, scores) == pytest.approx(error)


def test_the_reliability_diagram_is_that_of_scikit_learn():
    labels, scores = drawn(2.0, items=500)  # no score on an edge, where scikit-learn takes the other bin
    rows = calibration.reliability(labels, scores)
    shares, means = calibration_curve(labels, scores, n_bins=15)
    assert [row["share_fake"] for row in rows] == pytest.approx(shares)
    assert [row["mean_score"] for row in rows] == pytest.approx(means)
