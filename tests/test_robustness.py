"""Corrupted pictures, and how a detector's AUROC falls with them."""

import pickle
from itertools import pairwise

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from fabricated_shards import write_dataset
from pipeline import tables
from pipeline.evaluation import robustness
from pipeline.evaluation.corruptions import CORRUPTIONS, Knobs, blur, brightness, h264, jpeg, noise, resize
from pipeline.evaluation.robustness import Corrupted
from pipeline.models.network import Head, Network, Spec
from pipeline.models.stored import Stored
from pipeline.models.transforms import Transform
from pipeline.reading import Samples

torch.set_num_threads(1)
EVERY = [(name, strength) for name, corruption in CORRUPTIONS.items() for strength in corruption.strengths]


def textured(side=65):
    """Something of a face's spectrum: coarse shapes, some detail, a little grain, of one colour."""
    chance = np.random.default_rng(0)
    layers = [cv2.GaussianBlur(chance.normal(0, 1, (side, side)), (0, 0), width) for width in (12, 4, 1)]
    grey = 128 + sum(20 * layer / layer.std() for layer in layers)
    return (grey[..., None] + np.array([30, 0, -20])).clip(0, 255).astype(np.uint8)


def loss(picture, changed):
    return float(((picture.astype(float) - changed) ** 2).mean())


# --- corruptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "strength"), EVERY)
@given(st.tuples(st.integers(1, 19), st.integers(1, 19)).flatmap(lambda sides: arrays(np.uint8, (*sides, 3))))
def test_a_corruption_keeps_the_form_and_gives_the_same_bytes_twice(name, strength, picture):
    before = picture.copy()
    first, again = (CORRUPTIONS[name].change(picture, strength, "key") for _ in range(2))
    assert (first.shape, first.dtype, first.flags.c_contiguous) == (picture.shape, np.uint8, True)
    assert (first == again).all()
    assert (picture == before).all()


@pytest.mark.parametrize("name", ["jpeg", "blur", "resize", "noise", "h264"])
def test_each_strength_loses_more_than_the_one_before(name):
    picture = textured()
    corruption = CORRUPTIONS[name]
    losses = [loss(picture, corruption.change(picture, strength, "key")) for strength in corruption.strengths]
    assert losses[0] > 0
    assert all(more > 1.2 * less for less, more in pairwise(losses))


def test_jpeg_and_h264_keep_what_the_picture_shows():
    """Colours in their order, nothing moved: else every loss would be large."""
    picture = textured()
    assert loss(picture, jpeg(picture, 90)) < 15
    assert loss(picture, h264(picture, 10)) < 15
    red = np.full((31, 33, 3), (200, 40, 40), np.uint8)
    for changed in (jpeg(red, 50), h264(red, 28)):
        assert np.abs(changed.astype(int) - red).max() <= 4


def test_blur_spreads_an_edge_as_a_gaussian_of_so_many_pixels():
    edge = np.zeros((9, 40, 3), np.uint8)
    edge[:, 20:] = 255
    rises = np.diff(blur(edge, 2)[4, :, 0].astype(float))
    places = np.arange(39) - 19
    assert (rises * places).sum() / 255 == pytest.approx(0, abs=0.02)
    assert ((rises * places**2).sum() / 255) ** 0.5 == pytest.approx(2, rel=0.02)


def test_resize_averages_what_is_finer_than_its_cells():
    fine = np.indices((32, 32)).sum(0)[..., None] % 2 * np.full(3, 200, np.uint8)
    assert (resize(fine.astype(np.uint8), 2) == 100).all()


def test_noise_has_the_deviation_asked_for_and_comes_from_the_key():
    grey = np.full((64, 64, 3), 128, np.uint8)
    added = noise(grey, 0.05, "a").astype(float) - 128
    assert added.mean() == pytest.approx(0, abs=0.5)
    assert added.std() == pytest.approx(0.05 * 255, rel=0.02)
    assert np.corrcoef(added.ravel(), noise(grey, 0.02, "a").ravel())[0, 1] > 0.99
    assert abs(np.corrcoef(added.ravel(), noise(grey, 0.05, "b").ravel())[0, 1]) < 0.05


@given(st.integers(0, 255), st.sampled_from(CORRUPTIONS["brightness"].strengths))
def test_brightness_multiplies(level, factor):
    assert brightness(np.full((2, 2, 3), level, np.uint8), factor) == pytest.approx(min(255, level * factor), abs=0.5)


@pytest.mark.parametrize("knobs", [{"corruptions": ["fog"], "frames": 1}, {"corruptions": [], "frames": 0}])
def test_knobs_are_checked(knobs):
    with pytest.raises(ValidationError):
        Knobs(**knobs)


# --- pictures on their way into the network --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored_pictures(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    table = write_dataset(data, "one", {"test": {"real": 2, "swap": 2}}, frames=2)
    return table, {"one": data / "shard/one"}


def test_a_picture_is_corrupted_as_it_is_stored_and_scaled_afterwards(stored_pictures):
    stored, scaled = Samples(*stored_pictures), Samples(*stored_pictures, size=40)
    corrupted = Corrupted(scaled, np.array([5, 2]), "blur", 3)
    for row, place in enumerate((5, 2)):
        whole = stored[place][0].numpy().transpose(1, 2, 0)
        expected = cv2.resize(cv2.GaussianBlur(whole, (0, 0), 3), (40, 40), interpolation=cv2.INTER_AREA)
        assert (corrupted[row][0].numpy().transpose(1, 2, 0) == expected).all()
        assert corrupted.table["key"][row] == stored.table["key"][place]
    assert scaled[0][0].shape == (3, 40, 40)  # what was given is as it was
    assert Corrupted(stored, np.array([0]), "blur", 3)[0][0].shape == (3, 64, 64)


def test_noise_depends_on_neither_order_nor_process(stored_pictures):
    samples = Samples(*stored_pictures, size=40)
    forwards, backwards = (Corrupted(samples, np.array(rows), "noise", 0.1) for rows in ([1, 4], [4, 1]))
    pictures = forwards[[0, 1]][0]
    assert (pictures == backwards[[1, 0]][0]).all()
    assert (pictures == pickle.loads(pickle.dumps(forwards))[[0, 1]][0]).all()
    assert (pictures != Corrupted(samples, np.array([1, 4]), "noise", None)[[0, 1]][0]).any()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 6))
def test_pictures_of_a_video_are_evenly_spaced(lengths, most):
    table = pd.DataFrame([(f"v{video}", frame) for video, length in enumerate(lengths) for frame in range(length)])
    samples = InMemory(table.set_axis(["video", "frame"], axis=1).sample(frac=1, random_state=0), [])
    chosen = samples.table.iloc[robustness.evenly_spaced(samples, most)]
    for video, length in enumerate(lengths):
        frames = chosen.loc[chosen.video == f"v{video}", "frame"].to_numpy()
        assert len(frames) == min(most, length)
        gaps = np.diff(frames)
        assert (gaps > 0).all()
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_one_picture_of_a_video_is_its_middle_one():
    samples = InMemory(pd.DataFrame({"video": "a", "frame": range(5)}), [])
    assert robustness.evenly_spaced(samples, 1).tolist() == [2]


# --- figures ---------------------------------------------------------------------------------------------------------


class InMemory(Samples):
    """Pictures that need no shard."""

    def __init__(self, table, pictures):
        self.table, self._pictures, self._size = table.reset_index(drop=True), pictures, None

    def __len__(self):
        return len(self.table)

    def _picture(self, row):
        return self._pictures[row]


def a_shade_brighter(videos=60, frames=2):
    """Tiny even pictures: fakes are two of 255 grey levels brighter than reals, which little noise drowns."""
    rows = [
        {"video": f"{label}{video}", "frame": frame, "key": f"{label}{video}_{frame}", "label": label}
        | {"group": f"g{video}"}
        for label in (tables.REAL, tables.FAKE)
        for video in range(videos // 2)
        for frame in range(frames)
    ]
    pictures = [np.full((4, 4, 3), 120 + 2 * row["label"], np.uint8) for row in rows]
    return InMemory(pd.DataFrame(rows), pictures)


def sees_brightness():
    """Return a model whose logit grows with the mean of all values."""
    backbone = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    head = Head(hidden=[], dropout=[], embedding=6, sigmoid=False)
    network = Network(backbone, 3, Spec(model="", outputs=1, head=head, labels=["real", "fake"]))
    with torch.no_grad():
        network.head[0].weight.fill_(10.0)
        network.head[0].bias.fill_(-30 * 121 / 255)
    transform = Transform(4, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear", crop=1.0)
    return Stored(network, transform, {"frame": 0.5, "video": 0.5}, None)


def by_strength(rows, corruption):
    return {row["strength"]: row for row in rows if row["corruption"] == corruption}


def test_auroc_falls_with_noise_and_stays_where_the_evidence_does():
    knobs = Knobs(corruptions=["noise", "blur"], frames=1)
    rows = robustness.rows(sees_brightness(), a_shade_brighter(), knobs, "one", 16, 200, 0)
    noisy, blurred = by_strength(rows, "noise"), by_strength(rows, "blur")
    assert set(noisy) == {None, *CORRUPTIONS["noise"].strengths}
    aurocs = [noisy[strength]["auroc"] for strength in (None, 0.02, 0.05, 0.1)]
    assert aurocs[0] == 1
    assert aurocs == sorted(aurocs, reverse=True)
    assert 0.5 < aurocs[-1] < 0.8 < aurocs[1]
    assert all(row["auroc"] == 1 for row in blurred.values())  # an even picture has nothing to blur
    assert all(row["lower"] <= row["auroc"] <= row["upper"] for row in rows)
    assert {(row["videos"], row["pictures"]) for row in rows} == {(60, 60)}
    assert {row["unit"] for row in noisy.values()} == {CORRUPTIONS["noise"].unit}


def test_a_video_has_the_mean_score_of_its_pictures():
    test, model = a_shade_brighter(), sees_brightness()
    rows = robustness.rows(model, test, Knobs(corruptions=["noise"], frames=2), "one", 16, 200, 0)
    noisy = [noise(picture, 0.1, key) for picture, key in zip(test._pictures, test.table["key"], strict=True)]
    inputs = torch.tensor(np.array(noisy).transpose(0, 3, 1, 2) / 255, dtype=torch.float32)
    with torch.no_grad():
        scores = test.table.assign(score=model.network(inputs)[:, 0].sigmoid().numpy())
    videos = scores.groupby("video").agg({"label": "first", "score": "mean"})
    found = by_strength(rows, "noise")[0.1]
    assert found["auroc"] == pytest.approx(roc_auc_score(videos.label, videos.score), abs=1e-9)
    assert (found["videos"], found["pictures"]) == (60, 120)


def test_rows_reach_the_table(tmp_path, capsys):
    knobs = Knobs(corruptions=["jpeg", "h264", "jpeg"], frames=1)  # one name twice is one curve
    rows = robustness.rows(sees_brightness(), a_shade_brighter(6), knobs, "one", 16, 200, 0)
    tables.write(tmp_path / "robustness.parquet", rows, tables.ROBUSTNESS, order=["corruption", "strength"])
    table = tables.read(tmp_path / "robustness.parquet", tables.ROBUSTNESS)
    assert table.groupby("corruption").strength.agg(["size", "count"]).to_dict("index") == {
        "h264": {"size": 3, "count": 2},
        "jpeg": {"size": 5, "count": 4},
    }
    assert "robustness of one: 42 of 42 pictures" in capsys.readouterr().err


def test_nothing_asked_for_is_nothing_done(capsys):
    assert (
        robustness.rows(sees_brightness(), a_shade_brighter(), Knobs(corruptions=[], frames=1), "one", 9, 200, 0) == []
    )
    none = InMemory(a_shade_brighter().table[:0], [])
    assert robustness.rows(sees_brightness(), none, Knobs(corruptions=["blur"], frames=1), "one", 9, 200, 0) == []
    assert capsys.readouterr().err == ""


def test_one_class_alone_has_no_auroc():
    test = a_shade_brighter(6)
    reals = InMemory(test.table[test.table.label == tables.REAL], test._pictures)
    rows = robustness.rows(sees_brightness(), reals, Knobs(corruptions=["blur"], frames=1), "one", 9, 200, 0)
    assert np.isnan([row["auroc"] for row in rows]).all()
    assert {row["videos"] for row in rows} == {3}
