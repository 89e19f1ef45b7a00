"""Labels and scores with many ties, for the tests of figures."""

import numpy as np
from hypothesis import strategies as st

# At least one real and one fake; scores are tenths, so that many are equal and some lie on 0 and on 1.
both_classes = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 10).map(lambda tenths: tenths / 10)), min_size=2, max_size=40
).filter(lambda items: len({label for label, _ in items}) == 2)


def random_case(seed, items=200, groups=20):
    """Return labels, scores in 0..1 with many ties, and group numbers."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, items)
    scores = (random.normal(labels * 0.8, 1).round(1) + 5) / 10
    return labels, scores.clip(0.01, 0.99), random.integers(0, groups, items)
