import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import webdataset as wds
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from fabricated_shards import write_dataset
from pipeline import reading, tables
from pipeline.errors import UserError
from pipeline.reading import EpochBatches, Samples, epoch_order, loader, open_dataset
from pipeline.sharding import manifests

VIDEOS = {"train": {"real": 2, "swap": 2}, "test": {"real": 1}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as the stage shard writes it; never changed by a test."""
    data = tmp_path_factory.mktemp("data")
    write_dataset(data, "one", VIDEOS)
    return data / "shard" / "one"


@pytest.fixture
def samples(folder):
    return open_dataset(folder)


def decoded(folder, sample):
    """Return a sample's picture, RGB (height, width, 3), read without the reader."""
    tar = (folder / sample["shard"]).read_bytes()
    jpeg = tar[sample["offset"] : sample["offset"] + sample["bytes"]]
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


# --- pictures --------------------------------------------------------------------------------------------------------


def test_each_row_gives_its_own_picture(samples, folder):
    for row, sample in samples.table.iterrows():
        found, number = samples[row]
        header = (folder / sample["shard"]).read_bytes()[sample["offset"] - 512 : sample["offset"]]
        assert header.split(b"\0")[0].decode() == f"{sample['key']}.jpg"
        assert number == row
        assert found.dtype == torch.uint8
        assert np.array_equal(found.numpy(), decoded(folder, sample).transpose(2, 0, 1))


def test_a_list_of_rows_gives_a_batch_in_its_order(samples):
    pictures, rows = samples[[4, 0, 7]]
    assert rows.tolist() == [4, 0, 7]
    assert rows.dtype == torch.int64
    assert pictures.is_contiguous()
    assert all(torch.equal(pictures[place], samples[row][0]) for place, row in enumerate([4, 0, 7]))


def test_a_plain_torch_loader_reads_them_too(samples):
    pictures, rows = next(iter(DataLoader(samples, batch_size=3)))
    assert torch.equal(pictures, samples[[0, 1, 2]][0])
    assert rows.tolist() == [0, 1, 2]


def test_a_copy_for_another_process_opens_its_own_files(samples):
    first = samples[0][0]
    copied = pickle.loads(pickle.dumps(samples))
    assert torch.equal(copied[0][0], first)


def test_few_files_stay_open(tmp_path, monkeypatch):
    table = write_dataset(tmp_path, "one", {split: {"real": 2} for split in tables.SPLITS})
    samples = Samples(table, {"one": tmp_path / "shard/one"})
    monkeypatch.setattr(reading, "_OPEN_FILES", 2)
    forth_and_back = [*range(len(samples)), *reversed(range(len(samples)))]
    assert all(samples[row][1] == row for row in forth_and_back)
    assert len(samples._open) == 2


def test_pictures_of_two_sizes_cannot_be_in_one_batch(tmp_path):
    tables_of = [
        write_dataset(tmp_path, key, {"train": {"real": 1}}, side=side) for key, side in (("a", 64), ("b", 80))
    ]
    folders = {key: tmp_path / "shard" / key for key in ("a", "b")}
    table = pd.concat(tables_of)
    with pytest.raises(UserError, match="pictures of 64x64 and 80x80 pixels cannot be in one batch; give a `size`"):
        Samples(table, folders)[[0, 5]]
    assert Samples(table, folders, size=64)[[0, 5]][0].shape == (2, 3, 64, 64)


# --- decoding to a size ----------------------------------------------------------------------------------------------


def smooth(side):
    """Return a JPEG of 8 by 8 patches that run into each other, which every way of scaling down renders alike."""
    coarse = np.random.default_rng(side).uniform(0, 255, (8, 8, 3))
    pixels = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@pytest.mark.parametrize("stored", [63, 64, 127, 128, 130, 255, 256, 300, 512, 1000])
def test_a_larger_picture_is_decoded_to_the_size(stored):
    jpeg = smooth(stored)
    found, whole = reading._decode(jpeg, 64), reading._decode(jpeg, None)
    side = min(stored, 64)
    expected = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
    assert found.shape == (side, side, 3)
    assert np.abs(found.astype(int) - expected).mean() < 1
    if stored < 128:  # the same steps
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("stored", "decoded_side"),
    [(64, 64), (127, 127), (128, 64), (129, 129), (254, 127), (256, 64), (260, 65), (258, 129), (512, 64)],
)
def test_the_largest_reduction_that_is_not_below_the_size_is_used(stored, decoded_side, monkeypatch):
    sides = []
    original = cv2.imdecode

    def imdecode(*arguments):
        sides.append(original(*arguments).shape[0])
        return original(*arguments)

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    reading._decode(smooth(stored), 64)
    assert sides == [decoded_side]


def test_a_dataset_is_read_at_a_size(folder):
    small, whole = open_dataset(folder, size=32), open_dataset(folder, size=64)
    assert small[0][0].shape == (3, 32, 32)
    assert torch.equal(whole[0][0], open_dataset(folder)[0][0])


def test_no_picture_is_none_at_any_size():
    assert reading._decode(b"no picture", None) is None
    assert reading._decode(b"no picture", 64) is None


# --- opening a folder ------------------------------------------------------------------------------------------------


def test_a_split_or_all_of_a_folder_wherever_it_lies(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "elsewhere")
    assert len(open_dataset(copied)) == 15
    test = open_dataset(str(copied), "test")
    assert test.table["split"].tolist() == ["test"] * 3
    assert test.table.index.tolist() == [0, 1, 2]
    assert len(open_dataset(copied, "val")) == 0
    with pytest.raises(UserError, match="there is no split 'tset'; known: train, val, test"):
        open_dataset(copied, "tset")


def test_other_splits_need_not_be_there(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "one")
    (copied / "train/train-000000.tar").unlink()
    assert open_dataset(copied, "test")[0][0].shape == (3, 64, 64)
    with pytest.raises(UserError, match=r"train-000000.tar is missing; run `dvc pull`"):
        open_dataset(copied)


def test_a_folder_that_is_not_whole_is_refused(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "one")
    for name in ("train/train-000000.tar", "test/test-000000.tar"):
        (copied / name).write_bytes((copied / name).read_bytes()[:-512])
    size = (folder / "test/test-000000.tar").stat().st_size
    with pytest.raises(
        UserError, match=rf"test-000000.tar has {size - 512} bytes, not {size} \(1 more files are wrong"
    ):
        open_dataset(copied)
    (copied / "samples.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"samples.parquet has 0 bytes"):
        open_dataset(copied, "test")
    (copied / manifests.NAME).unlink()
    with pytest.raises(UserError, match=r"manifest.json is missing"):
        open_dataset(copied)


def test_a_shard_that_changes_later_is_named(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "one")
    samples, shard = open_dataset(copied, "test"), copied / "test/test-000000.tar"
    shard.write_bytes(shard.read_bytes()[: samples.table["offset"][2] + 100])
    with pytest.raises(UserError, match=r"test-000000.tar: no picture at byte"):
        samples[2]
    shard.unlink()
    with pytest.raises(UserError, match=r"test-000000.tar is missing"):
        Samples(samples.table, {"one": copied})[2]


# --- batches of an epoch ---------------------------------------------------------------------------------------------


def rank_batches(samples, batch_size, seed, ranks, epoch):
    """Return for each rank its batches of an epoch."""
    found = []
    for rank in range(ranks):
        sampler = EpochBatches(samples, batch_size, seed, rank, ranks)
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@given(
    samples=st.integers(1, 300),
    batch_size=st.integers(1, 40),
    ranks=st.integers(1, 9),
    seed=st.none() | st.integers(0, 9),
)
def test_every_sample_comes_once_and_ranks_do_equal_work(samples, batch_size, ranks, seed):
    if samples < ranks:
        with pytest.raises(UserError, match=f"{samples} samples cannot be shared by {ranks} processes"):
            EpochBatches(samples, batch_size, seed, 0, ranks)
        return
    found = rank_batches(samples, batch_size, seed, ranks, 3)
    assert len({len(batches) for batches in found}) == 1
    sizes = [len(batch) for batches in found for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size + 1
    assert min(sizes) >= 1
    if batch_size > 1 and samples >= 2 * ranks:  # BatchNorm learns from two samples at least
        assert min(sizes) > 1
    in_order = [row for step in zip(*found, strict=True) for batch in step for row in batch]
    order = range(samples) if seed is None else epoch_order(samples, seed, 3)
    assert in_order == list(order)


@given(samples=st.integers(1, 500), batch_size=st.integers(3, 40))
def test_one_process_alone_never_exceeds_the_batch_size(samples, batch_size):
    sizes = [len(batch) for batch in EpochBatches(samples, batch_size)]
    assert max(sizes) <= batch_size
    assert len(sizes) == -(-samples // batch_size)


def test_order_depends_on_seed_and_epoch_alone():
    first = epoch_order(50, 1, 2)
    assert sorted(first) == list(range(50))
    assert np.array_equal(epoch_order(50, 1, 2), first)
    assert not np.array_equal(epoch_order(50, 1, 3), first)
    assert not np.array_equal(epoch_order(50, 2, 2), first)


# --- loader ----------------------------------------------------------------------------------------------------------


def test_the_number_of_workers_changes_nothing(samples):
    for rank in (0, 1):
        runs = []
        for workers in (0, 1, 2):
            batches = loader(samples, 4, seed=7, workers=workers, rank=rank, ranks=2)
            for epoch in (0, 1):
                batches.sampler.set_epoch(epoch)
                runs.append((epoch, list(batches)))
        for epoch, run in runs[2:]:
            expected = runs[epoch][1]
            assert [rows.tolist() for _, rows in run] == [rows.tolist() for _, rows in expected]
            assert all(torch.equal(a, b) for (a, _), (b, _) in zip(run, expected, strict=True))
        assert not torch.equal(runs[0][1][0][1], runs[1][1][0][1])


def test_large_sets_are_read_by_the_cores_of_the_machine(samples, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))  # torch warns of more workers than cores
    assert loader(samples, 4).num_workers == 0
    monkeypatch.setattr(reading, "_WORTH_WORKERS", 1)
    monkeypatch.setenv("VERIFRAME_WORKERS", "6")
    assert loader(samples, 4).num_workers == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # of torchrun: ranks on this machine share its cores
    assert loader(samples, 4).num_workers == 3


# --- the same shards in other readers --------------------------------------------------------------------------------


def test_plain_webdataset_and_timm_read_the_same(built):
    import timm.data

    folder = built / "data/shard/own_ffpp"
    ours = open_dataset(folder, "train")
    labels = dict(zip(ours.table["key"], ours.table["label"], strict=True))
    assert set(labels.values()) == {0, 1}
    pixels = {ours.table["key"][row]: ours[row][0].permute(1, 2, 0).numpy() for row in range(len(ours))}

    urls = [str(path) for path in sorted(folder.glob("train/*.tar"))]
    plain = wds.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("__key__", "jpg", "json")
    read = {key: (image, description["label"]) for key, image, description in plain}
    assert {key: label for key, (_, label) in read.items()} == labels
    assert all(np.array_equal(pixels[key], image) for key, (image, _) in read.items())

    theirs = timm.data.create_dataset("wds/own_ffpp", str(folder), split="train")
    seen = [(np.asarray(image).tobytes(), label) for image, label in theirs]
    expected = {pixels[key].tobytes(): label for key, label in labels.items()}
    assert len(seen) == len(theirs) == len(labels)
    assert dict(seen) == expected


def test_threads_may_share_samples(samples, monkeypatch):
    monkeypatch.setattr(reading, "_OPEN_FILES", 1)  # of two shards: each is closed again and again
    alone = [samples[row][0] for row in range(len(samples))]
    rows = np.random.default_rng(0).integers(0, len(samples), 2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda row: samples[row][0], rows))
    assert all(torch.equal(picture, alone[row]) for row, picture in zip(rows, together, strict=True))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"batch_size": 2, "rank": 2, "ranks": 2}, "rank must be 0 to 1, one less than ranks, not 2"),
        ({"batch_size": 2, "rank": -1, "ranks": 2}, "rank must be 0 to 1"),
    ],
)
def test_batches_that_cannot_be(asked, said):
    with pytest.raises(UserError, match=said):
        EpochBatches(10, **asked)


def test_a_table_with_another_label_is_refused(folder, tmp_path):
    """Its size may well be the same."""
    copied = shutil.copytree(folder, tmp_path / "copied")
    path = copied / "samples.parquet"
    table = tables.read(path, tables.SAMPLES)
    tables.write(path, table.assign(label=1 - table["label"]), tables.SAMPLES, order=["key"])
    manifest = copied / "manifest.json"
    size = manifests.read(manifest)["files"]["samples.parquet"]["bytes"]
    manifest.write_text(manifest.read_text().replace(f'"bytes": {size}', f'"bytes": {path.stat().st_size}'))
    with pytest.raises(UserError, match=r"samples\.parquet is not the one its manifest\.json names"):
        open_dataset(copied)


def test_sizes_that_cannot_be(folder):
    with pytest.raises(UserError, match="size must be at least 1 pixel, not 0"):
        open_dataset(folder, size=0)
