import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training import optimization
from small_training import network, recipe

torch.set_num_threads(1)

EPOCHS = st.floats(0, 10, exclude_max=True)
SCHEDULES = ["constant", "cosine", "linear", "step"]


def rate(epochs_done, **changes):
    return optimization.learning_rate(recipe(**{"epochs": 10, "learning_rate": 0.5, **changes}), epochs_done)


@given(st.sampled_from(SCHEDULES), st.floats(0, 12), EPOCHS, EPOCHS)
def test_rises_while_warming_up_then_never_again(schedule, warmup, one, other):
    changes = {"schedule": schedule, "warmup": warmup, "step_epochs": 3}
    earlier, later = sorted((one, other))
    first, second = rate(earlier, **changes), rate(later, **changes)
    assert 0 <= first <= 0.5 and 0 <= second <= 0.5
    if later < warmup:
        assert first <= second
    elif earlier >= warmup:
        assert first >= second


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "constant"}, {0: 0.5, 9.9: 0.5}),
        ({"schedule": "cosine"}, {0: 0.5, 5: 0.25, 10: 0}),
        ({"schedule": "linear"}, {0: 0.5, 2.5: 0.375, 10: 0}),
        ({"schedule": "cosine", "warmup": 2}, {0: 0, 1: 0.25, 2: 0.5, 6: 0.25, 10: 0}),
        ({"schedule": "linear", "warmup": 10}, {5: 0.25, 10: 0.5}),
        ({"schedule": "step", "step_epochs": 4}, {0: 0.5, 3.99: 0.5, 4: 0.05, 7.99: 0.05, 8: 0.005}),
        ({"schedule": "step", "step_epochs": 4, "warmup": 5}, {2.5: 0.25, 5: 0.05}),
    ],
)
def test_schedules_at_chosen_moments(changes, expected):
    assert {moment: pytest.approx(rate(moment, **changes)) for moment in expected} == expected


def test_steps_are_those_of_torch():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    for epoch in range(10):
        for part in (0, 0.5, 0.99):
            found = rate(epoch + part, schedule="step", step_epochs=3, step_factor=0.5)
            assert found == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimizers(name, kind):
    optimizer = optimization.make_optimizer(network(), recipe(optimizer=name, momentum=0.7, weight_decay=0.2))
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.2)
    assert group.get("momentum") == (0.7 if name == "sgd" else None)


def test_an_optimizer_holds_what_may_change():
    def held(optimize):
        (group,) = optimization.make_optimizer(learning, recipe(optimize=optimize)).param_groups
        return {id(tensor) for tensor in group["params"]}

    learning = network()
    learning.backbone[0].requires_grad_(False)
    names = {id(tensor): name for name, tensor in learning.named_parameters()}
    found = {names[tensor] for tensor in held("trainable")}
    assert found == {name for name in names.values() if not name.startswith("backbone.0.")}
    assert {names[tensor] for tensor in held("head")} == {"head.0.weight", "head.0.bias"}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_of_a_product(precision):
    ones = torch.ones(2, 2)
    with optimization.autocast(recipe(precision=precision), torch.device("cpu")):
        assert (ones @ ones).dtype == optimization.PRECISIONS[precision]


def test_gradients_are_scaled_on_a_gpu_alone():
    assert not optimization.make_scaler(recipe(precision="float16"), torch.device("cpu")).is_enabled()
    assert not optimization.make_scaler(recipe(precision="bfloat16"), torch.device("cuda")).is_enabled()


def test_no_average_unless_asked_for():
    assert optimization.make_average(network(), recipe(ema=None)) is None
