import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from pipeline.metrics import binary
from scored_items import both_classes, random_case


@given(both_classes, st.sampled_from([0.1, 0.45, 0.5, 0.9]))
def test_figures_agree_with_scikit_learn(items, threshold):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    found = binary.binary_metrics(labels, scores, threshold)
    called = scores > threshold
    fpr, tpr, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
    expected = {
        "auroc": reference.roc_auc_score(labels, scores),
        "partial_auroc": reference.roc_auc_score(labels, scores, max_fpr=0.1),
        "ap": reference.average_precision_score(labels, scores),
        "tpr_at_1_fpr": max(rate for false, rate in zip(fpr, tpr, strict=True) if false <= 0.01),
        "tpr_at_5_fpr": max(rate for false, rate in zip(fpr, tpr, strict=True) if false <= 0.05),
        "accuracy": reference.accuracy_score(labels, called),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, called),
        "precision": reference.precision_score(labels, called, zero_division=np.nan),
        "recall": reference.recall_score(labels, called),
        "specificity": reference.recall_score(labels, called, pos_label=0),
        "f1": reference.f1_score(labels, called),
        "log_loss": reference.log_loss(labels, scores),
        "brier": reference.brier_score_loss(labels, scores),
    }
    assert {*expected, "eer", "ece"} == set(binary.METRICS) == set(found)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_figures_of_a_case_done_by_hand():
    labels = np.array([0, 0, 0, 1, 1])
    scores = np.array([0.1, 0.4, 0.7, 0.6, 0.9])  # one real above one fake: 5 of 6 pairs in order
    found = binary.binary_metrics(labels, scores, 0.5)
    expected = {"accuracy": 4 / 5, "precision": 2 / 3, "recall": 1.0, "specificity": 2 / 3, "balanced_accuracy": 5 / 6}
    expected |= {"f1": 0.8, "auroc": 5 / 6, "ap": 1 / 2 + 1 / 3}
    expected |= {"tpr_at_1_fpr": 1 / 2, "tpr_at_5_fpr": 1 / 2}  # 0.6 costs a third of the reals
    # Up to an FPR of 0.1 the TPR is 1/2: an area of 0.05, where chance has 0.005 and perfection 0.1.
    expected |= {"partial_auroc": (1 + (0.05 - 0.005) / (0.1 - 0.005)) / 2}
    expected |= {"brier": (0.01 + 0.16 + 0.49 + 0.16 + 0.01) / 5, "log_loss": -np.log([0.9, 0.6, 0.3, 0.6, 0.9]).mean()}
    expected |= {"ece": (0.1 + 0.4 + 0.7 + 0.4 + 0.1) / 5}  # each score alone in its bin
    # FPR and FNR along the ROC: (0, 1), (0, 1/2), (1/3, 1/2), (1/3, 0): equal, at 1/3, on the last piece.
    expected |= {"eer": 1 / 3}
    assert found == pytest.approx(expected)


def test_equal_error_rate_between_two_points_of_the_roc():
    # All scores equal: the ROC is the diagonal, crossed in its middle.
    assert binary.equal_error_rate(np.array([0, 1, 1]), np.array([0.3, 0.3, 0.3])) == pytest.approx(0.5)
    # Points (FPR, FNR) (0, 1), (0, 0.5), (1, 0): the line from the second to the third meets FPR = FNR at 1/3.
    assert binary.equal_error_rate(np.array([1, 1, 0]), np.array([0.9, 0.5, 0.5])) == pytest.approx(1 / 3)
    assert binary.equal_error_rate(np.array([0, 1]), np.array([0.1, 0.2])) == 0
    assert binary.equal_error_rate(np.array([0, 1]), np.array([0.2, 0.1])) == 1


def test_true_positive_rate_counts_a_point_that_lies_at_the_limit():
    labels, scores = np.repeat([0, 1], [20, 10]), np.r_[np.full(19, 0.1), 0.7, np.full(6, 0.6), np.full(4, 0.8)]
    assert binary.true_positive_rate_at(labels, scores, 0.05) == 1.0  # 1 of 20 reals
    assert binary.true_positive_rate_at(labels, scores, 0.049) == 0.4


def test_calibration_error_adds_up_the_bins_not_the_items():
    # One bin: mean score 0.55, two of four are fakes; the errors of its items cancel.
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.54, 0.54, 0.56, 0.56])
    assert binary.expected_calibration_error(labels, scores) == pytest.approx(0.05)
    assert binary.bin_of(np.array([0.0, 0.0666, 0.0667, 0.2, 0.9999, 1.0]), 15).tolist() == [0, 0, 1, 3, 14, 14]


def test_what_one_class_cannot_tell_is_nan():
    found = binary.binary_metrics(np.array([0, 0, 0]), np.array([0.1, 0.2, 0.9]), 0.5)
    assert found["accuracy"] == found["specificity"] == pytest.approx(2 / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.1]).mean())
    assert found["precision"] == 0  # one real was called fake
    undefined = {"recall", "balanced_accuracy", "auroc", "partial_auroc", "ap", "eer", "tpr_at_1_fpr", "tpr_at_5_fpr"}
    assert {name for name, value in found.items() if math.isnan(value)} == undefined
    nothing_called = binary.binary_metrics(np.array([0, 1]), np.array([0.1, 0.2]), 0.5)
    assert math.isnan(nothing_called["precision"])
    assert nothing_called["recall"] == nothing_called["f1"] == 0
    empty = binary.binary_metrics(np.array([], int), np.array([]), 0.5)
    assert tuple(empty) == binary.METRICS
    assert all(math.isnan(value) for value in empty.values())
    assert math.isnan(binary.best_threshold(np.array([1, 1]), np.array([0.1, 0.2])))


@given(both_classes)
def test_swapping_the_classes_keeps_what_does_not_tell_them_apart(items):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    found = binary.binary_metrics(labels, scores, 0.45)
    only_labels = binary.binary_metrics(1 - labels, scores, 0.45)
    assert only_labels["auroc"] == pytest.approx(1 - found["auroc"])
    assert only_labels["accuracy"] == pytest.approx(1 - found["accuracy"])
    labels_and_scores = binary.binary_metrics(1 - labels, 1 - scores, 0.55)
    for name in ("auroc", "eer", "accuracy", "balanced_accuracy", "log_loss", "brier"):
        assert labels_and_scores[name] == pytest.approx(found[name]), name
    assert labels_and_scores["recall"] == pytest.approx(found["specificity"])


@given(both_classes)
def test_only_the_order_of_scores_counts(items):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    stretched = np.exp(scores) / 3
    found, other = (binary.binary_metrics(labels, values, 0.5) for values in (scores, stretched))
    for name in ("auroc", "partial_auroc", "ap", "eer", "tpr_at_1_fpr", "tpr_at_5_fpr"):
        assert other[name] == pytest.approx(found[name]), name


def test_threshold_has_the_best_balanced_accuracy():
    labels, scores, _ = random_case(4)
    threshold = binary.best_threshold(labels, scores)
    best = max(reference.balanced_accuracy_score(labels, scores > other) for other in np.linspace(0, 1, 101))
    assert reference.balanced_accuracy_score(labels, scores > threshold) == pytest.approx(best)


def test_threshold_lies_midway_and_next_to_one_half():
    assert binary.best_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.8, 0.9])) == pytest.approx(0.55)
    # 0.2 and 0.85 both get one class whole and half of the other; 0.2 is the nearer to 0.5.
    assert binary.best_threshold(np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.8, 0.9])) == pytest.approx(0.2)
    assert binary.best_threshold(np.array([0, 1]), np.array([0.4, 0.4])) == pytest.approx(0.4)
