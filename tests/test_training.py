import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from fabricated_shards import write_dataset
from pipeline import training
from pipeline.errors import UserError
from pipeline.models import scoring
from pipeline.models.transforms import Transform
from pipeline.reading import Samples

torch.set_num_threads(1)  # these layers are so small that threads only wait for each other

TRANSFORM = Transform(28, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")
RECIPE = training.Recipe(epochs=6, patience=6, batch_size=8, learning_rate=0.01, weight_decay=0.01, flip=0.5, seed=0)


def network():
    """A few layers, with everything that has state or chance of its own: BatchNorm and dropout."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, stride=2),
        torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Dropout(0.1),
        torch.nn.Linear(8, 1),
    )  # fmt: skip


def splits(folder, train=None, val=None):
    videos = {"train": train or {"real": 10, "swap": 10}, "val": val or {"real": 6, "mask": 6}}
    table = write_dataset(folder, "one", videos, side=32)
    return [Samples(table[table["split"] == split], {"one": folder / "shard/one"}) for split in ("train", "val")]


def fit(folder, recipe=RECIPE, on_epoch=lambda epoch, figures: None, **videos):
    return training.train(network(), TRANSFORM, *splits(folder, **videos), recipe, folder / "state.pt", on_epoch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training from start to end, done once."""
    return fit(tmp_path_factory.mktemp("whole"))


def test_learns_to_tell_the_fakes(whole):
    best = whole.history[whole.best_epoch]
    assert best["val/auroc"] > 0.95
    assert best["val/loss"] == min(figures["val/loss"] for figures in whole.history)
    assert list(best) == ["train/loss", "val/loss", "val/auroc", "val/accuracy"]


def test_the_weights_are_those_of_the_best_epoch(whole, tmp_path):
    _, validation = splits(tmp_path)
    best = network()
    best.load_state_dict(whole.weights)
    logits = scoring.logits(best, TRANSFORM, validation, 8)
    loss = training._loss(torch.from_numpy(logits), torch.from_numpy(validation.table["label"].to_numpy(float)), 1.0)
    assert float(loss) == pytest.approx(whole.history[whole.best_epoch]["val/loss"], abs=1e-6)
    assert whole.thresholds == training.choose_thresholds(validation.table, logits)


def test_repeats_itself_exactly_and_another_seed_does_not(whole, tmp_path):
    again = fit(tmp_path / "again")
    assert again.history == whole.history
    assert all(torch.equal(again.weights[name], tensor) for name, tensor in whole.weights.items())
    other = fit(tmp_path / "other", training.Recipe(**RECIPE.__dict__ | {"seed": 1, "epochs": 1}))
    assert other.history[0]["train/loss"] != whole.history[0]["train/loss"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("moment", ["after epoch 2", "inside epoch 3"])
def test_a_training_that_was_cut_off_goes_on_to_the_same_weights(whole, tmp_path, monkeypatch, moment):
    def kill_after(epoch, figures):
        if moment == "after epoch 2" and epoch == 2:
            raise Killed

    original, begun = training._cosine, []

    def kill_inside(progress):
        if moment == "inside epoch 3" and progress > 3.4 / 6:
            raise Killed
        return original(progress)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "_cosine", kill_inside)
        fit(tmp_path, on_epoch=kill_after)
    monkeypatch.setattr(training, "_cosine", lambda progress: begun.append(progress) or original(progress))
    told = []
    resumed = fit(tmp_path, on_epoch=lambda epoch, figures: told.append((epoch, figures)))
    assert min(begun) == 3 / 6  # epochs 0 to 2 are not trained again
    assert told == list(enumerate(whole.history))  # but they are told again
    assert resumed.best_epoch == whole.best_epoch
    assert resumed.thresholds == whole.thresholds
    assert all(torch.equal(resumed.weights[name], tensor) for name, tensor in whole.weights.items())


def test_an_epoch_shows_every_picture_once(tmp_path, monkeypatch):
    original, shown = training.transforms.for_training, []

    def for_training(pictures, *others):
        shown.append([picture.numpy().tobytes() for picture in pictures])
        return original(pictures, *others)

    monkeypatch.setattr(training.transforms, "for_training", for_training)
    fit(tmp_path, training.Recipe(**RECIPE.__dict__ | {"epochs": 2}))
    samples = splits(tmp_path / "again")[0]
    every = sorted(samples[row][0].numpy().tobytes() for row in range(60))
    first, second = shown[:8], shown[8:]
    assert [len(batch) for batch in first] == [8, 8, 8, 8, 7, 7, 7, 7]
    assert sorted(itertools.chain(*first)) == sorted(itertools.chain(*second)) == every
    assert first != second


def test_stops_when_the_validation_loss_does_not_fall(tmp_path, monkeypatch):
    losses = iter([0.5, 0.4, 0.6, 0.7, 0.3])
    monkeypatch.setattr(
        training, "_validate", lambda *_: {"val/loss": next(losses), "val/auroc": 0.5, "val/accuracy": 0.5}
    )
    stopped = fit(tmp_path, training.Recipe(**RECIPE.__dict__ | {"patience": 2}))
    assert [figures["val/loss"] for figures in stopped.history] == [0.5, 0.4, 0.6, 0.7]
    assert stopped.best_epoch == 1
    # Called once more, it does not train on.
    assert len(fit(tmp_path, training.Recipe(**RECIPE.__dict__ | {"patience": 2})).history) == 4


def test_rare_fakes_weigh_as_much_as_the_reals():
    table = pd.DataFrame({"label": [0] * 6 + [1] * 2})
    weight = training._fake_weight(table)
    assert weight == 3
    logits, labels = torch.zeros(8), torch.tensor(table["label"].to_numpy(np.float32))
    share = torch.nn.functional.binary_cross_entropy_with_logits(logits[:6], labels[:6], reduction="sum")
    assert float(training._loss(logits, labels, weight)) == pytest.approx(2 * float(share) / 8)


def test_learning_rate_falls_by_a_cosine_to_zero():
    assert training._cosine(0) == 1
    assert training._cosine(0.5) == pytest.approx(0.5)
    assert training._cosine(1) == pytest.approx(0)


def test_thresholds_come_from_frames_and_from_videos():
    table = pd.DataFrame({"video": ["a", "a", "b", "b"], "label": [0, 0, 1, 1]})
    probabilities = np.array([0.1, 0.5, 0.4, 0.9])
    found = training.choose_thresholds(table, np.log(probabilities / (1 - probabilities)))
    assert found["frame"] == pytest.approx(0.7)  # equally good: 0.25 and 0.7; 0.7 is the nearer to 0.5
    assert found["video"] == pytest.approx((0.3 + 0.65) / 2)


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ({"train": {"real": 3}}, "split train of one has no fake"),
        ({"val": {"swap": 2}}, "split val of one has no real"),
    ],
)
def test_one_class_alone_is_refused(tmp_path, videos, message):
    with pytest.raises(UserError, match=message):
        fit(tmp_path, **videos)
    assert not (tmp_path / "state.pt").exists()


def test_a_loss_that_is_no_number_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"lower train\.learning_rate"):
        fit(tmp_path, training.Recipe(**RECIPE.__dict__ | {"learning_rate": 1e30}))
