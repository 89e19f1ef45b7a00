import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from pipeline import metrics


def random_case(seed, items=200, groups=20):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, items)
    scores = (random.normal(labels * 0.8, 1).round(1) + 5) / 10  # rounded: many ties
    return labels, scores.clip(0.01, 0.99), random.integers(0, groups, items)


def test_figures_agree_with_scikit_learn():
    labels, scores, _ = random_case(1)
    found = metrics.binary_metrics(labels, scores, 0.55)
    called = scores > 0.55
    assert found["accuracy"] == reference.accuracy_score(labels, called)
    assert found["precision"] == reference.precision_score(labels, called)
    assert found["recall"] == reference.recall_score(labels, called)
    assert found["f1"] == pytest.approx(reference.f1_score(labels, called))
    assert found["auroc"] == reference.roc_auc_score(labels, scores)
    assert found["ap"] == reference.average_precision_score(labels, scores)
    assert found["log_loss"] == pytest.approx(-np.mean(np.log(np.where(labels == 1, scores, 1 - scores))))


def test_figures_of_a_case_done_by_hand():
    labels = np.array([0, 0, 0, 1, 1])
    scores = np.array([0.1, 0.4, 0.7, 0.6, 0.9])  # one real above one fake: 5 of 6 pairs in order
    found = metrics.binary_metrics(labels, scores, 0.5)
    expected = {"accuracy": 4 / 5, "precision": 2 / 3, "recall": 1.0, "f1": 0.8, "auroc": 5 / 6, "ap": 1 / 2 + 1 / 3}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    # FPR and FNR along the ROC: (0, 1), (0, 1/2), (1/3, 1/2), (1/3, 0): equal, at 1/3, on the last piece.
    assert found["eer"] == pytest.approx(1 / 3)


def test_equal_error_rate_between_two_points_of_the_roc():
    # All scores equal: the ROC is the diagonal, crossed in its middle.
    assert metrics.equal_error_rate(np.array([0, 1, 1]), np.array([0.3, 0.3, 0.3])) == pytest.approx(0.5)
    # Points (FPR, FNR) (0, 1), (0, 0.5), (1, 0): the line from the second to the third meets FPR = FNR at 1/3.
    assert metrics.equal_error_rate(np.array([1, 1, 0]), np.array([0.9, 0.5, 0.5])) == pytest.approx(1 / 3)
    assert metrics.equal_error_rate(np.array([0, 1]), np.array([0.1, 0.2])) == 0
    assert metrics.equal_error_rate(np.array([0, 1]), np.array([0.2, 0.1])) == 1


def test_what_one_class_cannot_tell_is_nan():
    found = metrics.binary_metrics(np.array([0, 0, 0]), np.array([0.1, 0.2, 0.9]), 0.5)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.1]).mean())
    assert found["precision"] == 0  # one real was called fake
    for name in ("recall", "auroc", "ap", "eer"):
        assert math.isnan(found[name]), name
    nothing_called = metrics.binary_metrics(np.array([0, 1]), np.array([0.1, 0.2]), 0.5)
    assert math.isnan(nothing_called["precision"])
    assert nothing_called["recall"] == nothing_called["f1"] == 0
    empty = metrics.binary_metrics(np.array([], int), np.array([]), 0.5)
    assert len(empty) == 8
    assert all(math.isnan(value) for value in empty.values())
    assert all(
        map(math.isnan, metrics.auroc_interval(np.array([1, 1]), np.array([0.1, 0.2]), np.array([0, 1]), 200, 0))
    )
    assert math.isnan(metrics.best_threshold(np.array([1, 1]), np.array([0.1, 0.2])))


cases = st.lists(st.tuples(st.integers(0, 1), st.integers(-20, 20)), min_size=2, max_size=40).filter(
    lambda items: len({label for label, _ in items}) == 2
)


@settings(deadline=None)
@given(cases)
def test_swapping_labels_swaps_auroc(items):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    groups = np.arange(len(labels))
    auroc = metrics.auroc_interval(labels, scores, groups, 10, 0)[0]
    assert metrics.auroc_interval(1 - labels, scores, groups, 10, 0)[0] == pytest.approx(1 - auroc)
    assert auroc == pytest.approx(reference.roc_auc_score(labels, scores))


@settings(deadline=None)
@given(cases)
def test_only_the_order_of_scores_counts(items):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    groups = np.arange(len(labels)) // 2
    stretched = np.exp(scores / 3.0) * 7 - 2
    assert metrics.auroc_interval(labels, stretched, groups, 50, 3) == pytest.approx(
        metrics.auroc_interval(labels, scores, groups, 50, 3), nan_ok=True
    )
    assert metrics.equal_error_rate(labels, stretched) == pytest.approx(metrics.equal_error_rate(labels, scores))


def test_interval_is_the_bootstrap_done_step_by_step():
    labels, scores, groups = random_case(2, items=60, groups=9)
    drawn = []
    for times in np.random.default_rng(7).multinomial(9, [1 / 9] * 9, size=300):
        rows = np.concatenate([np.repeat(np.flatnonzero(groups == group), n) for group, n in enumerate(times)])
        drawn.append(reference.roc_auc_score(labels[rows], scores[rows]))
    found = metrics.auroc_interval(labels, scores, groups, 300, 7)
    assert found == pytest.approx((reference.roc_auc_score(labels, scores), *np.quantile(drawn, [0.025, 0.975])))


def test_interval_in_chunks_equals_interval_in_one(monkeypatch):
    labels, scores, groups = random_case(3)
    whole = metrics.auroc_interval(labels, scores, groups, 500, 0)
    monkeypatch.setattr(metrics, "_CHUNK", 3_000)
    assert metrics.auroc_interval(labels, scores, groups, 500, 0) == whole


def test_interval_covers_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 20).repeat(3)
        per_group = np.repeat(random.normal(np.repeat([0, 1], 20), 1), 3)  # three equal items a group
        _, lower, upper = metrics.auroc_interval(labels, per_group, np.arange(120) // 3, 300, seed)
        held += lower <= 0.7602 <= upper  # AUROC of two unit normals one apart: Phi(1 / sqrt 2)
    assert 0.88 <= held / 200 <= 0.99


def test_interval_with_few_groups_or_perfect_separation():
    labels, scores = np.repeat([0, 1], 3), np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    few = np.array(["a", "b", "b", "a", "b", "b"])
    assert len(set(few)) < metrics.FEWEST_GROUPS
    auroc, lower, upper = metrics.auroc_interval(labels, scores, few, 200, 0)
    assert auroc == 1
    assert math.isnan(lower)
    assert math.isnan(upper)
    # Three independent pairs in order: 3 of 3 successes are as rare as 2.5 % when their chance is 0.025^(1/3).
    groups = np.array(list("abcdef"))
    bound = 0.025 ** (1 / 3)
    assert metrics.auroc_interval(labels, scores, groups, 200, 0) == pytest.approx((1, bound, 1))
    assert metrics.auroc_interval(1 - labels, scores, groups, 200, 0) == pytest.approx((0, 0, 1 - bound))
    # Equal scores tell nothing, with certainty.
    assert metrics.auroc_interval(labels, np.full(6, 0.5), groups, 200, 0) == (0.5, 0.5, 0.5)


def test_threshold_has_the_best_balanced_accuracy():
    labels, scores, _ = random_case(4)
    threshold = metrics.best_threshold(labels, scores)
    best = max(reference.balanced_accuracy_score(labels, scores > other) for other in np.linspace(0, 1, 501))
    assert reference.balanced_accuracy_score(labels, scores > threshold) == pytest.approx(best)


def test_threshold_lies_midway_and_next_to_one_half():
    assert metrics.best_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.8, 0.9])) == pytest.approx(0.55)
    # 0.2 and 0.85 both get one class whole and half of the other; 0.2 is the nearer to 0.5.
    assert metrics.best_threshold(np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.8, 0.9])) == pytest.approx(0.2)
    assert metrics.best_threshold(np.array([0, 1]), np.array([0.4, 0.4])) == pytest.approx(0.4)
