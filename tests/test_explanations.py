"""The worst errors, and where Grad-CAM finds what led to them."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fabricated_shards import write_dataset
from pipeline import tables
from pipeline.evaluation import explanations
from pipeline.evaluation.worst import worst_errors
from pipeline.models import grad_cam, zoo
from pipeline.models.neighbours import Classifier
from pipeline.models.network import Head, Network, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform
from pipeline.reading import Samples

torch.set_num_threads(1)
HEAD = Head(hidden=[], dropout=[], embedding=6, sigmoid=False)


# --- the worst errors ------------------------------------------------------------------------------------------------


def frames(rows):
    table = pd.DataFrame(rows, columns=["video", "label", "score"])
    status = table["score"].notna().map({True: "scored", False: "unscored"})
    keys = [f"{number:03d}" for number in range(len(table))]
    return table.astype({"score": float}).assign(level="frame", status=status, key=keys)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, 0, 0.2, 0.5, 0.8, 1]))),
    st.sampled_from([0, 0.2, 0.5, 0.7, 1]),
    st.integers(0, 4),
)
def test_errors_are_wrong_and_none_left_out_is_worse(scored, threshold, count):
    scores = frames([(f"v{video}", video % 2, score) for video, score in scored])
    false_positives, false_negatives = worst_errors(scores, threshold, count)
    for label, found, worse in ((0, false_positives, 1), (1, false_negatives, -1)):
        of_class = scores[(scores.label == label) & (scores.status == "scored")]
        wrong = of_class[of_class.score > threshold] if label == 0 else of_class[of_class.score <= threshold]
        worst = (wrong.score * worse).groupby(wrong.video).max().sort_values(ascending=False)
        assert (found.score * worse).tolist() == worst.head(count).tolist()
        assert found.video.is_unique
        assert set(found.key) <= set(wrong.key)


def test_of_equal_scores_the_first_key_comes_first():
    scores = frames([("b", 0, 0.9), ("a", 0, 0.9), ("a", 0, 0.9), ("c", 0, 0.95)])
    for shuffled in (scores, scores[::-1]):
        assert worst_errors(shuffled, 0.5, 3)[0].key.tolist() == ["003", "000", "001"]


def test_scores_of_videos_are_no_frames():
    scores = frames([("a", 0, 0.9), ("b", 1, 0.1)]).assign(level="video")
    assert [len(found) for found in worst_errors(scores, 0.5, 3)] == [0, 0]


# --- Grad-CAM --------------------------------------------------------------------------------------------------------


def network(*layers, width, outputs=1, labels=("real", "fake"), hidden=()):
    torch.manual_seed(0)
    head = HEAD.model_copy(update={"hidden": list(hidden)})
    return Network(torch.nn.Sequential(*layers), width, Spec(model="", outputs=outputs, head=head, labels=list(labels)))


def pooled():
    return [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]


def sees_red():
    """Return a network whose logit is the mean of red above grey, in cells of 4 x 4 pixels, and its transform."""
    redness = torch.nn.Conv2d(3, 1, 4, stride=4)
    found = network(redness, torch.nn.ReLU(), *pooled(), width=1)
    with torch.no_grad():
        redness.weight.copy_(torch.tensor([1.0, -0.5, -0.5])[None, :, None, None].expand(1, 3, 4, 4) / 16)
        redness.bias.fill_(-0.1)  # of what grain there is between the colours
        found.head[0].weight.fill_(10.0)
        found.head[0].bias.fill_(-0.1)
    return Stored(found, Transform(56, (0.0,) * 3, (1.0,) * 3, "bilinear"), {"frame": 0.5, "video": 0.5}, None)


@given(st.tuples(st.integers(0, 44), st.integers(0, 44)), st.tuples(st.integers(0, 44), st.integers(0, 44)))
def test_the_map_lights_up_where_the_evidence_is(first, second):
    inputs = torch.full((2, 3, 56, 56), 0.5)
    for picture, (top, left) in zip(inputs, (first, second), strict=True):
        picture[0, top : top + 12, left : left + 12] = 1.0
    maps = grad_cam.heatmaps(sees_red().network, inputs)
    assert maps.shape == (2, 14, 14)
    for cells, (top, left) in zip(maps, (first, second), strict=True):
        assert cells.max() == 1
        lit = np.argwhere(cells > 0) * 4 + 2  # middles of the cells, pixels
        assert ((lit > np.array([top, left]) - 4) & (lit < np.array([top, left]) + 16)).all()


@pytest.mark.parametrize("labels", [("real", "fake"), ("fake", "real")])
@pytest.mark.parametrize("outputs", [1, 2])
def test_before_a_mean_and_a_linear_layer_it_is_the_class_activation_map(outputs, labels):
    """Selvaraju et al., section 3.1: Grad-CAM generalises CAM (Zhou et al. 2016), whose formula this is."""
    convolution = torch.nn.Conv2d(3, 5, 3)
    found = network(convolution, torch.nn.ReLU(inplace=True), *pooled(), width=5, outputs=outputs, labels=labels)
    inputs = torch.rand(3, 3, 12, 12)
    with torch.no_grad():
        weights = found.head[0].weight  # of one output: the logit of labels[1]
        against = weights[0] if outputs == 2 else torch.zeros(5)
        towards_fake = (weights[-1] - against) * (1 if labels[1] == "fake" else -1)
        maps = torch.einsum("c,nchw->nhw", towards_fake, convolution(inputs).relu()).relu()
        expected = maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)
    np.testing.assert_allclose(grad_cam.heatmaps(found, inputs), expected, atol=1e-5)


def test_nothing_for_fake_is_a_map_of_zeros():
    grey = torch.full((1, 3, 56, 56), 0.5)
    assert (grad_cam.heatmaps(sees_red().network, grey) == 0).all()


def test_a_map_depends_on_its_picture_alone_and_leaves_no_trace():
    layers = [torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.ReLU(), *pooled(), torch.nn.Dropout(0.5)]
    found = network(*layers, width=5, hidden=[8])  # whose ReLU gives each picture a gradient of its own
    torch.nn.init.normal_(found.head[0].weight)
    found.backbone.requires_grad_(False)  # as transfer learning leaves it
    before = {name: tensor.clone() for name, tensor in found.state_dict().items()}
    inputs = torch.rand(4, 3, 12, 12) * torch.tensor([-9.0, -3.0, 3.0, 9.0])[:, None, None, None]
    together = grad_cam.heatmaps(found.train(), inputs)
    alone = np.concatenate([grad_cam.heatmaps(found, inputs[row : row + 1]) for row in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert all((before[name] == tensor).all() for name, tensor in found.state_dict().items())
    assert all(weight.grad is None for weight in found.parameters())
    assert not any(module._forward_hooks for module in found.modules())
    assert not inputs.requires_grad


class Tokens(torch.nn.Module):
    """As a vision transformer: a map of patches, then tokens, of which the mean is taken."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm = torch.nn.Conv2d(3, 5, 4, stride=4), torch.nn.LayerNorm(5)

    def forward(self, inputs):
        return self.norm(self.patches(inputs).flatten(2).transpose(1, 2)).mean(1)


class ChannelsLast(Tokens):
    def forward(self, inputs):
        return self.norm(self.patches(inputs).permute(0, 2, 3, 1)).mean((1, 2))


@pytest.mark.parametrize(
    "without",
    [
        network(Tokens(), width=5),
        network(ChannelsLast(), width=5),
        network(torch.nn.Flatten(), width=3 * 8 * 8),
        network(torch.nn.Conv2d(3, 5, 3), *pooled(), width=5, outputs=6),  # an embedding
    ],
)
def test_without_a_last_feature_map_or_a_logit_there_is_no_map(without):
    assert grad_cam.heatmaps(without, torch.rand(2, 3, 8, 8)) is None


@pytest.mark.parametrize(
    ("model", "side", "cells"),
    [("mesoinception4", 256, 8), ("reactnet_a", 64, 2), ("shufflenet_v2_x0_5", 96, 3), ("resnet18", 32, 2)],
)
def test_networks_of_the_zoo(model, side, cells):
    """The last: at 32 pixels the last stage of a resnet has one cell, so that the map is the one before it."""
    torch.manual_seed(0)
    found, _ = zoo.build(Spec(model=model, outputs=1, head=HEAD, labels=["real", "fake"]))
    maps = grad_cam.heatmaps(found, torch.rand(1, 3, side, side))
    assert maps.shape == (1, cells, cells)
    assert 0 <= maps.min() <= maps.max() <= 1


# --- rows ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def all_wrong(tmp_path_factory):
    """Return test pictures, and frame rows by which all of them are called wrongly, the more the later."""
    data = tmp_path_factory.mktemp("data")
    table = write_dataset(data, "one", {"test": {"real": 4, "swap": 4}}, frames=2)
    samples = Samples(table, {"one": data / "shard/one"})
    further = np.arange(len(table)) / 100
    scores = table.assign(
        level="frame", status="scored", score=np.where(table.label == 1, 0.5 - further, 0.6 + further)
    )
    return samples, scores.sample(frac=1, random_state=0)


def test_the_worst_errors_of_each_kind_are_explained(all_wrong, tmp_path):
    samples, scores = all_wrong
    found = explanations.rows(sees_red(), samples, scores, 0.5, 2)
    expected = {key for errors in worst_errors(scores, 0.5, 2) for key in errors.key}
    assert {row["key"] for row in found} == expected
    assert len(found) == 4
    tables.write(tmp_path / "heatmaps.parquet", found, tables.HEATMAPS, order=["key"])
    for row in tables.read(tmp_path / "heatmaps.parquet", tables.HEATMAPS).itertuples():
        cells = np.frombuffer(row.values, np.uint8).reshape(row.height, row.width)
        outside = np.hypot(*(np.indices(cells.shape) - 15.5)) > 0.3 * 32 + 3  # of the disc that only fakes have
        if "swap" in row.key:
            assert cells.max() > 200
            assert cells[outside].mean() < 0.05 * cells[~outside].mean()


def test_many_pictures_are_explained_in_parts(all_wrong, monkeypatch):
    samples, scores = all_wrong
    whole = explanations.rows(sees_red(), samples, scores, 0.5, 4)
    monkeypatch.setattr(explanations, "_AT_ONCE", 3)
    assert explanations.rows(sees_red(), samples, scores, 0.5, 4) == whole
    assert len(whole) == 8


def test_without_errors_or_without_being_asked_there_are_no_maps(all_wrong):
    samples, scores = all_wrong
    assert explanations.rows(sees_red(), samples, scores, 0.5, 0) == []
    right = scores.assign(score=scores.label.astype(float))
    assert explanations.rows(sees_red(), samples, right, 0.5, 3) == []


def test_what_grad_cam_cannot_explain_has_no_maps(all_wrong):
    samples, scores = all_wrong
    model = sees_red()
    neighbours = Classifier("knn", {}, {"k": 1})
    assert explanations.rows(model._replace(classifier=neighbours), samples, scores, 0.5, 2) == []
    tokens = network(Tokens(), width=5)
    assert explanations.rows(model._replace(network=tokens), samples, scores, 0.5, 2) == []


@pytest.mark.parametrize(("crop", "margin"), [(1.0, 0), (0.875, 2), (0.5, 8)])
def test_a_map_lies_where_the_network_looked(crop, margin):
    cells = np.zeros((7, 7), np.float32)
    cells[0, 6] = 1
    whole = explanations.on_picture(cells, crop)
    assert whole.shape == (32, 32)
    assert whole[margin, 31 - margin] == 255
    looked_at = np.zeros((32, 32), bool)
    looked_at[margin : 32 - margin, margin : 32 - margin] = True
    assert (whole[~looked_at] == 0).all()
