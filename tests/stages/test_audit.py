"""The stage audit over a made-up project of two datasets."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import stages.audit
from fabricated_project import write_params, write_project
from pipeline import shortcuts, tables
from pipeline.errors import exit_on_user_error
from pipeline.files import sha256_of_file
from small_project import inside

KEYS = ["clean", "told", "blurred", "copied"]


def audit(folder: Path) -> tuple[int, str]:
    """Run the stage in this process; return exit code and stderr."""
    said = io.StringIO()
    with inside(folder), redirect_stderr(said):
        try:
            exit_on_user_error(stages.audit.main)
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
    return 0, said.getvalue()


def metrics_of(folder: Path) -> dict[str, dict[str, Any]]:
    return dict(json.loads((folder / "reports/metrics/data.json").read_text()))


@contextmanager
def changed(path: Path, schema: pa.Schema, key: str) -> Iterator[pd.DataFrame]:
    """Yield a table, and write it back with what was changed in it."""
    table = tables.read(path, schema)
    yield table
    tables.write(path, table, schema, [key])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of four datasets: a clean one, one that the file size gives away, one that the sharpness of the
    crops gives away, and one with a test file that is a train file of the first."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, KEYS)
    with changed(folder / "data/index/told/videos.parquet", tables.VIDEOS, "video") as videos:
        videos.loc[videos.label == tables.FAKE, "bytes"] += 2_000_000
    with changed(folder / "data/extract/blurred/frames.parquet", tables.FRAMES, "key") as frames:
        frames.loc[frames.label == tables.FAKE, "sharpness"] *= 0.3
    learned = tables.read(folder / "data/index/clean/videos.parquet", tables.VIDEOS)
    with changed(folder / "data/index/copied/videos.parquet", tables.VIDEOS, "video") as videos:
        known = learned[learned.official_split == "train"].sha256.iloc[0]
        videos.loc[videos.index[videos.official_split == "test"][0], "sha256"] = known
    assert audit(folder) == (0, "")
    return folder


def test_shortcut_is_found_where_it_was_planted_and_by_no_other_probe(project: Path):
    rows = tables.read(project / "data/audit/shortcuts.parquet", tables.SHORTCUTS)
    every = rows[rows.feature == "all"].set_index(["dataset", "probe"])
    assert len(every) == 2 * len(KEYS)
    telling = {place for place, row in every.iterrows() if row.lower > 0.5}
    assert telling == {("told", "container"), ("blurred", "picture")}
    assert rows[(rows.dataset == "told") & (rows.feature == "bytes")].auroc.item() == 1.0
    assert rows[(rows.dataset == "blurred") & (rows.feature == "sharpness")].auroc.item() == 1.0
    assert set(every["videos"]) == {36} and set(every["groups"]) == {12}
    seen = rows[rows.feature != "all"].groupby("probe").feature.agg(set)
    assert seen["container"] <= {*shortcuts.COLUMNS} and seen["picture"] <= {*shortcuts.PICTURE}


def test_metrics_equal_the_tables_and_stay_few(project: Path):
    told = metrics_of(project)["told"]
    samples = tables.read(project / "data/shard/told/samples.parquet", tables.SAMPLES)
    rows = tables.read(project / "data/audit/shortcuts.parquet", tables.SHORTCUTS)
    every = rows[(rows.dataset == "told") & (rows.feature == "all")].set_index("probe")
    assert told == {
        "videos": 36,
        "frames": len(samples),
        "leaks": 0,
        "container_auroc": round(every.auroc["container"], 3),
        "picture_auroc": round(every.auroc["picture"], 3),
    }


def test_the_hash_of_every_manifest_is_written_apart_from_the_metrics(project: Path):
    hashes = json.loads((project / "reports/manifests.json").read_text())
    assert hashes == {key: sha256_of_file(project / f"data/shard/{key}/manifest.json") for key in KEYS}


def test_leaks_are_the_test_videos_that_share_material_each_once(tmp_path: Path):
    write_project(tmp_path, ["one"], groups=8)
    with changed(tmp_path / "data/index/one/videos.parquet", tables.VIDEOS, "video") as videos:
        known = videos[(videos.official_split == "train") & (videos.status == "ok")].iloc[0]
        tested = videos.index[(videos.official_split == "test") & (videos.status == "ok")]
        videos.loc[tested[0], ["recording", "sha256"]] = known[["recording", "sha256"]].to_numpy()
        videos.loc[tested[1], "donor_recording"] = known.recording
        videos.loc[tested[2], "person"] = known.person  # a person is no material
    assert audit(tmp_path) == (0, "")
    assert metrics_of(tmp_path)["one"]["leaks"] == 2


def test_built_in_datasets_are_tied_by_content_alone(project: Path):
    (row,) = tables.read(project / "data/audit/leaks.parquet", tables.ACROSS).to_dict("records")
    assert (row["kind"], row["learned"], row["tested"]) == ("content", "clean", "copied")
    assert (row["learned_videos"], row["tested_videos"]) == (1, 1)


def test_datasets_of_the_user_are_tied_by_names(tmp_path: Path):
    write_project(tmp_path, ["one", "two"], groups=4)
    write_params(tmp_path, ["one", "two"], of="root: data/raw/own")
    assert audit(tmp_path) == (0, "")
    rows = tables.read(tmp_path / "data/audit/leaks.parquet", tables.ACROSS)
    assert set(rows.kind) == {"person", "target_person"} and set(rows.node) == {"corpus/id<1>"}
    assert set(zip(rows.learned, rows.tested, strict=True)) == {("one", "two"), ("two", "one")}


def test_crops_of_one_class_give_no_figure_and_plain_json(tmp_path: Path):
    write_project(tmp_path, ["one"], groups=4)
    with changed(tmp_path / "data/extract/one/frames.parquet", tables.FRAMES, "key") as frames:
        frames.loc[frames.label == tables.REAL, "status"] = "surplus"
    assert audit(tmp_path) == (0, "")
    found = metrics_of(tmp_path)["one"]
    assert found["picture_auroc"] is None and found["container_auroc"] is not None


def test_twice_gives_the_same_bytes(project: Path):
    reports = [project / "reports/metrics/data.json", project / "reports/manifests.json"]
    outputs = [*sorted((project / "data/audit").iterdir()), *reports]
    assert len(outputs) == 4
    before = [path.read_bytes() for path in outputs]
    assert audit(project) == (0, "")
    assert [path.read_bytes() for path in outputs] == before


def test_missing_and_additional_folders_stop_it(project: Path, tmp_path: Path):
    copy = shutil.copytree(project, tmp_path / "copy")
    (copy / "data/split/old").mkdir()
    code, complaint = audit(copy)
    assert code == 1 and complaint.startswith("error: data/split also holds old, which `datasets`")
    (copy / "data/split/old").rmdir()
    (copy / "data/index/told").rename(copy / "elsewhere")
    code, complaint = audit(copy)
    assert code == 1 and complaint.startswith("error: data/index/told: not there; run `dvc repro`")


def test_bad_value_is_named(tmp_path: Path):
    write_project(tmp_path, ["clean"], groups=4)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("folds: 4", "folds: 1"))
    code, complaint = audit(tmp_path)
    assert code == 1 and "audit.folds" in complaint and "got 1" in complaint
