import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import norm
from scipy.stats import t as student
from sklearn import metrics as reference

from pipeline.metrics import binary, bootstrap, weighted
from scored_items import both_classes, random_case

RANKED = ("auroc", "partial_auroc", "ap", "eer", "tpr_at_1_fpr", "tpr_at_5_fpr")


def of_scikit_learn(labels, scores, threshold, weights):
    """Every figure of binary.METRICS with `sample_weight`; NaN where the weights leave it undefined."""
    called, weighing = scores > threshold, {"sample_weight": weights}
    expected = dict.fromkeys(binary.METRICS, math.nan)
    if weights.sum() == 0:
        return expected
    fakes, reals = weights[labels == 1].sum(), weights[labels == 0].sum()
    bins = np.minimum((scores * 15).astype(int), 14)
    expected |= {
        "accuracy": reference.accuracy_score(labels, called, **weighing),
        "precision": reference.precision_score(labels, called, zero_division=np.nan, **weighing),
        "f1": reference.f1_score(labels, called, zero_division=np.nan, **weighing),
        "log_loss": reference.log_loss(labels, scores, labels=[0, 1], **weighing),
        "brier": np.average((labels - scores) ** 2, weights=weights),
        "ece": sum(abs(((scores - labels) * weights)[bins == index].sum()) for index in range(15)) / weights.sum(),
    }
    if fakes > 0:
        expected["recall"] = reference.recall_score(labels, called, **weighing)
    if reals > 0:
        expected["specificity"] = reference.recall_score(labels, called, pos_label=0, **weighing)
    if fakes > 0 and reals > 0:
        fpr, tpr, _ = reference.roc_curve(labels, scores, drop_intermediate=False, **weighing)
        expected |= {
            "auroc": reference.roc_auc_score(labels, scores, **weighing),
            "partial_auroc": reference.roc_auc_score(labels, scores, max_fpr=0.1, **weighing),
            "ap": reference.average_precision_score(labels, scores, **weighing),
            "eer": np.interp(0, fpr + tpr - 1, fpr),
            "tpr_at_1_fpr": tpr[fpr <= 0.01].max(),
            "tpr_at_5_fpr": tpr[fpr <= 0.05].max(),
            "balanced_accuracy": reference.balanced_accuracy_score(labels, called, **weighing),
        }
    return expected


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@given(both_classes, st.integers(1, 6), st.data())
def test_weighted_figures_are_those_of_scikit_learn(items, groups, data):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    member = np.arange(len(labels)) % groups
    distinct = min(groups, len(labels))
    of_each_group = st.lists(st.integers(0, 3), min_size=distinct, max_size=distinct)
    times = np.array(data.draw(st.lists(of_each_group, min_size=1, max_size=2)), dtype=float)
    found = weighted.prepare(labels, scores, member, 0.45)(times)
    for row, weights in enumerate(times[:, member]):
        expected = of_scikit_learn(labels, scores, 0.45, weights)
        here = {name: values[row] for name, values in found.items()}
        assert here == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_weighted_figures_of_many_items_are_those_of_scikit_learn():
    labels, scores, member = random_case(5, items=5000, groups=60)
    scores = np.random.default_rng(0).normal(scores, 0.1).clip(0, 1)  # hardly any ties
    times = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=3).astype(float)
    found = weighted.prepare(labels, scores, member, 0.5)(times)
    for row, weights in enumerate(times[:, member]):
        here = {name: values[row] for name, values in found.items()}
        assert here == pytest.approx(of_scikit_learn(labels, scores, 0.5, weights), rel=1e-9)


def test_intervals_are_the_bootstrap_done_step_by_step():
    labels, scores, groups = random_case(2, items=60, groups=9)
    drawn = []
    for chosen in np.random.default_rng(7).integers(9, size=(30, 9)):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in chosen])
        drawn.append(binary.binary_metrics(labels[rows], scores[rows], 0.55))
    found = bootstrap.intervals(labels, scores, groups, 0.55, 30, 7)
    whole = binary.binary_metrics(labels, scores, 0.55)
    for name in set(binary.METRICS) - {"auroc"}:
        expected = np.nanquantile([figures[name] for figures in drawn], [0.025, 0.975])
        assert found[name] == pytest.approx((whole[name], *expected), abs=1e-12), name
    auroc = whole["auroc"]
    error = np.std([figures["auroc"] for figures in drawn], ddof=1) / (auroc * (1 - auroc))
    sizes = [np.unique(groups[labels == label], return_counts=True)[1] for label in (0, 1)]
    effective = min(of_class.sum() ** 2 / (of_class**2).sum() for of_class in sizes)  # Kish's number of groups
    expected = expit(logit(auroc) + student.ppf([0.025, 0.975], effective - 1) * error)
    assert found["auroc"] == pytest.approx((auroc, *expected))


def test_intervals_in_chunks_or_of_few_figures_are_the_same(monkeypatch):
    labels, scores, groups = random_case(3)
    whole = bootstrap.intervals(labels, scores, groups, 0.5, 500, 0)
    assert bootstrap.intervals(labels, scores, groups, 0.5, 500, 0, only=("ap", "f1")) == {
        name: whole[name] for name in ("ap", "f1")
    }
    assert bootstrap.auroc_interval(labels, scores, groups, 500, 0) == whole["auroc"]
    monkeypatch.setattr(bootstrap, "_CHUNK", 3_000)
    assert bootstrap.intervals(labels, scores, groups, 0.5, 500, 0) == whole


def test_single_precision_changes_no_figure():
    labels, scores, groups = random_case(8)
    single = scores.round(1).astype(np.float32)  # many lie on the threshold and on the edges of bins
    found = bootstrap.intervals(labels, single, groups, 0.4, 10, 0)
    expected = binary.binary_metrics(labels, single, 0.4)
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(expected, rel=1e-9)


@given(both_classes)
def test_swapping_labels_mirrors_the_interval_of_the_auroc(items):
    labels, scores = (np.array(column) for column in zip(*items, strict=True))
    groups = np.arange(len(labels)) // 2
    auroc, lower, upper = bootstrap.auroc_interval(labels, scores, groups, 50, 3)
    mirrored = bootstrap.auroc_interval(1 - labels, scores, groups, 50, 3)
    assert mirrored == pytest.approx((1 - auroc, 1 - upper, 1 - lower), nan_ok=True)
    assert math.isnan(lower) or 0 <= lower <= auroc <= upper <= 1


def test_interval_covers_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        labels = np.tile([0, 1, 1], 30)  # one real and two fakes a group, which share half of their variance
        shared = np.repeat(random.normal(size=30), 3)
        scores = norm.ppf(0.9) * math.sqrt(2) * labels + math.sqrt(0.5) * (shared + random.normal(size=90))
        _, lower, upper = bootstrap.auroc_interval(labels, scores, np.arange(90) // 3, 200, seed)
        held += lower <= 0.9 <= upper
    assert 0.91 <= held / 200 <= 0.99


def test_few_groups_or_one_class_give_no_interval():
    labels, scores = np.repeat([0, 1], 3), np.array([0.1, 0.2, 0.7, 0.3, 0.8, 0.9])
    two_groups = np.array(["a", "b", "b", "a", "b", "b"])
    assert len(set(two_groups)) < bootstrap.FEWEST_GROUPS
    found = bootstrap.intervals(labels, scores, two_groups, 0.5, 200, 0)
    expected = binary.binary_metrics(labels, scores, 0.5)
    assert {name: value for name, (value, _, _) in found.items()} == pytest.approx(expected)
    assert all(math.isnan(lower) and math.isnan(upper) for _, lower, upper in found.values())
    # The reals of one group do not tell how reals differ.
    one_of_reals = np.array(list("aaabcd"))
    assert math.isnan(bootstrap.auroc_interval(labels, scores, one_of_reals, 200, 0)[1])

    only_fakes = bootstrap.intervals(np.ones(6, int), scores, np.arange(6), 0.5, 200, 0)
    assert all(map(math.isnan, only_fakes["auroc"] + only_fakes["specificity"]))
    assert only_fakes["recall"].lower < only_fakes["recall"].value == 0.5 < only_fakes["recall"].upper
    empty = bootstrap.intervals(np.array([], int), np.array([]), np.array([]), 0.5, 200, 0)
    assert tuple(empty) == binary.METRICS
    assert all(math.isnan(value) for interval in empty.values() for value in interval)
    assert all(map(math.isnan, bootstrap.auroc_interval(np.array([1, 1]), np.array([0.1, 0.2]), np.arange(2), 9, 0)))


def test_intervals_at_zero_and_one_stay_open():
    labels, scores, groups = np.repeat([0, 1], 3), np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9]), np.array(list("abcdef"))
    # Three independent pairs in order: 3 of 3 successes are as rare as 2.5 % when their chance is 0.025^(1/3).
    bound = 0.025 ** (1 / 3)
    assert bootstrap.auroc_interval(labels, scores, groups, 200, 0) == pytest.approx((1, bound, 1))
    assert bootstrap.auroc_interval(1 - labels, scores, groups, 200, 0) == pytest.approx((0, 0, 1 - bound))
    found = bootstrap.intervals(labels, scores, groups, 0.5, 200, 0)
    for name in ("accuracy", "precision", "recall", "specificity", "f1", "ap", "partial_auroc", "tpr_at_1_fpr"):
        assert found[name] == pytest.approx((1, bound, 1)), name
    assert found["eer"] == pytest.approx((0, 0, 1 - bound))
    # Equal scores tell nothing, with certainty.
    assert bootstrap.auroc_interval(labels, np.full(6, 0.5), groups, 200, 0) == (0.5, 0.5, 0.5)


def test_precision_of_a_single_call_is_hardly_known():
    labels = np.repeat([1, 0], 50)
    called = np.where(np.arange(100) == 0, 0.9, 0.1)  # one fake of 50, each of a group of its own
    right = bootstrap.intervals(labels, called, np.arange(100), 0.5, 200, 0)["precision"]
    wrong = bootstrap.intervals(1 - labels, called, np.arange(100), 0.5, 200, 0)["precision"]
    assert right == pytest.approx((1, 0.025, 1))
    assert wrong == pytest.approx((0, 0, 0.975))


def test_differences_are_made_of_the_same_draws():
    labels, scores, groups = random_case(6, items=80, groups=12)
    other = np.random.default_rng(0).normal(scores, 0.05).clip(0.01, 0.99)
    drawn = []
    for chosen in np.random.default_rng(3).integers(12, size=(20, 12)):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in chosen])
        before, after = (
            binary.binary_metrics(labels[rows], values[rows], threshold)
            for values, threshold in ((scores, 0.5), (other, 0.6))
        )
        drawn.append([after[name] - before[name] for name in binary.METRICS])
    found = bootstrap.paired_intervals(labels, scores, other, groups, (0.5, 0.6), 20, 3)
    lower, upper = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    before, after = binary.binary_metrics(labels, scores, 0.5), binary.binary_metrics(labels, other, 0.6)
    for place, name in enumerate(binary.METRICS):
        expected = (after[name] - before[name], lower[place], upper[place])
        assert found[name] == pytest.approx(expected, abs=1e-12), name


def test_two_detectors_without_an_error_are_not_proven_equal():
    labels, groups = np.tile([0, 1], 10), np.repeat(np.arange(10), 2)
    first, second = np.where(labels == 1, 0.9, 0.1), np.where(labels == 1, 0.8, 0.2)
    found = bootstrap.paired_intervals(labels, first, second, groups, (0.5, 0.5), 100, 0)
    assert found["auroc"].value == 0
    assert math.isnan(found["auroc"].lower) and math.isnan(found["auroc"].upper)
    # Nor where some draws hold no real and say nothing.
    groups = np.arange(20) % 8  # those of reals and those of fakes: a draw may miss one kind
    apart = bootstrap.paired_intervals(labels, first, second, groups, (0.5, 0.5), 1000, 0)
    assert math.isnan(apart["auroc"].lower)


def test_a_detector_does_not_differ_from_itself():
    labels, scores, groups = random_case(7)
    found = bootstrap.paired_intervals(labels, scores, scores, groups, (0.5, 0.5), 100, 0)
    assert set(found.values()) == {(0, 0, 0)}
    few = bootstrap.paired_intervals(labels, scores, scores, labels, (0.5, 0.5), 100, 0)
    assert few["auroc"].value == 0
    assert math.isnan(few["auroc"].lower)
    empty = bootstrap.paired_intervals(np.array([], int), np.array([]), np.array([]), np.array([]), (0.5, 0.5), 9, 0)
    assert tuple(empty) == binary.METRICS
