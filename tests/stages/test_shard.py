import json
from pathlib import Path

import pytest

from fabricated_videos import KEY
from pipeline import tables
from pipeline.errors import UserError
from pipeline.files import list_files, sha256_of_bytes
from pipeline.sharding import manifests
from pipeline.tars import read_member
from small_project import contents, refusal, run_stage, write_params


def test_samples_are_the_kept_frames(finished: Path) -> None:
    frames = tables.read(finished / f"data/extract/{KEY}/frames.parquet", tables.FRAMES)
    samples = tables.read(finished / f"data/shard/{KEY}/samples.parquet", tables.SAMPLES)
    kept = frames[frames.status == "kept"]
    assert sorted(samples.key) == sorted(kept.key)
    columns = ["video", "split", "label", "method", "group", "frame", "time_s"]
    assert samples.set_index("key")[columns].sort_index().equals(kept.set_index("key")[columns].sort_index())
    assert set(samples.dataset) == {KEY}
    for row in samples.itertuples():
        jpg = read_member(finished / f"data/shard/{KEY}" / row.shard, row.offset, row.bytes)
        assert sha256_of_bytes(jpg) == row.sha256


def test_the_same_bytes_with_one_and_with_four_workers(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"shard.shards": {"train": 5, "val": 2, "test": 2}})
    written = []
    for workers in ("1", "4"):
        run_stage(project, "shard", VERIFRAME_WORKERS=workers)
        written.append(contents(project / "data/shard"))
    assert written[0] == written[1] and len(written[0]) == 9 + 3


def test_the_number_of_shards_is_a_parameter(project: Path, celeb_tree: Path) -> None:
    folder = project / f"data/shard/{KEY}"
    write_params(project, celeb_tree, {"shard.shards": {"train": 1, "val": 1, "test": 3}})
    run_stage(project, "shard")
    assert len(list(folder.glob("*/*.tar"))) == 5
    write_params(project, celeb_tree, {"shard.shards": {"train": 1, "val": 1, "test": 1}})
    run_stage(project, "shard")
    assert len(list(folder.glob("*/*.tar"))) == 3  # and nothing of the run before


def test_the_manifest_names_every_byte(finished: Path) -> None:
    folder = finished / f"data/shard/{KEY}"
    manifest = manifests.read(folder / "manifest.json")
    assert set(manifest["files"]) == set(list_files(folder)) - {"manifest.json"}
    for name, facts in manifest["files"].items():
        content = (folder / name).read_bytes()
        assert facts == {"bytes": len(content), "sha256": sha256_of_bytes(content)}
    samples = tables.read(folder / "samples.parquet", tables.SAMPLES)
    assert (manifest["dataset"], manifest["samples"]) == (KEY, len(samples))


def test_timm_is_told_the_shards(finished: Path) -> None:
    folder = finished / f"data/shard/{KEY}"
    splits = json.loads((folder / "_info.json").read_text())["splits"]
    samples = tables.read(folder / "samples.parquet", tables.SAMPLES)
    assert list(splits) == ["train", "val", "test"]
    for split, told in splits.items():
        counts = samples.shard.value_counts()
        assert told["shard_lengths"] == [counts.get(name, 0) for name in told["filenames"]]
        assert told["num_samples"] == (samples.split == split).sum() > 0


def test_a_margin_that_loose_crops_do_not_hold(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"shard.margin": 0.6})
    with pytest.raises(UserError, match=r"shard\.margin 0\.6 exceeds extract\.margin 0\.5"):
        run_stage(project, "shard")


def test_the_margin_of_this_dataset_counts(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"extract.by_dataset": {KEY: {"margin": 0.2}}})
    with pytest.raises(UserError, match=r"exceeds extract\.margin 0\.2"):
        run_stage(project, "shard")


def test_a_margin_that_counts_for_nothing(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"shard.margin": 0.6, "shard.alignment": "none"})
    run_stage(project, "shard")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shard.size": 16}, "shard.size: Input should be greater than or equal to 32"),
        ({"shard.alignment": "affine"}, "shard.alignment: Input should be 'none', 'margin' or 'similarity'"),
        ({"shard.jpeg_quality": 101}, "shard.jpeg_quality: Input should be less than or equal to 100"),
        (
            {"shard.shards": {"train": 1, "val": 0, "test": 1}},
            "shard.shards.val: Input should be greater than or equal to 1",
        ),
        ({"shard.shards": {"train": 1, "val": 1}}, "shard.shards.test: Field required"),
    ],
)
def test_bad_values(project: Path, celeb_tree: Path, changes: dict, said: str) -> None:
    write_params(project, celeb_tree, changes)
    assert said in refusal(project, "shard")
