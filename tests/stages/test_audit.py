"""The stage audit over a made-up project of two datasets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fabricated_project import write_project
from pipeline import tables

ROOT = Path(__file__).parents[2]


def audit(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages.audit"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose second dataset gives the label away by the file size."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, ["clean", "told"])
    path = folder / "data/index/told/videos.parquet"
    videos = tables.read(path, tables.VIDEOS)
    videos.loc[videos.label == tables.FAKE, "bytes"] += 2_000_000
    tables.write(path, videos, tables.VIDEOS, ["video"])
    done = audit(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_shortcut_is_found_where_it_was_planted(project: Path):
    rows = tables.read(project / "data/audit/shortcuts.parquet", tables.SHORTCUTS)
    every = rows[rows.feature == "all"].set_index("dataset")
    assert every.lower["clean"] <= 0.5 <= every.upper["clean"]
    assert every.lower["told"] > 0.5
    assert rows[(rows.dataset == "told") & (rows.feature == "bytes")].auroc.item() == 1.0
    assert set(every["videos"]) == {36} and set(every["groups"]) == {12}


def test_metrics_equal_the_tables_and_stay_small(project: Path):
    told = json.loads((project / "reports/metrics/data.json").read_text())["told"]
    assert told["videos"] == {"usable": 36, "rejected": 2}
    samples = tables.read(project / "data/shard/told/samples.parquet", tables.SAMPLES)
    assert told["frames"]["train_fake"] == ((samples.split == "train") & (samples.label == 1)).sum()
    frames = tables.read(project / "data/extract/told/frames.parquet", tables.FRAMES)
    assert told["frames"]["failed"] == (frames.status == "failed").sum()
    assert told["shared_with_test"] == {"recording": 0, "person": 1, "content": 0}
    numbers = [value for part in told.values() for value in part.values()]
    assert len(numbers) <= 16 and all(isinstance(value, int | float) for value in numbers)


def test_twice_gives_the_same_bytes(project: Path):
    outputs = [project / "data/audit/shortcuts.parquet", project / "reports/metrics/data.json"]
    before = [path.read_bytes() for path in outputs]
    assert audit(project).returncode == 0
    assert [path.read_bytes() for path in outputs] == before


def test_missing_and_additional_folders_stop_it(project: Path, tmp_path: Path):
    copy = shutil.copytree(project, tmp_path / "copy")
    (copy / "data/split/old").mkdir()
    done = audit(copy)
    assert done.returncode == 1
    assert done.stderr.startswith("error: data/split also holds old, which `datasets`")
    (copy / "data/split/old").rmdir()
    (copy / "data/index/told").rename(copy / "elsewhere")
    done = audit(copy)
    assert done.returncode == 1
    assert done.stderr.startswith("error: data/index/told: not there; run `dvc repro`")


def test_bad_value_is_named(tmp_path: Path):
    write_project(tmp_path, ["clean"], groups=4)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("folds: 4", "folds: 1"))
    done = audit(tmp_path)
    assert done.returncode == 1
    assert "audit.folds" in done.stderr and "got 1" in done.stderr
