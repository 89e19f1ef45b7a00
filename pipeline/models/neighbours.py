"""Nearest neighbours and support vectors on a network's embeddings, in place of its last layer."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Kind = Literal["knn", "svm"]
Floats = npt.NDArray[np.float64]


class Classifier(NamedTuple):
    """A fitted classifier: `arrays` is all that it needs, to be stored as tensors; `facts` is plain JSON."""

    kind: Kind
    arrays: dict[str, npt.NDArray[np.float32]]
    facts: dict[str, object]  # k, or C and gamma; the accuracy on validation that it was chosen by


def fit(
    kind: Kind, train: tuple[Floats, npt.NDArray[np.int64]], val: tuple[Floats, npt.NDArray[np.int64]]
) -> Classifier:
    """Fit every candidate on the `train` embeddings (n, width) and labels (n,); keep the best on `val`."""
    raise NotImplementedError


def logits(classifier: Classifier, embeddings: Floats) -> Floats:
    """Return the logit of fake (n,) of `embeddings` (n, width)."""
    raise NotImplementedError
