import pickle

import cv2
import numpy as np
import pytest
import torch

from fabricated_shards import write_dataset
from pipeline import reading
from pipeline.errors import UserError
from pipeline.reading import Samples, batches, epoch_order


@pytest.fixture
def samples(tmp_path):
    table = write_dataset(tmp_path, "one", {"train": {"real": 2, "swap": 2}, "test": {"real": 1}})
    return Samples(table, {"one": tmp_path / "shard" / "one"})


def test_each_row_gives_its_own_picture(samples, tmp_path):
    for row, sample in samples.table.iterrows():
        picture, number = samples[row]
        tar = (tmp_path / "shard/one" / sample["shard"]).read_bytes()
        header = tar[sample["offset"] - 512 : sample["offset"]]
        assert header.split(b"\0")[0].decode() == f"{sample['key']}.jpg"
        jpeg = tar[sample["offset"] : sample["offset"] + sample["bytes"]]
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert number == row
        assert picture.dtype == torch.uint8
        assert np.array_equal(picture.numpy(), bgr[..., ::-1].transpose(2, 0, 1))


def test_worker_processes_read_the_same(samples, monkeypatch):
    order = epoch_order(len(samples), 0, 0)
    alone = list(batches(samples, order, 4))
    monkeypatch.setattr(reading, "_WORTH_WORKERS", 1)
    monkeypatch.setenv("VERIFRAME_WORKERS", "2")
    loader = batches(samples, order, 4)
    assert loader.num_workers == 2
    together = list(loader)
    assert [rows.tolist() for _, rows in alone] == [rows.tolist() for _, rows in together]
    assert [row for _, rows in alone for row in rows.tolist()] == order
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(alone, together, strict=True))


def test_a_copy_for_another_process_opens_its_own_files(samples):
    first = samples[0][0]
    copied = pickle.loads(pickle.dumps(samples))
    assert torch.equal(copied[0][0], first)


def test_order_depends_on_seed_and_epoch_alone():
    assert sorted(epoch_order(50, 1, 2)) == list(range(50))
    assert epoch_order(50, 1, 2) == epoch_order(50, 1, 2)
    assert epoch_order(50, 1, 2) != epoch_order(50, 1, 3)
    assert epoch_order(50, 1, 2) != epoch_order(50, 2, 2)


def test_a_cut_or_missing_shard_is_named(samples, tmp_path):
    shard = tmp_path / "shard/one/test-000000.tar"
    row = int(np.flatnonzero(samples.table["split"] == "test")[-1])
    shard.write_bytes(shard.read_bytes()[: samples.table["offset"][row] + 100])
    with pytest.raises(UserError, match=r"test-000000.tar: no picture at byte"):
        samples[row]
    shard.unlink()
    with pytest.raises(UserError, match=r"test-000000.tar is missing"):
        Samples(samples.table, {"one": tmp_path / "shard/one"})[row]
