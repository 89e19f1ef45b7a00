from pathlib import Path

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from fabricated_shards import write_dataset
from pipeline import tables
from pipeline.errors import UserError
from pipeline.guards import Guards
from pipeline.models import stored, zoo
from pipeline.models.stored import Stored
from pipeline.reading import Samples
from pipeline.training import loop, phases
from pipeline.training.phases import Phase

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent
SECTION = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["train"]
SMALL = {name: SECTION[name] for name in Phase.model_fields if name in SECTION} | {
    "input_size": 48,
    "epochs": 1,
    "batch_size": 8,
}


def plan(*changes, **all_phases):
    return phases.phases_of(SMALL | all_phases, list(changes))


def run(folder, phases_planned, on_epoch=lambda phase, epoch, figures: None):
    table = write_dataset(folder, "one", {"train": {"real": 4, "swap": 4}, "val": {"real": 2, "swap": 2}})
    parts = {name: table[table["split"] == name] for name in ("train", "val")}

    def open_part(name, side):
        return Samples(parts[name], {"one": folder / "shard/one"}, side)

    return phases.run(phases_planned, open_part, folder / "work", Guards([]), on_epoch)


def same(network, weights):
    return all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_a_phase_changes_what_it_names_and_nothing_else():
    first, second = plan({}, {"learning_rate": 0.5, "augment": {"flip": 0.25}})
    assert first == plan()[0]
    assert second.learning_rate == 0.5 and second.augment.flip == 0.25
    assert second.augment.rotation == first.augment.rotation and second.epochs == first.epochs
    assert (first.start, second.start) == ("previous", "previous")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rat": 0.1}, r"train.phases.1.learning_rat: Extra inputs"),
        ({"epochs": 0}, r"train.phases.1.epochs: Input should be greater than or equal to 1 \(got 0\)"),
        ({"augment": {"flip": 2.0}}, r"train.phases.1.augment.flip"),
        ({"start": "again"}, r"train.phases.1.start"),
        ({"labels": ["real", "real"]}, r"train.phases.1.labels: .*name both, real and fake"),
        ({"pretrained": "default"}, r"train.phases.1.pretrained: this phase starts from the weights of the one before"),
        ({"loss": "triplet", "monitor": "auroc"}, r"train.phases.1: .*[a-z]$"),
        ({"class_weights": [1.0, -1.0]}, r"train.phases.1.class_weights"),
    ],
)
def test_a_wrong_knob_is_named_with_its_phase(change, message):
    with pytest.raises(UserError, match=message):
        plan({}, change)


def test_the_loss_decides_how_many_outputs_there_are():
    assert [phase.spec.outputs for phase in plan({"loss": "bce"}, {"loss": "cross_entropy"}, {"loss": "triplet"})] == [
        1,
        2,
        128,
    ]


def test_inputs_are_those_the_network_was_made_for_unless_told():
    facts = zoo.Facts(331, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bicubic")
    (own, bare, larger) = plan({}, {"normalise": "none", "input_size": None}, {"augment_evaluation": True})
    assert own.transform(facts).input_size == 48
    assert own.transform(facts).mean == (0.5, 0.5, 0.5)
    assert bare.transform(facts).input_size == 331
    assert (bare.transform(facts).mean, bare.transform(facts).std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert own.transform(facts).augment is None and larger.transform(facts).augment == larger.augment


def test_a_phase_starts_from_the_weights_the_one_before_kept(tmp_path, monkeypatch):
    begun = []
    original = loop.train

    def train(network, *others):
        begun.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return original(network, *others)

    monkeypatch.setattr(phases.loop, "train", train)
    told = []
    done = run(
        tmp_path, plan({}, {"epochs": 2}, {"start": "afresh"}), lambda phase, epoch, _: told.append((phase, epoch))
    )
    assert told == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert all(torch.equal(tensor, done[0].trained.weights[name]) for name, tensor in begun[1].items())
    assert all(torch.equal(tensor, begun[0][name]) for name, tensor in begun[2].items())  # the same seed
    assert not same(done[0].network, done[1].trained.weights)
    assert all(same(each.network, each.trained.weights) for each in done)


def test_weights_that_do_not_fit_are_not_handed_over(tmp_path):
    with pytest.raises(UserError, match=r"squeezenet1_1 cannot go on .* of shufflenet_v2_x0_5: \S+ differs"):
        run(tmp_path, plan({}, {"model": "squeezenet1_1"}))


def test_outputs_do_not_change_their_meaning_between_phases(tmp_path):
    with pytest.raises(UserError, match="mean real, fake cannot go on as fake, real"):
        run(tmp_path, plan({}, {"labels": ["fake", "real"]}))


def test_without_training_pictures_it_says_so(tmp_path):
    with pytest.raises(UserError, match="split train of the chosen datasets has no real sample"):
        phases.run(
            plan(),
            lambda name, side: Samples(pd.DataFrame(columns=tables.SAMPLES.names), {}),
            tmp_path,
            Guards([]),
            lambda *_: None,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (({}, {"model": "squeezenet1_1"}), r"squeezenet1_1 cannot go on"),
        (({}, {"trainable": 99}), r"train.trainable 99"),
        (({}, {"model": "resnt18", "start": "afresh"}), r"did you mean resnet18"),
        (({"distill": {"teacher": "nowhere", "temperature": 1.0, "weight": 0.5}},), r"nowhere holds no stored network"),
    ],
)
def test_what_would_fail_in_a_later_phase_is_refused_before_the_first(changes, message):
    with pytest.raises(UserError, match=message):
        phases.require_sound(plan(*changes))
    phases.require_sound(plan({}, {"epochs": 2}, {"start": "afresh", "model": "squeezenet1_1"}))


def test_inputs_are_held_against_weights_that_an_earlier_phase_started_from(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        phases.guards, "input_statistics", lambda transform, facts, pictures, pretrained: seen.append(pretrained)
    )
    torch.manual_seed(1)
    torch.save(zoo.build(plan()[0].spec)[0].backbone.state_dict(), tmp_path / "weights.pth")
    given = str(tmp_path / "weights.pth")
    run(tmp_path, plan({}, {"epochs": 1}, {"start": "afresh", "pretrained": "none"}, pretrained=given))
    assert seen == [given, given, "none"]


def test_teachers_are_earlier_phases_or_stored_networks_with_the_same_input(tmp_path):
    distill = {"temperature": 2.0, "weight": 0.5}
    done = run(tmp_path, plan({}, {"start": "afresh", "distill": distill | {"teacher": 0}}))
    (tmp_path / "stored").mkdir()
    kept = Stored(done[0].network, done[0].transform, {"frame": 0.5, "video": 0.5}, None)
    stored.save(tmp_path / "stored", kept, {})
    from_file = run(tmp_path / "other", plan({"distill": distill | {"teacher": str(tmp_path / "stored")}}))
    # The same teacher, the same seed, the same start: the same lesson.
    assert same(from_file[0].network, done[1].trained.weights)
    with pytest.raises(UserError, match=r"distill.teacher 1 is no earlier phase; there are 1 before it"):
        run(tmp_path / "late", plan({}, {"distill": distill | {"teacher": 1}}))
    with pytest.raises(UserError, match=r"expects other inputs than shufflenet_v2_x0_5: input_size differ"):
        run(tmp_path / "unlike", plan({}, {"input_size": 64, "distill": distill | {"teacher": 0}}))
    with pytest.raises(UserError, match=r"gives embeddings"):
        again = {"loss": "bce", "start": "afresh", "distill": distill | {"teacher": 0}}
        run(tmp_path / "embedding", plan({"loss": "triplet"}, again))
    assert not same(from_file[0].network, run(tmp_path / "alone", plan())[0].trained.weights)
