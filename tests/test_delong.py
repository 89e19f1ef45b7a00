import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics import delong

# 113 patients with an aneurysmal subarachnoid haemorrhage (Turck et al., Intensive Care Medicine 36, 2010; the data set
# aSAH of the R package pROC 1.18.0): outcome (good, poor), WFNS grade, S100B and NDKA in micrograms per litre.
PATIENTS = """
G 1 .13 3.01   G 1 .14 8.54   G 1 .1 8.09   G 1 .04 10.42   P 3 .13 17.4   P 2 .1 12.75   G 5 .47 6   P 4 .16 13.2
G 1 .18 15.54   G 2 .1 6.01   P 5 .12 15.96   G 2 .1 17.86   P 5 .44 5.18   P 5 .71 8.9   G 1 .04 13.41
G 2 .08 20.75   P 5 .49 11.6   G 2 .04 16.11   P 2 .07 32.37   P 5 .33 54.82   P 2 .09 32.41   G 1 .09 49.94
P 1 .07 40.34   G 1 .11 9.47   G 1 .07 6.29   G 2 .17 12.53   G 1 .07 6.54   G 2 .11 6.3   G 1 .13 80.3   G 1 .19 12.8
G 3 .05 9.8   G 4 .16 9.81   P 2 .41 9.85   G 1 .14 18.21   G 4 .34 5.03   P 5 .35 14.04   P 4 .48 21.93
G 1 .09 8.02   P 4 .96 7.42   P 2 .25 8.38   G 5 .5 6.59   G 5 .46 9.63   G 1 .16 13.12   G 1 .07 7.96   G 2 .43 14.34
G 4 .45 41.43   G 1 .11 7.63   G 1 .08 7.06   G 2 .09 12.59   P 5 .86 13.56   P 5 .52 3.87   G 2 .08 9.44
G 1 .06 7.66   G 2 .13 12.98   P 5 2.07 419.19   G 1 .1 27.19   G 2 .14 22.27   G 2 .15 9.95   P 2 .07 21.22
G 1 .06 11.73   P 5 .77 10.4   G 1 .05 58.83   G 1 .09 6.39   P 2 .3 11.09   P 5 .03 12.22   P 2 .09 13.67
G 1 .04 17.21   P 4 .23 22.63   P 5 .7 12.9   G 2 .09 9.7   P 4 .27 21.57   P 4 .71 8.23   P 1 .08 72.57
P 4 .26 15.54   G 1 .08 10.51   G 2 .16 10.6   G 1 .09 14.57   P 4 .13 5.19   P 2 .1 9.63   G 1 .08 4.61
P 2 .11 21.48   G 3 .33 17.3   G 2 .11 12.71   G 4 .28 9.44   G 2 .07 11.07   G 1 .1 19.46   G 4 .32 10.83
P 5 .22 5.37   G 1 .07 11.97   G 1 .05 7.75   G 5 .24 9.83   G 4 .38 10.55   G 2 .1 28.49   G 2 .15 8.53
G 1 .08 12.57   G 1 .14 12.9   G 1 .1 46.83   G 3 .07 11.68   G 1 .04 12.67   G 2 .19 9.01   P 5 .56 9.57
P 2 .14 34.06   P 2 .58 11.72   P 5 .32 14.26   P 5 .82 47.61   P 5 .74 11.67   G 2 .15 24.58   G 4 .47 10.33
G 4 .17 13.87   P 5 .44 15.89   G 1 .15 22.43   G 1 .5 6.79   G 1 .48 13.45
"""

# What pROC's roc.test prints of them: z and p of tests/testthat/test-roc.test.R (github.com/xrobin/pROC).
PUBLISHED = {
    ("wfns", "s100b"): (2.20898359144091, 0.0271757822291882),
    ("wfns", "ndka"): (2.79777591868904, 0.00514557970691098),
    ("ndka", "s100b"): (-1.39077002573558, 0.164295175223054),
}

scores = st.integers(0, 6)
cases = st.lists(st.tuples(st.integers(0, 1), scores, scores), min_size=2, max_size=30)


@pytest.mark.parametrize("markers", PUBLISHED)
def test_a_published_example(markers):
    patients = np.array(PATIENTS.split()).reshape(-1, 4)
    poor = patients[:, 0] == "P"
    values = dict(zip(("wfns", "s100b", "ndka"), patients[:, 1:].T.astype(float), strict=True))
    assert (len(poor), poor.sum()) == (113, 41)
    first, second = (values[name] for name in markers)
    found = delong.compare(poor.astype(int), first, second)
    z, p = PUBLISHED[markers]
    assert -found.z == pytest.approx(z, rel=1e-12)  # pROC subtracts the second from the first
    assert found.p == pytest.approx(p, rel=1e-9)
    assert found.difference / found.standard_error == pytest.approx(found.z)


@given(cases)
def test_the_components_are_those_of_all_pairs(items):
    labels, first, second = (np.array(column) for column in zip(*items, strict=True))
    found = delong.compare(labels, first, second)
    reals, fakes = labels == 0, labels == 1
    if not reals.any() or not fakes.any():
        assert all(map(math.isnan, found))
        return
    # The kernel of Mann and Whitney of each pair of a fake and a real, one half where they are equal.
    kernels = [np.sign(np.subtract.outer(values[fakes], values[reals])) / 2 + 0.5 for values in (first, second)]
    assert found[:2] == pytest.approx((kernels[0].mean(), kernels[1].mean()))
    assert found.difference == pytest.approx(kernels[1].mean() - kernels[0].mean(), abs=1e-12)
    if min(reals.sum(), fakes.sum()) < 2:
        assert all(map(math.isnan, found[3:]))
        return
    covariance = sum(
        np.cov([kernel.mean(axis=axis) for kernel in kernels]) / count
        for axis, count in ((1, fakes.sum()), (0, reals.sum()))
    )
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.standard_error == pytest.approx(math.sqrt(max(variance, 0)), abs=1e-7)


@given(cases)
def test_exchanging_the_detectors_turns_the_sign(items):
    labels, first, second = (np.array(column) for column in zip(*items, strict=True))
    there, back = delong.compare(labels, first, second), delong.compare(labels, second, first)
    assert (back.first, back.second) == pytest.approx((there.second, there.first), nan_ok=True)
    assert (back.difference, back.z) == pytest.approx((-there.difference, -there.z), nan_ok=True)
    assert (back.standard_error, back.p) == pytest.approx((there.standard_error, there.p), nan_ok=True)


def test_equal_order_has_no_variance():
    labels, values = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.4, 0.5, 0.5, 0.9])
    found = delong.compare(labels, values, values**3)
    assert found[2:4] == (0, 0)
    assert math.isnan(found.z)
    assert math.isnan(found.p)
