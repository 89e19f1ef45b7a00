import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dealing import Deal, parts
from pipeline.errors import UserError

SPLITS = ("train", "val", "test")


def samples_of(counts):
    """A table of `counts[split]` pictures each, of two datasets in turn."""
    rows = [
        {"key": f"{('b', 'a')[number % 2]}__{split}{number}", "dataset": ("b", "a")[number % 2], "split": split}
        for split, count in zip(SPLITS, counts, strict=True)
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=["key", "dataset", "split"])


tables = st.tuples(*[st.integers(10, 35)] * 3).map(samples_of)  # a share of 0.05 of two splits is a picture at least
deals = st.builds(
    Deal,
    val=st.sampled_from([0.05, 0.15, 0.2, 1 / 3, 0.5]),
    test=st.sampled_from([0.0, 0.15, 0.3]),
    copies=st.integers(1, 3),
    seed=st.integers(0, 9),
)


@given(tables, st.sampled_from(["val", "test"]))
def test_without_a_deal_parts_are_the_splits(samples, validate_on):
    learned = parts(samples, None, validate_on)
    expected = samples[samples.split.isin(["train", validate_on])]
    assert sorted(learned.key) == sorted(expected.key)
    assert (learned.part == learned.split.replace(validate_on, "val")).all()
    assert (learned["copy"] == 0).all()


@given(tables, deals)
def test_a_deal_has_every_copy_once_and_exact_shares(samples, deal):
    learned = parts(samples, deal, "val")
    pool = samples if deal.test else samples[samples.split != "test"]
    assert sorted(zip(learned.key, learned["copy"], strict=True)) == sorted(
        (key, copy) for key in pool.key for copy in range(deal.copies)
    )
    assert list(learned.columns) == [*samples.columns, "copy", "part"]
    counts = learned.part.value_counts()
    for name, share in (("train", 1 - deal.val - deal.test), ("val", deal.val), ("test", deal.test)):
        assert abs(counts.get(name, 0) - share * len(learned)) < 1
    before = samples.set_index("key").split  # only the part is dealt, the split stays what it was
    assert (learned.split.to_numpy() == before[learned.key].to_numpy()).all()


@given(tables, deals, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(samples, deal, random):
    order = list(range(len(samples)))
    random.shuffle(order)
    shuffled = samples.iloc[order]
    pd.testing.assert_frame_equal(parts(shuffled, deal, "val"), parts(samples, deal, "val"))
    pd.testing.assert_frame_equal(parts(shuffled, None, "val"), parts(samples, None, "val"))


def test_published_counts_come_out_to_the_picture():
    """8,000 and 2,000 of S0; 7,000, 1,500 and 1,500 of S1; 27,414 and 6,854 of S2 (scikit-learn rounds test up)."""
    for number, val, test, counts in (
        (10_000, 0.2, 0.0, [8_000, 2_000, 0]),
        (10_000, 0.15, 0.15, [7_000, 1_500, 1_500]),
        (34_268, 0.2, 0.0, [27_414, 6_854, 0]),
    ):
        learned = parts(samples_of((number, 0, 0)), Deal(val=val, test=test, copies=1, seed=42), "val")
        assert [int((learned.part == name).sum()) for name in SPLITS] == counts


def test_another_seed_deals_otherwise_and_the_same_seed_alike():
    samples = samples_of((60, 0, 0))
    one, two = (parts(samples, Deal(val=0.5, test=0.0, copies=1, seed=seed), "val").part for seed in (0, 1))
    assert 10 < (one != two).sum() < 50
    again = parts(samples, Deal(val=0.5, test=0.0, copies=1, seed=0), "val").part
    assert (one == again).all()


def test_copies_are_dealt_apart_from_each_other():
    learned = parts(samples_of((100, 0, 0)), Deal(val=0.5, test=0.0, copies=2, seed=0), "val")
    torn = learned.groupby("key").part.nunique() > 1
    assert 30 < torn.sum() < 70  # about half, where chance deals each copy alone


def test_a_deal_takes_the_test_split_only_when_it_makes_a_new_one():
    samples = samples_of((10, 10, 10))
    assert set(parts(samples, Deal(val=0.2, test=0.0, copies=1, seed=0), "val").split) == {"train", "val"}
    assert set(parts(samples, Deal(val=0.2, test=0.2, copies=1, seed=0), "val").split) == set(SPLITS)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(UserError, match=r"set train\.validate_on to val"):
        parts(samples_of((4, 4, 4)), Deal(val=0.2, test=0.0, copies=1, seed=0), "test")
    with pytest.raises(ValueError, match="leave something to learn from"):
        Deal(val=0.5, test=0.5, copies=1, seed=0)


@pytest.mark.parametrize(("shares", "named"), [((0.0001, 0.1), "val"), ((0.2, 0.0001), "test")])
def test_a_share_without_a_picture_is_refused(shares, named):
    deal = Deal(val=shares[0], test=shares[1], copies=1, seed=0)
    with pytest.raises(UserError, match=rf"train.deal leaves no picture of 20 for {named}"):
        parts(samples_of((10, 5, 5)), deal, "val")
