"""What one more video changes: the shard it falls into, and those of the frames that it displaces; no other byte."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from fabricated_videos import KEY, picture, write_celeb_tree, write_video
from pipeline import tables
from pipeline.files import list_files, sha256_of_file
from small_project import STAGES, run_stage, write_params

NEW = "Celeb-synthesis/id0_id2_0001.mp4"  # of a recording that has a fake already
NONE = {"train": "none", "val": "none", "test": "none"}


def built(project: Path, root: Path, changes: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Run the stages but check; return shard -> hash, and sample -> hash."""
    project.mkdir()
    write_params(project, root, {"shard.shards": {"train": 16, "val": 3, "test": 3}, **changes})
    for stage in STAGES:
        if stage != "check":
            run_stage(project, stage)
    folder = project / "data/shard" / KEY
    samples = tables.read(folder / "samples.parquet", tables.SAMPLES)
    shards = {name: sha256_of_file(folder / name) for name in list_files(folder) if name.endswith(".tar")}
    return shards, dict(zip(samples.key, samples.sha256, strict=True))


@pytest.mark.parametrize(
    ("changes", "most_displaced"),
    [
        ({"reduce.quota": NONE}, 0),
        ({"reduce.quota": {"train": 8, "val": 2, "test": "none"}}, 8),
        ({"reduce.quota": {"train": "smallest_class", "val": "smallest_class", "test": "none"}}, 8),
    ],
    ids=["none", "number", "smallest_class"],
)
def test_one_more_video_changes_few_shards(tmp_path: Path, changes: dict[str, Any], most_displaced: int) -> None:
    root = write_celeb_tree(tmp_path / "raw", faults=False)
    shards, samples = built(tmp_path / "before", root, changes)
    more = Path(shutil.copytree(root, tmp_path / "more"))
    write_video(more / NEW, pixels=[picture(frame + 777, 64, 48) for frame in range(20)])
    shards_after, samples_after = built(tmp_path / "after", more, changes)

    differing = {key for key, _ in samples.items() ^ samples_after.items()}
    displaced = {key for key in differing if "id0_id2_0001" not in key}
    changed = {name for name in shards if shards[name] != shards_after[name]}
    assert shards.keys() == shards_after.keys() and len(displaced) <= most_displaced
    assert (1 if most_displaced == 0 else 0) <= len(changed) <= len(displaced) + 1
    assert differing  # the new video, or what it displaced, is there
