import itertools
from math import exp, log

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.optim.optimizer import register_optimizer_step_post_hook

from pipeline import tables
from pipeline.errors import UserError
from pipeline.guards import Guards
from pipeline.models import scoring
from pipeline.training import epoch as one_epoch
from pipeline.training import loop, optimization
from small_training import STILL, TRANSFORM, fit, network, plain, recipe, splits

torch.set_num_threads(1)  # these layers are so small that threads only wait for each other

FIGURES = ["accuracy", "precision", "recall", "f1", "auroc"]


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    """Trainings that nobody cut off, each done once."""
    done = {}

    def of(how):
        name = how.model_dump_json()
        if name not in done:
            done[name] = fit(tmp_path_factory.mktemp("uncut"), how)
        return done[name]

    return of


@pytest.fixture(scope="module")
def whole(uncut):
    """The training by the recipe as it is."""
    return uncut(recipe())


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("loss", ["bce", "cross_entropy"])
def test_learns_to_tell_the_fakes(uncut, loss):
    done = uncut(recipe(loss=loss))
    best = done.history[done.best_epoch]
    assert best["val/auroc"] > 0.95
    assert best["train/accuracy"] > 0.8
    assert best["val/loss"] == min(figures["val/loss"] for figures in done.history)
    assert list(best) == ["train/loss", "train/accuracy", "val/loss", *(f"val/{name}" for name in FIGURES)]


def test_an_embedding_learns_and_has_losses_alone(tmp_path):
    done = fit(tmp_path, recipe(loss="triplet"))
    assert all(list(figures) == ["train/loss", "val/loss"] for figures in done.history)
    assert done.history[-1]["train/loss"] < 0.3 * done.history[0]["train/loss"]
    learned = network("triplet")
    learned.load_state_dict(done.weights)
    _, validation = splits()
    found = scoring.outputs(learned, TRANSFORM, validation, 8, embed=True)
    fake = validation.table["label"].to_numpy() == tables.FAKE
    apart = np.linalg.norm(found[fake].mean(0) - found[~fake].mean(0))
    assert apart > 3 * max(found[fake].std(0).max(), found[~fake].std(0).max())


def test_the_weights_are_those_of_the_best_epoch(whole, tmp_path):
    _, validation = splits()
    best = network()
    best.load_state_dict(whole.weights)
    logits = torch.from_numpy(scoring.logits(best, TRANSFORM, validation, 8))
    labels = torch.from_numpy(validation.table["label"].to_numpy(float))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert float(loss) == pytest.approx(whole.history[whole.best_epoch]["val/loss"], abs=1e-6)


def test_repeats_itself_exactly_and_another_seed_does_not(whole, tmp_path):
    again = fit(tmp_path / "again")
    assert again.history == whole.history
    assert same(again.weights, whole.weights)
    other = fit(tmp_path / "other", recipe(seed=1, epochs=1))
    assert other.history[0]["train/loss"] != whole.history[0]["train/loss"]


class Killed(Exception):
    pass


@pytest.mark.parametrize("moment", ["after epoch 1", "inside epoch 2"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema": 0.9, "accumulate": 3, "keep": "last", "optimizer": "adam", "warmup": 1.5},
        {"optimizer": "sgd", "schedule": "step", "step_epochs": 1, "precision": "bfloat16", "channels_last": True},
        {"loss": "triplet", "schedule": "linear"},
    ],
    ids=["adamw", "averaged", "sgd", "triplet"],
)
def test_a_training_that_was_cut_off_goes_on_to_the_same_weights(tmp_path, monkeypatch, uncut, moment, changes):
    how = recipe(epochs=3, **changes)
    whole = uncut(how)
    original, begun = optimization.learning_rate, []

    def kill_after(epoch, figures):
        if moment == "after epoch 1" and epoch == 1:
            raise Killed

    def kill_inside(recipe, epochs_done):
        if moment == "inside epoch 2" and epochs_done > 2.4:
            raise Killed
        return original(recipe, epochs_done)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(optimization, "learning_rate", kill_inside)
        fit(tmp_path, how, on_epoch=kill_after)
    monkeypatch.setattr(
        optimization, "learning_rate", lambda recipe, done: begun.append(done) or original(recipe, done)
    )
    told = []
    torch.rand(3)  # a chance that others use is not the training's
    resumed = fit(tmp_path, how, on_epoch=lambda epoch, figures: told.append((epoch, figures)))
    assert min(begun) == 2  # epochs 0 and 1 are not trained again
    assert told == list(enumerate(whole.history))  # but they are told again
    assert resumed.best_epoch == whole.best_epoch
    assert same(resumed.weights, whole.weights)


def test_an_epoch_shows_every_picture_once(tmp_path, monkeypatch):
    original, shown = one_epoch.transforms.for_training, []

    def for_training(pictures, *others):
        shown.append([picture.numpy().tobytes() for picture in pictures])
        return original(pictures, *others)

    monkeypatch.setattr(one_epoch.transforms, "for_training", for_training)
    fit(tmp_path, recipe(epochs=2))
    samples = splits()[0]
    every = sorted(samples[row][0].numpy().tobytes() for row in range(60))
    first, second = shown[:8], shown[8:]
    assert [len(batch) for batch in first] == [8, 8, 8, 8, 7, 7, 7, 7]
    assert sorted(itertools.chain(*first)) == sorted(itertools.chain(*second)) == every
    assert first != second


def test_labels_that_the_augmentation_changed_are_learned(tmp_path, monkeypatch):
    original = one_epoch.transforms.for_training

    def for_training(pictures, labels, *others):
        inputs, _ = original(pictures, labels, *others)
        return inputs, 1 - labels

    monkeypatch.setattr(one_epoch.transforms, "for_training", for_training)
    turned = fit(tmp_path).history[-1]
    assert turned["train/accuracy"] > 0.8
    assert turned["val/auroc"] < 0.05


def test_outputs_may_mean_real_and_scores_still_mean_fake(tmp_path, whole):
    reversed_network = network("bce", ("fake", "real"))
    done = fit(tmp_path, of=reversed_network)
    assert done.history[-1]["val/auroc"] > 0.95
    reversed_network.load_state_dict(done.weights)
    _, validation = splits()
    outputs = scoring.outputs(reversed_network, TRANSFORM, validation, 8)[:, 0]
    assert np.array_equal(scoring.logits(reversed_network, TRANSFORM, validation, 8), -outputs)
    assert done.history[-1]["val/loss"] == pytest.approx(whole.history[-1]["val/loss"], rel=0.3)


# --- when it stops, what it keeps ------------------------------------------------------------------------------------


def scripted(monkeypatch, **values):
    """Let validation give these figures, epoch by epoch."""
    rows = iter([dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)])
    monkeypatch.setattr(loop, "_validate", lambda *_: {f"val/{name}": value for name, value in next(rows).items()})


def test_stops_when_the_validation_loss_does_not_fall(tmp_path, monkeypatch):
    scripted(monkeypatch, loss=[0.5, 0.4, 0.6, 0.7, 0.3])
    how = recipe(epochs=6, patience=2)
    stopped = fit(tmp_path, how)
    assert [figures["val/loss"] for figures in stopped.history] == [0.5, 0.4, 0.6, 0.7]
    assert stopped.best_epoch == 1
    assert len(fit(tmp_path, how).history) == 4  # called once more, it does not train on


def test_without_patience_it_never_stops_early(tmp_path, monkeypatch):
    scripted(monkeypatch, loss=[0.1, 0.2, 0.3, 0.4, 0.5])
    assert len(fit(tmp_path, recipe(epochs=5, patience=None)).history) == 5


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"monitor": "loss"}, 1),
        ({"monitor": "auroc"}, 2),
        ({"monitor": "accuracy"}, 0),
        ({"monitor": "train_loss"}, 3),
        ({"keep": "last"}, 3),
    ],
)
def test_keeps_the_epoch_that_is_asked_for(tmp_path, monkeypatch, changes, kept):
    scripted(monkeypatch, loss=[0.5, 0.4, 0.6, 0.7], auroc=[0.6, 0.7, 0.8, 0.7], accuracy=[0.9, 0.8, 0.9, 0.8])
    how, learning, after = recipe(**changes), network(), []
    done = fit(tmp_path, how, learning, on_epoch=lambda *_: after.append(loop._copy(learning)))
    assert done.best_epoch == kept
    assert [same(done.weights, weights) for weights in after] == [epoch == kept for epoch in range(4)]


# --- how it steps ----------------------------------------------------------------------------------------------------


@pytest.fixture
def middle_alone(monkeypatch):
    """Pictures that are cut out of the middle, in training as well."""
    whole = one_epoch.transforms.for_evaluation
    monkeypatch.setattr(
        one_epoch.transforms, "for_training", lambda pictures, labels, how, *_: (whole(pictures, how), labels)
    )


@pytest.mark.parametrize(("batch_size", "accumulate"), [(8, 100), (30, 2), (7, 9)])
def test_accumulated_batches_are_one_large_batch(tmp_path, middle_alone, batch_size, accumulate):
    """Of the 60 pictures, batches of 8 are uneven and fewer than 100: the step is the mean over all pictures anyway."""
    at_once = {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 2, "keep": "last", **STILL}
    one = fit(tmp_path / "one", recipe(**at_once, batch_size=60), plain())
    many = fit(tmp_path / "many", recipe(**at_once, batch_size=batch_size, accumulate=accumulate), plain())
    assert not same(one.weights, plain().state_dict())
    for name, tensor in one.weights.items():
        assert torch.allclose(many.weights[name], tensor, atol=1e-6), name


def test_the_last_group_is_shorter(tmp_path, monkeypatch):
    rates = []
    original = optimization.set_learning_rate
    monkeypatch.setattr(
        optimization, "set_learning_rate", lambda optimizer, rate: rates.append(rate) or original(optimizer, rate)
    )
    fit(tmp_path, recipe(accumulate=3, schedule="linear", learning_rate=0.8, epochs=1))
    assert rates == pytest.approx([0.8, 0.8 * 5 / 8, 0.8 * 2 / 8])  # of 8 batches: 3, 3 and 2


def test_the_average_holds_weights_and_running_statistics(tmp_path):
    learning, seen = network(), []
    hook = register_optimizer_step_post_hook(lambda *_: seen.append(loop._copy(learning)))
    done = fit(tmp_path, recipe(ema=0.7, epochs=2, keep="last"), learning)
    hook.remove()
    average = seen[0]
    for weights in seen[1:]:
        average = {name: 0.7 * average[name].double() + 0.3 * weights[name].double() for name in weights}
    for name in ("head.0.weight", "backbone.0.weight", "backbone.1.running_mean", "backbone.1.running_var"):
        assert torch.allclose(done.weights[name].double(), average[name], atol=1e-6), name
        assert not torch.allclose(done.weights[name], seen[-1][name], atol=1e-6), name
    validated = network()
    validated.load_state_dict(done.weights)
    logits = torch.from_numpy(scoring.logits(validated, TRANSFORM, splits()[1], 8))
    labels = torch.from_numpy(splits()[1].table["label"].to_numpy(float))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
    assert float(loss) == pytest.approx(done.history[-1]["val/loss"], abs=1e-6)


def test_a_head_alone_learns(tmp_path):
    learning = network()
    before = loop._copy(learning)
    done = fit(tmp_path, recipe(trainable="head", epochs=1), learning)
    changed = {name for name in before if not torch.equal(before[name], done.weights[name])}
    assert changed == {"head.0.weight", "head.0.bias"}


def test_an_optimizer_of_the_head_alone_is_stopped_and_may_be_allowed(tmp_path):
    how = recipe(optimize="head", epochs=1)
    with pytest.raises(UserError, match="optimizer_mismatch"):
        fit(tmp_path, how)
    guard, learning = Guards(["optimizer_mismatch"]), network()
    before = loop._copy(learning)
    done = fit(tmp_path, how, learning, guard=guard)
    assert list(guard.lifted) == ["optimizer_mismatch"]
    assert torch.equal(done.weights["backbone.0.weight"], before["backbone.0.weight"])
    assert not torch.equal(done.weights["head.0.weight"], before["head.0.weight"])


def test_a_second_sigmoid_is_stopped_and_its_loss_has_a_floor(tmp_path):
    with pytest.raises(UserError, match="double_sigmoid"):
        fit(tmp_path, of=network(sigmoid=True))
    done = fit(tmp_path, recipe(epochs=6), network(sigmoid=True), guard=Guards(["double_sigmoid"]))
    floor = (log(1 + exp(-1)) + log(2)) / 2  # 0.5032: an output of 1 for fakes and of 0 for reals
    assert floor < done.history[-1]["val/loss"] < log(2)
    assert done.history[-1]["val/auroc"] > 0.95


def test_lower_precision_gives_nearly_the_same(tmp_path, whole):
    half = fit(tmp_path, recipe(precision="bfloat16"))
    assert not same(half.weights, whole.weights)
    assert all(weights.dtype != torch.bfloat16 for weights in half.weights.values())
    assert half.history[0]["train/loss"] == pytest.approx(whole.history[0]["train/loss"], rel=0.02)


def test_a_teacher_is_followed_and_left_as_it_is(tmp_path, whole):
    teacher = network()
    teacher.load_state_dict(whole.weights)
    teacher.train()
    how = recipe(distill={"teacher": 0, "temperature": 2.0, "weight": 1.0}, epochs=6)
    student = fit(tmp_path, how, network("cross_entropy"), teacher=teacher, guard=Guards([]))
    assert student.history[-1]["train/loss"] < 0.3 * student.history[0]["train/loss"]
    assert student.history[-1]["val/auroc"] > 0.95
    assert same(teacher.state_dict(), whole.weights)
    assert all(tensor.grad is None for tensor in teacher.parameters())


# --- what a user is told ---------------------------------------------------------------------------------------------


def test_tells_how_an_epoch_goes_on(tmp_path, capsys):
    fit(tmp_path, recipe(epochs=2))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert len(told) == 2
    assert told[1].startswith("epoch 2 of 2: 60 of 60 pictures, ") and ", data wait " in told[1]


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
        fit(tmp_path, recipe(learning_rate=1.0, optimizer="sgd", class_weights=[1e30, 1e30]))


@pytest.mark.parametrize(
    "changes",
    [{"monitor": "auroc"}, {"monitor": "accuracy"}, {"distill": {"teacher": 0, "temperature": 1.0, "weight": 0.5}}],
)
def test_an_embedding_has_no_score_to_ask_for(changes):
    with pytest.raises(ValidationError, match="an embedding"):
        recipe(loss="triplet", **changes)
