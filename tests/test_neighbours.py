import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from pipeline.errors import UserError
from pipeline.models import neighbours, stored, zoo
from pipeline.models.network import Head, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform


def clouds(count, seed, apart=1.0, width=6):
    """Embeddings as a network gives them, float32 values in float64, of two classes that overlap."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 2)
    embeddings = random.normal(size=(count, width)) + apart * labels[:, None] / np.sqrt(width)
    return embeddings.astype(np.float32).astype(np.float64), labels


TRAIN, VAL = clouds(120, 0), clouds(80, 1)


def accuracy(called, labels):
    return float((called == labels).mean())


# --- nearest neighbours ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 7, 50, 99])
def test_what_k_neighbours_call_fake_is_what_scikit_learn_calls_fake(k):
    fitted = neighbours.fit("knn", TRAIN, VAL)
    logits = neighbours.logits(fitted._replace(facts={"k": k}), VAL[0])
    rival = KNeighborsClassifier(k).fit(*TRAIN)
    assert ((logits > 0) == rival.predict(VAL[0])).all()
    share = rival.predict_proba(VAL[0])[:, 1]
    smoothed = (share * k + 1) / (k + 2)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), smoothed, atol=1e-12)


def test_k_is_the_largest_of_those_with_the_best_validation_accuracy():
    fitted = neighbours.fit("knn", TRAIN, VAL)
    each = {k: accuracy(KNeighborsClassifier(k).fit(*TRAIN).predict(VAL[0]), VAL[1]) for k in range(1, 100)}
    best = max(each.values())
    assert fitted.facts == {"k": max(k for k in each if each[k] == best), "validation_accuracy": best}


def test_no_more_neighbours_than_training_pictures():
    train = clouds(8, 2, apart=9)
    fitted = neighbours.fit("knn", train, train)
    assert fitted.facts["k"] <= 7  # all eight are half real, half fake, and call everything real
    assert fitted.facts["validation_accuracy"] == 1


def test_of_equally_near_pictures_the_first_count():
    embeddings, labels = np.zeros((6, 2)), np.array([1, 1, 0, 0, 0, 0])
    fitted = neighbours.Classifier("knn", {"embeddings": embeddings.astype(np.float32), "labels": labels}, {"k": 3})
    assert neighbours.logits(fitted, np.zeros((1, 2))) == pytest.approx(np.log(3 / 2))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_moving_all_embeddings_alike_moves_no_neighbour(seed, k):
    train, queries = clouds(12, seed), clouds(9, seed + 1)[0] // 0.25  # whole numbers: sums are exact
    train = (train[0] // 0.25, train[1])
    for_k = neighbours.Classifier("knn", {"embeddings": train[0].astype(np.float32), "labels": train[1]}, {"k": k})
    moved = {"embeddings": (train[0] + 4).astype(np.float32), "labels": train[1]}
    logits = neighbours.logits(for_k, queries)
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(neighbours.logits(for_k._replace(arrays=moved), queries + 4), logits)


# --- support vectors -------------------------------------------------------------------------------------------------


def test_the_penalty_is_the_smallest_of_those_with_the_best_validation_accuracy():
    fitted = neighbours.fit("svm", TRAIN, VAL)
    each = {C: accuracy(SVC(C=C).fit(*TRAIN).predict(VAL[0]), VAL[1]) for C in np.logspace(-4, 4, 30)}
    best = max(each.values())
    assert fitted.facts["validation_accuracy"] == best
    assert fitted.facts["C"] == min(C for C in each if each[C] == best)
    assert fitted.facts["converged"] is True


@pytest.mark.parametrize("penalty", [1e-4, 0.1, 1.0, 1e4])
def test_decisions_are_those_of_scikit_learn(penalty, monkeypatch):
    monkeypatch.setattr(neighbours, "PENALTIES", np.array([penalty]))
    fitted = neighbours.fit("svm", TRAIN, VAL)
    rival = SVC(C=penalty).fit(*TRAIN)
    np.testing.assert_allclose(neighbours.logits(fitted, VAL[0]), rival.decision_function(VAL[0]), rtol=1e-9, atol=1e-9)
    assert ((neighbours.logits(fitted, VAL[0]) > 0) == rival.predict(VAL[0])).all()


def test_a_solver_that_is_stopped_says_so(monkeypatch):
    monkeypatch.setattr(neighbours, "SOLVER_STEPS", 3)
    assert neighbours.fit("svm", TRAIN, VAL).facts["converged"] is False


# --- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["knn", "svm"])
def test_the_same_scores_after_saving_and_loading(kind, tmp_path):
    head = Head(hidden=[], dropout=[], embedding=6, sigmoid=False)
    network, facts = zoo.build(Spec(model="squeezenet1_1", outputs=6, head=head, labels=["real", "fake"]))
    transform = Transform(64, facts.mean, facts.std, facts.interpolation)
    fitted = neighbours.fit(kind, TRAIN, VAL)
    stored.save(tmp_path, Stored(network, transform, {"frame": 0.5, "video": 0.5}, fitted), {})
    loaded = stored.load(tmp_path)
    assert loaded.classifier is not None and loaded.classifier.kind == kind
    assert loaded.classifier.facts == fitted.facts
    assert dataclasses.asdict(loaded.transform) == dataclasses.asdict(transform)
    np.testing.assert_array_equal(neighbours.logits(loaded.classifier, VAL[0]), neighbours.logits(fitted, VAL[0]))


@pytest.mark.parametrize("kind", ["knn", "svm"])
def test_fitting_twice_gives_the_same(kind):
    first, again = (neighbours.fit(kind, TRAIN, VAL) for _ in range(2))
    assert first.facts == again.facts
    assert all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)


@pytest.mark.parametrize("kind", ["knn", "svm"])
def test_no_pictures_no_scores(kind):
    assert neighbours.logits(neighbours.fit(kind, TRAIN, VAL), np.empty((0, 6))).shape == (0,)


@pytest.mark.parametrize("kind", ["knn", "svm"])
def test_embeddings_that_are_all_alike_give_scores_all_the_same(kind):
    train, val = (np.ones_like(TRAIN[0]), TRAIN[1]), (np.ones_like(VAL[0]), VAL[1])
    assert len(set(neighbours.logits(neighbours.fit(kind, train, val), val[0]))) == 1


@pytest.mark.parametrize("kind", ["knn", "svm"])
@pytest.mark.parametrize("part", ["training", "validation"])
def test_one_class_alone_is_refused(kind, part):
    of_one = (VAL[0], np.zeros_like(VAL[1]))
    train, val = (of_one, VAL) if part == "training" else (TRAIN, of_one)
    with pytest.raises(UserError, match=f"classifier {kind} needs real and fake pictures; those of {part}"):
        neighbours.fit(kind, train, val)


def test_embeddings_of_a_diverged_training_are_refused():
    with pytest.raises(UserError, match="training pictures are not finite"):
        neighbours.fit("knn", (TRAIN[0] * np.nan, TRAIN[1]), VAL)
