"""Nearest neighbours and support vectors on a network's embeddings, in place of its last layer.

Embeddings are taken as the network gives them, neither standardised nor scaled to length 1: distances are what the
triplet loss trained.
"""

import sys
import time
import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError

Kind = Literal["knn", "svm"]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

MOST_NEIGHBOURS = 99
PENALTIES = np.logspace(-4, 4, 30)  # C, the price of a training picture on the wrong side of the margin
SOLVER_STEPS = 1_000_000  # per penalty; large ones may go on for hours on classes that overlap
SOLVER_MEMORY = 1000  # MB of kernel values that the solver keeps
LOG_SECONDS = 10.0
CHUNK = 512  # pictures whose distances to all training pictures are in memory at once


class Classifier(NamedTuple):
    """A fitted classifier: `arrays` is all that it needs, to be stored as tensors; `facts` is plain JSON.

    knn: arrays embeddings (n, width) float32 and labels (n,) int64 of the training pictures; facts k.
    svm: arrays support (m, width) float32, coefficients (m,) and intercept (1,) float64; facts C, gamma, converged.
    Both facts hold validation_accuracy, by which they were chosen.
    """

    kind: Kind
    arrays: dict[str, npt.NDArray[Any]]
    facts: dict[str, Any]


def fit(kind: Kind, train: tuple[Floats, Labels], val: tuple[Floats, Labels]) -> Classifier:
    """Fit every candidate on the `train` embeddings (n, width) and labels (n,), 0 = real; keep the best on `val`.

    knn: k from 1 to 99, or to the number of training pictures. svm: a radial kernel and 30 penalties C from 1e-4 to
    1e4, evenly spaced in their logarithm; the time grows with the square of the pictures (one core, 128 numbers each:
    4,000 pictures 20 s, so 30,000 some 20 minutes). The accuracy on validation decides; of equals the smoother, which
    is the larger k and the smaller C. Raises UserError where either part lacks a class or an embedding is not finite.
    """
    for part, (embeddings, labels) in (("training", train), ("validation", val)):
        if len(np.unique(labels)) < 2:
            raise UserError(f"train.classifier {kind} needs real and fake pictures; those of {part} are of one class")
        if not np.isfinite(embeddings).all():
            raise UserError(
                f"train.classifier {kind}: the network's embeddings of {part} pictures are not finite; "
                "the training diverged, try a lower train.learning_rate"
            )
    return _fit_knn(train, val) if kind == "knn" else _fit_svm(train, val)


def logits(classifier: Classifier, embeddings: Floats) -> Floats:
    """Return the logit of fake (n,) of `embeddings` (n, width); above 0 is what the classifier calls fake.

    knn: log((f + 1) / (k - f + 1)) of the f fakes among the k nearest: the share of fakes with one more of each class
    (Laplace's rule of succession), so that it stays finite when all are of one. svm: the signed distance from the
    boundary in units of the margin, taken as a logit as it is: its probabilities are in the right order and not
    calibrated.
    """
    if classifier.kind == "svm":
        return _decisions(classifier, embeddings)
    k = classifier.facts["k"]
    fakes = _nearest(classifier, embeddings, k).sum(axis=1)
    return np.asarray(np.log((fakes + 1) / (k - fakes + 1)))


# --- nearest neighbours ----------------------------------------------------------------------------------------------


def _fit_knn(train: tuple[Floats, Labels], val: tuple[Floats, Labels]) -> Classifier:
    learned = Classifier("knn", {"embeddings": train[0].astype(np.float32), "labels": train[1]}, {})
    most = min(MOST_NEIGHBOURS, len(train[1]))
    fakes = _nearest(learned, val[0], most).cumsum(axis=1)  # column k - 1: of the k nearest
    called_fake = 2 * fakes > np.arange(1, most + 1)
    right = (called_fake == (val[1] == 1)[:, None]).sum(axis=0)
    k = most - int(right[::-1].argmax())
    return learned._replace(facts={"k": k, "validation_accuracy": float(right[k - 1] / len(val[1]))})


def _nearest(classifier: Classifier, embeddings: Floats, k: int) -> Labels:
    """Return the labels of the k nearest training pictures, (n, k), nearest first; of equally near ones the first."""
    from sklearn.metrics import euclidean_distances

    learned, labels = classifier.arrays["embeddings"].astype(np.float64), classifier.arrays["labels"].astype(np.int64)
    found = np.empty((len(embeddings), k), np.int64)
    for start in range(0, len(embeddings), CHUNK):
        distances = euclidean_distances(embeddings[start : start + CHUNK], learned, squared=True)
        reach = np.partition(distances, k - 1, axis=1)[:, k - 1]
        for row, (distance, farthest) in enumerate(zip(distances, reach, strict=True), start):
            near = np.flatnonzero(distance <= farthest)
            found[row] = labels[near[np.argsort(distance[near], kind="stable")[:k]]]
    return found


# --- support vectors -------------------------------------------------------------------------------------------------


def _fit_svm(train: tuple[Floats, Labels], val: tuple[Floats, Labels]) -> Classifier:
    spread = float(train[0].var())
    gamma = 1 / (train[0].shape[1] * spread) if spread else 1.0  # scikit-learn's "scale"
    best: Classifier | None = None
    accuracy = -1.0
    start = said = time.monotonic()
    for done, penalty in enumerate(PENALTIES, 1):
        candidate = _support_vectors(train, float(penalty), gamma)
        now = float(((_decisions(candidate, val[0]) > 0) == (val[1] == 1)).mean())
        if now > accuracy:
            best, accuracy = candidate, now
        if time.monotonic() - said > LOG_SECONDS:
            said = time.monotonic()
            print(f"svm: {done} of {len(PENALTIES)} penalties, {said - start:.0f} s", file=sys.stderr, flush=True)
    assert best is not None
    return best._replace(facts=best.facts | {"validation_accuracy": accuracy})


def _support_vectors(train: tuple[Floats, Labels], penalty: float, gamma: float) -> Classifier:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVC

    machine = SVC(C=penalty, kernel="rbf", gamma=gamma, cache_size=SOLVER_MEMORY, max_iter=SOLVER_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # kept as a fact instead
        machine.fit(train[0].astype(np.float32).astype(np.float64), train[1])
    arrays: dict[str, npt.NDArray[Any]] = {
        "support": np.ascontiguousarray(machine.support_vectors_, np.float32),
        "coefficients": np.ascontiguousarray(machine.dual_coef_[0], np.float64),
        "intercept": np.ascontiguousarray(machine.intercept_, np.float64),
    }
    return Classifier("svm", arrays, {"C": penalty, "gamma": gamma, "converged": machine.fit_status_ == 0})


def _decisions(classifier: Classifier, embeddings: Floats) -> Floats:
    from sklearn.metrics.pairwise import rbf_kernel

    support = classifier.arrays["support"].astype(np.float64)
    found = [
        rbf_kernel(embeddings[start : start + CHUNK], support, classifier.facts["gamma"])
        @ classifier.arrays["coefficients"]
        for start in range(0, len(embeddings), CHUNK)
    ]
    return np.concatenate([np.empty(0), *found]) + classifier.arrays["intercept"]
