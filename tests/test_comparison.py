"""Two runs in numbers: differences on what both scored, the cross-dataset matrix, parameters that changed."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from pipeline.metrics.bootstrap import FEW_GROUPS, FEWEST_GROUPS
from pipeline.reporting.comparison import ABSENT, METRICS, changed_params, clear, differences, matrix
from pipeline.reporting.run import Run

GROUPS = 40


def scores(skill: float, seed: int = 0, groups: int = GROUPS) -> pd.DataFrame:
    """Return the video rows of tables.SCORES that count: a real and two fakes per group."""
    noise = np.random.default_rng(seed).normal(size=3 * groups)
    label = np.tile([0, 1, 1], groups)
    return pd.DataFrame(
        {
            "level": "video",
            "key": [f"v{number}" for number in range(3 * groups)],
            "label": label,
            "group": np.repeat([f"g{number}" for number in range(groups)], 3),
            "score": 1 / (1 + np.exp(-(skill * (label - 0.5) + noise))),
            "status": "scored",
        }
    )


def run(name: str, threshold: float = 0.5, **datasets: pd.DataFrame) -> Run:
    """Return what differences() asks of a run."""
    tables = [SimpleNamespace(key=key, scores=table, threshold=threshold) for key, table in datasets.items()]
    return cast(Run, SimpleNamespace(name=name, datasets=tables))


def by_metric(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in rows}


def test_differences_are_those_of_scikit_learn():
    before, after = scores(0.5), scores(2.5, seed=1)
    rows = by_metric(differences([run("a", 0.4, one=before), run("b", 0.6, one=after)]))
    assert tuple(rows) == METRICS
    label = before.label
    for metric, first, second in (
        ("auroc", roc_auc_score(label, before.score), roc_auc_score(label, after.score)),
        ("ap", average_precision_score(label, before.score), average_precision_score(label, after.score)),
        ("accuracy", accuracy_score(label, before.score > 0.4), accuracy_score(label, after.score > 0.6)),
    ):
        row = rows[metric]
        assert (row["first"], row["second"]) == pytest.approx((first, second), abs=1e-12)
        assert row["difference"] == pytest.approx(second - first, abs=1e-12)
        assert row["lower"] < row["difference"] < row["upper"]
        assert (row["dataset"], row["run"], row["items"], row["groups"]) == ("one", "b", 3 * GROUPS, GROUPS)
    assert clear(rows["auroc"]) and not clear(rows["auroc"] | {"groups": FEW_GROUPS - 1}) and rows["auroc"]["p"] < 0.05
    assert "p takes videos of one provenance group as independent" in rows["auroc"]["note"]
    assert rows["eer"]["difference"] < 0 and rows["eer"]["p"] is None and rows["eer"]["note"] == ""


def test_the_other_way_round_is_the_opposite():
    before, after = scores(0.5), scores(2.5, seed=1)
    there = differences([run("a", one=before), run("b", one=after)])
    back = differences([run("b", one=after), run("a", one=before)])
    for row, other in zip(there, back, strict=True):
        assert row["difference"] == -other["difference"]
        assert (row["lower"], row["upper"]) == pytest.approx((-other["upper"], -other["lower"]), abs=1e-9)
        assert row["p"] == pytest.approx(other["p"])


def test_the_same_scores_differ_by_nothing():
    rows = differences([run("a", one=scores(1)), run("b", one=scores(1))])
    assert {(row["difference"], row["lower"], row["upper"], row["p"]) for row in rows} == {(0.0, 0.0, 0.0, None)}
    assert not any(map(clear, rows))


def test_only_videos_that_both_scored_under_one_label_count_and_the_others_are_told():
    before, after = scores(1), scores(2, seed=1)
    before = before.iloc[3:]  # a group less: 3 videos only in the later
    after = after.iloc[:-6]  # two groups less
    before.loc[5, ["status", "score"]] = ["unscored", np.nan]
    after.loc[6, ["status", "score"]] = ["unscored", np.nan]
    after.loc[7, "label"] = 0
    row = by_metric(differences([run("a", one=before), run("b", one=after)]))["ap"]
    kept = before.index.intersection(after.index).difference([5, 6, 7])
    assert row["items"] == len(kept) == 3 * GROUPS - 3 - 6 - 3 and row["groups"] == GROUPS - 3
    expected = average_precision_score(before.label[kept], before.score[kept])
    assert row["first"] == pytest.approx(expected, abs=1e-12)
    assert row["note"].split("; ") == [
        "the test sets differ, videos only in the first: 6, only in the later: 3",
        "videos left out that only one or none could score: 2",
        "videos left out whose label changed: 1",
    ]


def test_few_groups_give_no_interval_and_one_class_no_figure():
    few = differences(
        [run("a", one=scores(1, groups=FEWEST_GROUPS - 1)), run("b", one=scores(2, 1, groups=FEWEST_GROUPS - 1))]
    )
    assert all(row["difference"] is not None and row["lower"] is None and not clear(row) for row in few)
    fakes = scores(1)[lambda table: table.label == 1]
    one_class = by_metric(differences([run("a", one=fakes), run("b", one=fakes)]))
    assert {one_class["auroc"][name] for name in ("first", "difference", "lower", "p")} == {None}
    assert one_class["accuracy"]["difference"] == 0
    others = fakes.assign(key=lambda table: "other " + table.key)
    nothing = by_metric(differences([run("a", one=fakes), run("b", one=others)]))["accuracy"]
    assert nothing["items"] == 0 and nothing["difference"] is None and "the test sets differ" in nothing["note"]


def test_every_later_run_is_compared_with_the_first_where_both_have_the_dataset():
    runs = [run("a", one=scores(1), two=scores(1)), run("b", two=scores(2)), run("c", three=scores(1), one=scores(3))]
    found = {(row["dataset"], row["run"]) for row in differences(runs)}
    assert found == {("two", "b"), ("one", "c")}
    assert differences(runs[:1]) == []


def test_draws_hang_on_the_seed_alone():
    runs = [run("a", one=scores(1)), run("b", one=scores(2, seed=3))]
    assert differences(runs, draws=200) == differences(runs, draws=200)
    assert differences(runs, draws=200) != differences(runs, draws=200, seed=1)


def test_the_matrix_has_a_row_per_training_and_a_column_per_test_set():
    def trained(name: str, on: str, **aurocs: float) -> Run:
        columns = {"level": "video", "rule": "mean", "subset": "all", "method": "all", "compression": "all"}
        counts = {"real": 3, "fake": 4, "groups": 3, "expected": 7}
        datasets = [
            SimpleNamespace(
                key=key,
                rule={"videos": "mean"},
                metrics=pd.DataFrame(
                    [columns | {"metric": "auroc", "value": value, "lower": value - 0.1, "upper": np.nan} | counts]
                ),
            )
            for key, value in aurocs.items()
        ]
        return cast(Run, SimpleNamespace(name=name, trained_on=[on], datasets=datasets))

    rows = matrix([trained("a", "one", one=0.9, two=0.6), trained("b", "two", one=0.55, two=0.8, three=0.7)])
    assert [(row["run"], row["trained_on"], list(row["cells"])) for row in rows] == [
        ("a", ["one"], ["one", "two", "three"]),
        ("b", ["two"], ["one", "two", "three"]),
    ]
    assert rows[0]["cells"]["one"] == {"value": 0.9, "lower": 0.8, "upper": None, "trained": True}
    assert rows[0]["cells"]["three"] == {"value": None, "lower": None, "upper": None, "trained": False}
    assert [row["cells"]["two"]["trained"] for row in rows] == [False, True]


def of(document: dict[str, Any]) -> Run:
    return cast(Run, SimpleNamespace(params=document))


def test_parameters_that_differ_are_named_with_each_run_s_value():
    rows = changed_params(
        [
            of({"train": {"model": "a", "epochs": 3, "phases": []}, "gone": 1, "same": {"x": None}}),
            of({"train": {"model": "b", "epochs": 3, "phases": [{"lr": 0.1}]}, "same": {"x": None}}),
            of({"train": {"model": "a", "epochs": 3, "phases": []}, "same": {"x": None}, "new": {"y": True}}),
        ]
    )
    assert {row["name"]: row["values"] for row in rows} == {
        "train.model": ["a", "b", "a"],
        "train.phases": ["[]", '[{"lr": 0.1}]', "[]"],
        "new.y": [ABSENT, ABSENT, "true"],
        "gone": ["1", ABSENT, ABSENT],
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3) | st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.text("abc", min_size=1, max_size=2), VALUES, max_size=3)


@given(DOCUMENTS, DOCUMENTS)
def test_a_parameter_is_named_once_and_only_where_it_differs(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert changed_params([of(first), of(first)]) == []
    rows = changed_params([of(first), of(second)])
    assert len({row["name"] for row in rows}) == len(rows)
    assert all(row["values"][0] != row["values"][1] for row in rows)
