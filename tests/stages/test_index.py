from pathlib import Path

import pytest

from fabricated_videos import FAULTS, KEY, write_celeb_tree
from pipeline import tables
from small_project import contents, refusal, run_script, run_stage, write_params


def test_every_file_is_a_row_and_every_fault_a_finding(finished: Path, celeb_tree: Path) -> None:
    videos = tables.read(finished / f"data/index/{KEY}/videos.parquet", tables.VIDEOS)
    files = {path.relative_to(celeb_tree).as_posix() for path in celeb_tree.rglob("*") if path.is_file()}
    assert set(videos.path) == files - {"List_of_testing_videos.txt"} | {"Celeb-real/id9_0000.mp4"}
    assert videos.path.is_unique and videos.video.is_monotonic_increasing
    rejected = videos[videos.status == "rejected"]
    assert dict(zip(rejected.path, rejected.reason, strict=True)) == FAULTS
    findings = tables.read(finished / f"data/index/{KEY}/findings.parquet", tables.FINDINGS)
    of_faults = findings[findings.subject.isin(list(FAULTS))]
    assert dict(zip(of_faults.subject, of_faults.code, strict=True)) == FAULTS


def test_without_its_list_nothing_is_written(tmp_path: Path) -> None:
    root = write_celeb_tree(tmp_path / "raw", faults=False)
    (root / "List_of_testing_videos.txt").unlink()
    write_params(tmp_path, root)
    said = refusal(tmp_path, "index")
    assert f"datasets.{KEY}: a published list is missing: List_of_testing_videos.txt" in said
    assert not (tmp_path / "data").exists()


def test_the_same_bytes_with_two_workers_and_the_raw_tree_untouched(
    project: Path, finished: Path, celeb_tree: Path
) -> None:
    times = {path: path.stat().st_mtime_ns for path in celeb_tree.rglob("*")}
    before = contents(celeb_tree)
    run_stage(project, "index", VERIFRAME_WORKERS="2")
    assert contents(project / "data/index") == contents(finished / "data/index")
    assert contents(celeb_tree) == before
    assert {path: path.stat().st_mtime_ns for path in celeb_tree.rglob("*")} == times


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({f"datasets.{KEY}.root": "data/raw/gone"}, f"datasets.{KEY}: there is no folder data/raw/gone"),
        ({f"datasets.{KEY}.layout": "celebdf"}, f"datasets.{KEY}: unknown layout 'celebdf'; known: celeb_df_"),
        ({f"datasets.{KEY}.layout": "ffpp"}, "fits the layout ffpp; it fits celeb_df_v"),
        ({f"datasets.{KEY}.subset": 2}, f"datasets.{KEY}.subset: Input should be less than or equal to 1 (got 2)"),
        ({f"datasets.{KEY}.methods": ["Nope"]}, f"error: datasets.{KEY}: there is no method Nope; found: Celeb-"),
        ({f"datasets.{KEY}.methods": "Deepfakes"}, f"datasets.{KEY}.methods: Input should be a valid list"),
        ({f"datasets.{KEY}.rot": "x"}, f"datasets.{KEY}.rot: Extra inputs are not permitted"),
        ({f"datasets.{KEY}": None}, f"datasets.{KEY}: Input should be a valid dictionary"),
        ({"datasets": {}}, "`datasets` names no dataset"),
        ({"datasets": ["celeb_df"]}, "`datasets` must be a mapping"),
        ({"datasets": {"other": {}}}, "datasets.other.layout: Field required"),
        (
            {"datasets": {"a/b": {"layout": "dfdc", "root": "x"}}},
            "a key is text of letters, digits, _ and -, not 'a/b'",
        ),
        ({"datasets": {2: {"layout": "dfdc", "root": "x"}}}, "a key is text of letters, digits, _ and -, not 2"),
        ({"index.min_frames": 0}, "index.min_frames: Input should be greater than or equal to 1 (got 0)"),
        ({"index.min_frames": "2"}, "index.min_frames: Input should be a valid integer (got '2')"),
        ({"index.min_frames": ...}, "index.min_frames: Field required"),
        ({"index": 2}, "`index` must be a mapping"),
    ],
)
def test_bad_values(tmp_path: Path, celeb_tree: Path, changes: dict, said: str) -> None:
    write_params(tmp_path, celeb_tree, changes)
    assert said in refusal(tmp_path, "index")
    assert not (tmp_path / "data").exists()


def test_a_key_that_is_not_there(tmp_path: Path, celeb_tree: Path) -> None:
    write_params(tmp_path, celeb_tree)
    assert f"there is no dataset 'tony' under `datasets`; known: {KEY}" in refusal(tmp_path, "index", "tony")


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", "index: {min_frames: 1}\nindex: {min_frames: 2}\n", "\x00"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    assert "params.yaml" in refusal(tmp_path, "index")


def test_no_params_file(tmp_path: Path) -> None:
    assert "run this from the project's root folder" in refusal(tmp_path, "index")


def test_as_a_script(tmp_path: Path) -> None:
    """Exit code 1, one line, no traceback, nothing written."""
    write_params(tmp_path, tmp_path / "gone")
    done = run_script(tmp_path, "index")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()
