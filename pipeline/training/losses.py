"""What a training makes small: losses per picture, of a network's raw outputs against labels or against a teacher.

Every loss here is one number per picture, and its mean over pictures is what counts: so batches of uneven size,
accumulated gradients and several processes all come to the same.
"""

import torch
from torch.nn import functional

from pipeline.models.network import Network
from pipeline.training.recipe import Recipe


def class_weights(labels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return the weights of a real and a fake picture, float64 (2,), for the training pictures' `labels` (n,).

    With `class_weights: balanced` fakes weigh reals / fakes, so that both classes count the same; a share
    `augment.self_blend` of the reals is shown as fakes.
    """
    if recipe.class_weights is None:
        return torch.ones(2, dtype=torch.float64)
    if isinstance(recipe.class_weights, list):
        return torch.tensor(recipe.class_weights, dtype=torch.float64)
    fakes = int(labels.sum())
    blended = (len(labels) - fakes) * recipe.augment.self_blend
    reals = len(labels) - fakes - blended
    return torch.tensor([1.0, reals / (fakes + blended)] if reals else [1.0, 1.0], dtype=torch.float64)


def against_labels(
    network: Network,
    outputs: torch.Tensor,
    labels: torch.Tensor,
    recipe: Recipe,
    weights: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the loss of each picture, (n,), for raw `outputs` (n, network.spec.outputs) and `labels` (n,), 1 = fake.

    bce and cross_entropy: the negative logarithm of the probability of the picture's class, times its class' weight.
    The mean is over pictures, not over weights: a picture counts the same whatever else is in its batch. A head that
    ends in a sigmoid gets a second one from bce (guard double_sigmoid).

    triplet: see `triplets`; `weights` are not used. Chance comes from `generator` (a CPU generator).
    """
    if recipe.loss == "triplet":
        return _triplet(outputs, labels, recipe.triplet_margin, generator)
    target = network.target(labels)
    if recipe.loss == "bce":
        each = functional.binary_cross_entropy_with_logits(outputs[:, 0], target.to(outputs.dtype), reduction="none")
    else:
        each = functional.cross_entropy(outputs, target.long(), reduction="none")
    return each * weights.to(each)[labels.long()]


def against_teacher(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return temperature^2 x KL(teacher || student) of each picture, (n,), for both networks' logits of fake (n,).

    Both logits are divided by the temperature first (Hinton, Vinyals and Dean, arXiv 1503.02531, section 2). A softmax
    over two outputs is a sigmoid of their difference: so one logit says all, however many outputs each network has.
    """
    student, teacher = student / temperature, teacher / temperature
    divergence = torch.zeros_like(student)
    for sign in (1, -1):
        expected = functional.logsigmoid(sign * teacher)
        divergence = divergence + expected.exp() * (expected - functional.logsigmoid(sign * student))
    return temperature**2 * divergence


def triplets(labels: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return rows of anchors, of positives and of negatives, int64 (m,) each, drawn at random for `labels` (n,).

    Every picture is the anchor once, with another picture of its class and one of the other class; those that lack
    either are left out, so that m <= n.
    """
    classes = [(labels.cpu() == label).nonzero()[:, 0] for label in (0, 1)]
    found: list[tuple[torch.Tensor, ...]] = []
    for own, others in (classes, classes[::-1]):
        count = len(own)
        if count < 2 or len(others) == 0:
            continue
        onward = torch.randint(1, count, (count,), generator=generator)  # never back at the anchor itself
        positives = own[(torch.arange(count) + onward) % count]
        negatives = others[torch.randint(len(others), (count,), generator=generator)]
        found.append((own, positives, negatives))
    if not found:
        none = torch.empty(0, dtype=torch.int64)
        return none, none, none
    anchors, positives, negatives = (torch.cat(rows) for rows in zip(*found, strict=True))
    return anchors, positives, negatives


def _triplet(embeddings: torch.Tensor, labels: torch.Tensor, margin: float, generator: torch.Generator) -> torch.Tensor:
    """Return max(0, d(anchor, positive) - d(anchor, negative) + margin) with Euclidean d; 0 where there is no triplet.

    Balntas et al., "Learning local feature descriptors with triplets" (BMVC 2016), as torch implements it.
    """
    anchors, positives, negatives = (rows.to(embeddings.device) for rows in triplets(labels, generator))
    each = functional.triplet_margin_loss(
        embeddings[anchors], embeddings[positives], embeddings[negatives], margin=margin, p=2.0, reduction="none"
    )
    return (embeddings.sum(1) * 0).index_add(0, anchors, each)
