"""Two processes of torch.distributed with three workers each read a dataset together."""

import json

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from fabricated_shards import write_dataset
from pipeline.errors import UserError
from pipeline.files import sha256_of_bytes
from pipeline.reading import EpochBatches, loader, open_dataset

RANKS, WORKERS, EPOCHS, BATCH = 2, 3, 5, 4
VIDEOS = {"train": {"real": 23, "swap": 24}}  # 47 samples: no number here divides them


def read(rank, folder):
    """What each process does: read all epochs, step by step together with the others, and note what it saw."""
    torch.multiprocessing.set_start_method("fork", force=True)  # of the workers, as where torchrun starts the process
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    samples = open_dataset(folder / "shard/one", "train")
    batches = loader(samples, BATCH, seed=5, workers=WORKERS)
    seen = []
    for epoch in range(EPOCHS):
        batches.sampler.set_epoch(epoch)
        seen.append([])
        for pictures, rows in batches:
            together = torch.tensor(len(rows))
            dist.all_reduce(together)  # waits for the other, as a training step does
            hashes = [sha256_of_bytes(picture.numpy().tobytes()) for picture in pictures]
            seen[-1].append({"rows": rows.tolist(), "pictures": hashes, "together": int(together)})
    (folder / f"rank{rank}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder, and for each rank and epoch the batches it saw."""
    folder = tmp_path_factory.mktemp("together")
    write_dataset(folder, "one", VIDEOS, frames=1)
    torch.multiprocessing.spawn(read, (folder,), nprocs=RANKS)
    return folder, [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(RANKS)]


def test_every_sample_comes_once_in_every_epoch(together):
    folder, ranks = together
    samples = open_dataset(folder / "shard/one", "train")
    pictures = [sha256_of_bytes(samples[row][0].numpy().tobytes()) for row in range(47)]
    assert len(set(pictures)) == 47
    for epoch in range(EPOCHS):
        batches = [batch for seen in ranks for batch in seen[epoch]]
        assert sorted(row for batch in batches for row in batch["rows"]) == list(range(47))
        for batch in batches:
            assert batch["pictures"] == [pictures[row] for row in batch["rows"]]


def test_both_take_the_same_number_of_steps_of_like_size(together):
    _, ranks = together
    for epoch in range(EPOCHS):
        assert [len(seen[epoch]) for seen in ranks] == [6, 6]
        sizes = [[len(batch["rows"]) for batch in seen[epoch]] for seen in ranks]
        assert {size for of_rank in sizes for size in of_rank} == {3, 4}
        assert [batch["together"] for batch in ranks[0][epoch]] == [sum(step) for step in zip(*sizes, strict=True)]


def test_the_order_is_that_of_the_sampler_and_changes_with_the_epoch(together):
    _, ranks = together
    for rank, seen in enumerate(ranks):
        expected = EpochBatches(47, BATCH, 5, rank, RANKS)
        for epoch in range(EPOCHS):
            expected.set_epoch(epoch)
            assert [batch["rows"] for batch in seen[epoch]] == list(expected)
    assert len({json.dumps(epoch) for epoch in ranks[0]}) == EPOCHS


def test_fewer_samples_than_processes_are_refused(tmp_path):
    write_dataset(tmp_path, "one", {"val": {"real": 1}}, frames=1)
    with pytest.raises(UserError, match="1 samples cannot be shared by 2 processes; use fewer processes"):
        loader(open_dataset(tmp_path / "shard/one"), BATCH, rank=0, ranks=2)
