import json

import numpy as np
import pytest
import torch

from fabricated_shards import write_dataset
from pipeline.errors import UserError
from pipeline.models import neighbours, scoring, stored, zoo
from pipeline.models.network import Head, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform
from pipeline.reading import Samples

torch.set_num_threads(1)

SMALL = "shufflenet_v2_x0_5"


def network_of(outputs=1, *, labels=("real", "fake"), hidden=(), sigmoid=False, model=SMALL):
    """Return a network with random weights, and what its input should be."""
    torch.manual_seed(0)
    head = Head(hidden=list(hidden), dropout=[0.3] * len(hidden), embedding=8, sigmoid=sigmoid)
    network, facts = zoo.build(Spec(model=model, outputs=outputs, head=head, labels=list(labels)))
    return network.eval(), Transform(48, facts.mean, facts.std, facts.interpolation)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return Samples(write_dataset(folder, "one", {"test": {"real": 2, "swap": 2}}), {"one": folder / "shard/one"})


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"outputs": 2},
        {"outputs": 2, "labels": ("fake", "real")},
        {"labels": ("fake", "real")},
        {"sigmoid": True},
        {"hidden": (32, 16)},
    ],
)
def test_a_stored_network_scores_as_before(kind, samples, tmp_path):
    network, transform = network_of(**kind)
    stored.save(tmp_path, Stored(network, transform, {"frame": 0.4, "video": 0.6}, None), {"best_epoch": 3})
    card = json.loads((tmp_path / "model.json").read_text())
    assert card["labels"] == {"0": "real", "1": "fake"}
    assert (card["model"], card["best_epoch"], card["classifier"]) == (SMALL, 3, None)
    loaded = stored.load(tmp_path)
    assert loaded.network.spec == network.spec
    assert loaded.transform == transform
    assert loaded.thresholds == {"frame": 0.4, "video": 0.6}
    before = scoring.logits(network, transform, samples, 5)
    assert np.array_equal(scoring.logits_of_stored(loaded, samples, 5), before)
    assert np.isfinite(before).all()
    assert scoring.logits(network, transform, samples, 1) == pytest.approx(before, abs=1e-4)


def test_scores_mean_fake_whatever_the_outputs_mean(samples):
    one, transform = network_of(labels=("fake", "real"))
    raw = scoring.outputs(one, transform, samples, 4)
    assert raw.shape == (len(samples), 1)
    assert np.array_equal(scoring.logits(one, transform, samples, 4), -raw[:, 0])

    two, _ = network_of(2)
    raw = scoring.outputs(two, transform, samples, 4)
    expected = np.exp(raw[:, 1]) / np.exp(raw).sum(axis=1)  # softmax of the output that means fake
    assert scoring.probability(scoring.logits(two, transform, samples, 4)) == pytest.approx(expected)
    turned, _ = network_of(2, labels=("fake", "real"))
    found = scoring.probability(scoring.logits(turned, transform, samples, 4))
    assert found == pytest.approx(1 - expected)

    squashed, _ = network_of(sigmoid=True)
    plain, _ = network_of()
    assert scoring.logits(squashed, transform, samples, 4) == pytest.approx(
        scoring.logits(plain, transform, samples, 4), abs=1e-4
    )


def test_a_classifier_is_stored_with_the_network_it_stands_on(samples, tmp_path):
    network, transform = network_of(8)
    embeddings = scoring.outputs(network, transform, samples, 4, embed=True)
    assert embeddings.shape == (len(samples), 8)
    part = (embeddings, samples.table["label"].to_numpy(np.int64))
    classifier = neighbours.fit("knn", part, part)
    stored.save(tmp_path, Stored(network, transform, {"frame": 0.5, "video": 0.5}, classifier), {})
    loaded = stored.load(tmp_path)
    assert loaded.classifier is not None
    assert loaded.classifier.facts == classifier.facts
    expected = neighbours.logits(classifier, embeddings)
    assert np.array_equal(scoring.logits_of_stored(loaded, samples, 4), expected)
    (tmp_path / "classifier.safetensors").unlink()
    with pytest.raises(UserError, match=r"classifier.safetensors is missing; run `dvc repro train`"):
        stored.load(tmp_path)


def test_embeddings_of_a_classifying_network_are_its_features(samples):
    network, transform = network_of(2)
    embeddings = scoring.outputs(network, transform, samples, 4, embed=True)
    assert embeddings.shape == (len(samples), 1024)
    last = network.head[0]
    expected = embeddings @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    assert scoring.outputs(network, transform, samples, 4) == pytest.approx(expected, abs=1e-4)


def test_a_stored_network_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"model.json is missing"):
        stored.load(tmp_path)
    network, transform = network_of()
    stored.save(tmp_path, Stored(network, transform, {}, None), {})
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace(SMALL, "shufflenet_v2_x1_0"))
    with pytest.raises(UserError, match=r"is not of the network in model.json"):
        stored.load(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model.safetensors is missing"):
        stored.load(tmp_path)


def test_no_pictures_have_no_scores(samples):
    network, transform = network_of()
    none = Samples(samples.table[:0], {})
    assert scoring.logits(network, transform, none, 4).shape == (0,)


def test_probability_is_the_logistic_function_at_any_size():
    logit = np.array([-1000.0, -2.0, 0.0, 2.0, 1000.0])
    assert scoring.probability(logit) == pytest.approx([0, 1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2), 1])
