"""Two processes that torchrun starts train together, and one alone does the same."""

import os
import subprocess
import sys

import pytest
import torch

import training_together
from fabricated_shards import write_dataset
from pipeline import machine
from pipeline.errors import UserError
from pipeline.training import distributed
from small_training import ROOT, fit, recipe

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What each of two processes got, and what one alone got; the number of validation pictures is odd."""
    folder = tmp_path_factory.mktemp("together")
    write_dataset(folder, "one", {"train": {"real": 12, "swap": 12}, "val": {"real": 5, "mask": 6}}, side=32)
    for name in ("two", "alone"):
        (folder / name).mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    subprocess.run(
        [*torchrun, ROOT / "tests/training_together.py", folder, folder / "two"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "VERIFRAME_DEVICE": "cpu"},
        check=True,
    )
    training_together.learn(folder, folder / "alone")
    files = ("two/0.pt", "two/1.pt", "alone/0.pt")
    return [torch.load(folder / name, weights_only=True) for name in files]


def test_every_process_gets_the_same_result(results):
    first, second, _ = results
    for name in first:
        assert first[name]["history"] == second[name]["history"]
        assert torch.equal(first[name]["scores"], second[name]["scores"])
        for tensor, weights in first[name]["weights"].items():
            assert torch.equal(weights, second[name]["weights"][tensor]), (name, tensor)


def test_two_processes_learn_what_one_learns(results):
    together, _, alone = (result["plain"] for result in results)
    for name, tensor in alone["weights"].items():
        assert torch.allclose(together["weights"][name], tensor, atol=1e-5), name
    for ours, theirs in zip(together["history"], alone["history"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_figures_are_of_all_pictures_once(results, tmp_path):
    """Scores by the weights that two processes ended with: theirs, shared out, and those of one process."""
    together = results[0]["normalised"]
    learning = training_together.network()
    learning.load_state_dict(together["weights"])
    table = write_dataset(tmp_path, "one", {"train": {"real": 12, "swap": 12}, "val": {"real": 5, "mask": 6}}, side=32)
    validation = training_together.Samples(table[table["split"] == "val"], {"one": tmp_path / "shard/one"})
    scores = training_together.scoring.logits(learning, training_together.WHOLE_PICTURE, validation, 12)
    assert len(scores) == 33
    assert torch.allclose(together["scores"], torch.from_numpy(scores), atol=1e-6)
    labels = torch.from_numpy(validation.table["label"].to_numpy(float))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.from_numpy(scores), labels)
    best = min(together["history"], key=lambda figures: figures["val/loss"])
    assert best["val/loss"] == pytest.approx(float(loss), abs=1e-6)
    right = float(((torch.from_numpy(scores) > 0) == (labels == 1)).double().mean())
    assert best["val/accuracy"] == pytest.approx(right, abs=1e-6)


def test_together_they_go_on_after_a_kill_to_the_same_weights(results):
    first = results[0]
    assert first["resumed"]["history"] == first["normalised"]["history"]
    for name, tensor in first["normalised"]["weights"].items():
        assert torch.equal(first["resumed"]["weights"][name], tensor), name


def test_each_process_has_chance_of_its_own(results):
    together, _, alone = (result["normalised"] for result in results)
    assert together["history"] != alone["history"]


def test_alone_it_is_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.together():
        assert (distributed.rank(), distributed.ranks(), distributed.is_main()) == (0, 1, True)
        assert distributed.from_main(lambda: 5) == 5
        network = torch.nn.Linear(1, 1)
        assert distributed.parallel(network) is network
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(("batch_size", "ranks"), [(8, 3), (4, 4)])
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, monkeypatch, batch_size, ranks):
    monkeypatch.setattr(distributed, "ranks", lambda: ranks)
    with pytest.raises(UserError, match=rf"batch_size {batch_size} cannot be shared evenly by {ranks} processes"):
        fit(tmp_path, recipe(batch_size=batch_size))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(machine, "device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="use --nproc_per_node 2"), distributed.together():
        pass
