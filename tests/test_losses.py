from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training import losses
from small_training import network, recipe

torch.set_num_threads(1)

ONES = torch.ones(2, dtype=torch.float64)
LABELS = st.lists(st.integers(0, 1), min_size=1, max_size=30).map(torch.tensor)
LOGITS = st.lists(st.floats(-30, 30), min_size=4, max_size=4).map(lambda values: torch.tensor(values).double())


def loss(kind, outputs, labels, weights=ONES, of=None, **changes):
    chance = torch.Generator().manual_seed(0)
    return losses.against_labels(of or network(kind), outputs, labels, recipe(loss=kind, **changes), weights, chance)


# --- labels ----------------------------------------------------------------------------------------------------------


def test_weights_of_the_classes():
    labels = torch.tensor([0] * 6 + [1] * 2)

    def weights(asked, self_blend=0.0):
        how = recipe(class_weights=asked)
        blended = how.augment.model_copy(update={"self_blend": self_blend})
        return losses.class_weights(labels, how.model_copy(update={"augment": blended})).tolist()

    assert weights("balanced") == [1, 3]
    assert weights("balanced", self_blend=0.5) == [1, 3 / 5]  # three reals of six are shown as fakes
    assert weights("balanced", self_blend=1.0) == [1, 1]
    assert weights(None) == [1, 1]
    assert weights([0.7, 1.3]) == [0.7, 1.3]


def test_rare_fakes_weigh_as_much_as_the_reals():
    labels = torch.tensor([0] * 6 + [1] * 2)
    each = loss("bce", torch.zeros(8, 1), labels, losses.class_weights(labels, recipe(class_weights="balanced")))
    assert float(each[:6].sum()) == pytest.approx(float(each[6:].sum()))


@given(LOGITS, st.lists(st.integers(0, 1), min_size=4, max_size=4).map(torch.tensor))
def test_one_output_and_two_are_the_same_loss(logits, labels):
    weights = torch.tensor([1.0, 2.5], dtype=torch.float64)
    two = torch.stack([torch.full_like(logits, 0.3), logits + 0.3], dim=1)
    one = loss("bce", logits[:, None], labels, weights)
    assert torch.allclose(loss("cross_entropy", two, labels, weights), one, atol=1e-9)
    published = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, labels.double(), pos_weight=weights[1], reduction="none"
    )
    assert torch.allclose(one, published, atol=1e-9)


@pytest.mark.parametrize("kind", ["bce", "cross_entropy"])
def test_labels_and_weights_follow_what_the_outputs_mean(kind):
    labels, weights = torch.tensor([0, 0, 1]), torch.tensor([1.0, 3.0], dtype=torch.float64)
    outputs = torch.tensor([[0.4], [-2.0], [1.0]]) if kind == "bce" else torch.tensor([[0, 0.4], [1, -1.0], [0, 1.0]])
    turned = -outputs if kind == "bce" else outputs.flip(1)
    as_published = network(kind, ("fake", "real"))
    assert torch.allclose(loss(kind, turned, labels, weights, as_published), loss(kind, outputs, labels, weights))


def test_a_second_sigmoid_cannot_bring_the_loss_to_zero():
    perfect = loss("bce", torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), of=network(sigmoid=True))
    assert perfect.tolist() == pytest.approx([log(2), log(1 + exp(-1))])


# --- triplets --------------------------------------------------------------------------------------------------------


@given(LABELS, st.integers(0, 5))
def test_triplets_are_of_one_class_and_of_the_other(labels, seed):
    anchors, positives, negatives = losses.triplets(labels, torch.Generator().manual_seed(seed))
    fakes = int(labels.sum())
    reals = len(labels) - fakes
    expected = [row for row, label in enumerate(labels) if (fakes if label else reals) > 1 and fakes and reals]
    assert sorted(anchors.tolist()) == expected
    assert torch.equal(labels[anchors], labels[positives])
    assert (anchors != positives).all()
    assert (labels[anchors] != labels[negatives]).all()


def test_every_partner_is_drawn_at_times():
    labels, chance = torch.tensor([0, 0, 0, 1, 1]), torch.Generator().manual_seed(0)
    drawn = set()
    for _ in range(200):
        drawn |= set(zip(*(rows.tolist() for rows in losses.triplets(labels, chance)), strict=True))
    reals, fakes = {0, 1, 2}, {3, 4}
    assert drawn == {
        (anchor, positive, negative)
        for own, others in ((reals, fakes), (fakes, reals))
        for anchor in own
        for positive in own - {anchor}
        for negative in others
    }


def test_the_triplet_loss_by_hand():
    embeddings = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]], requires_grad=True)
    each = loss("triplet", embeddings, torch.tensor([0, 0, 1]), triplet_margin=1.5)
    assert each.tolist() == pytest.approx([5 - 2 + 1.5, 5 - 13**0.5 + 1.5, 0], abs=1e-4)
    each.mean().backward()
    assert embeddings.grad.isfinite().all() and embeddings.grad.abs().sum() > 0


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1]])
def test_a_batch_without_triplets_costs_nothing(labels):
    embeddings = torch.ones(len(labels), 2, requires_grad=True)
    each = loss("triplet", embeddings, torch.tensor(labels))
    each.sum().backward()
    assert each.tolist() == [0] * len(labels)
    assert embeddings.grad.abs().sum() == 0


# --- teachers --------------------------------------------------------------------------------------------------------


@given(LOGITS, LOGITS, st.floats(0.5, 10))
def test_a_teacher_is_the_divergence_of_two_classes(student, teacher, temperature):
    def two(logits):
        return torch.stack([torch.zeros_like(logits), logits], dim=1) / temperature

    divergence = torch.nn.functional.kl_div(
        two(student).log_softmax(1), two(teacher).log_softmax(1), log_target=True, reduction="none"
    )
    found = losses.against_teacher(student, teacher, temperature)
    assert torch.allclose(found, temperature**2 * divergence.sum(1), atol=1e-8)
    assert (found > -1e-9).all()
    assert torch.allclose(losses.against_teacher(teacher, teacher, temperature), torch.zeros(4).double(), atol=1e-12)


def test_the_pull_of_a_teacher_is_towards_its_probability():
    student = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([2.0, -1.0], dtype=torch.float64)
    losses.against_teacher(student, teacher, 1.0).sum().backward()
    assert torch.allclose(student.grad, student.detach().sigmoid() - teacher.sigmoid())
