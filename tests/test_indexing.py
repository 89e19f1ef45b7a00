import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fabricated_videos import FAULTS, KEY, write_celeb_tree, write_video
from pipeline import indexing, recognition, scanning, tables
from pipeline.errors import UserError
from pipeline.files import sha256_of_file
from pipeline.params import Dataset

Row = dict[str, Any]


def index(root: Path, run: Any, layout: str = "celeb_df_v2", **asked: Any) -> dict[str, Row]:
    return dict_of(index_and_findings(root, run, layout, **asked)[0])


def index_and_findings(
    root: Path, run: Any, layout: str = "celeb_df_v2", cache: Path | None = None, **asked: Any
) -> tuple[list[Row], list[Row]]:
    tree = recognition.recognise(KEY, Dataset(layout=layout, root=root, **asked))
    with tempfile.TemporaryDirectory() as folder:
        rows = indexing.index(tree, 2, run, cache or Path(folder), "index")
    assert len({row["path"] for row in rows}) == len({row["video"] for row in rows}) == len(rows)
    assert all(set(row) == set(tables.VIDEOS.names) for row in rows)
    return rows, indexing.findings(KEY, rows, tree)


def dict_of(rows: list[Row]) -> dict[str, Row]:
    return {row["path"]: row for row in rows}


def scan(path: Path) -> Row:
    return scanning.scan(scanning.Job("video", (str(path),)))


def test_every_file_and_every_listed_video_has_a_row(celeb_tree: Path, in_process: Any) -> None:
    rows = index(celeb_tree, in_process)
    files = {path.relative_to(celeb_tree).as_posix() for path in celeb_tree.rglob("*") if path.is_file()}
    assert set(rows) == files - {"List_of_testing_videos.txt"} | {"Celeb-real/id9_0000.mp4"}
    assert {path: row["reason"] for path, row in rows.items() if row["status"] == "rejected"} == FAULTS
    for row in rows.values():
        assert (row["status"], row["reason"] == "", row["detail"] == "") in [
            ("ok", True, True),
            ("rejected", False, False),
        ]
        assert (row["sha256"] is None) == (row["reason"] in ("missing", "stray", "label_conflict"))


def test_a_good_video_is_described(celeb_tree: Path, in_process: Any) -> None:
    path = "Celeb-synthesis/id0_id1_0001.mp4"
    row = index(celeb_tree, in_process)[path]
    assert row["video"] == f"{KEY}/Celeb-synthesis/native/id0_id1_0001"
    assert (row["label"], row["official_split"], row["original"]) == (1, "train", f"{KEY}/Celeb-real/native/id0_0001")
    assert row["sha256"] == sha256_of_file(celeb_tree / path) and row["bytes"] == (celeb_tree / path).stat().st_size
    assert (row["codec"], row["width"], row["height"], row["frame_rate"]) == ("h264", 64, 48, 25.0)
    assert row["frames"] == len(row["pts"]) >= 16 and list(row["key_frames"]) == [0, 12]
    assert row["encoder"].startswith("x264 - core") and "crf=20" in row["encoder"]


def test_a_selection_that_names_nothing_there_is_refused(celeb_tree: Path, in_process: Any) -> None:
    with pytest.raises(UserError, match="there is no method Other; found: Celeb-real, Celeb-synthesis, YouTube-real"):
        index(celeb_tree, in_process, methods=["Other"])
    with pytest.raises(UserError, match="there is no compression c23; found: native"):
        index(celeb_tree, in_process, compression=["c23"])


def test_a_selection_keeps_reals_and_says_what_is_left_out(celeb_tree: Path, in_process: Any) -> None:
    rows = index(celeb_tree, in_process, methods=["Celeb-real"])
    fakes = [row for row in rows.values() if row["method"] == "Celeb-synthesis"]
    assert {row["reason"] for row in fakes} == {"not_selected"}
    assert {row["status"] for row in rows.values() if row["method"] == "YouTube-real"} == {"ok"}


def test_a_list_that_names_what_no_layout_knows(tmp_path: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    with (root / "List_of_testing_videos.txt").open("a") as file:
        file.write("\n1 Celeb-real/never.mp4\n0 notes.txt")
    (root / "notes.txt").write_text("here")
    rows = index(root, in_process)
    assert rows["Celeb-real/never.mp4"]["reason"] == "missing"
    assert rows["notes.txt"]["reason"] == "stray"


def test_links_that_lead_nowhere(tmp_path: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    (root / "Celeb-real/id7_0000.mp4").symlink_to(tmp_path / "gone.mp4")
    (root / "stray_link").symlink_to(tmp_path / "gone.txt")
    rows = index(root, in_process)
    assert (rows["Celeb-real/id7_0000.mp4"]["reason"], rows["stray_link"]["reason"]) == ("unreadable", "stray")
    assert "No such file" in rows["Celeb-real/id7_0000.mp4"]["detail"]


def test_links_are_followed(celeb_tree: Path, tmp_path: Path, in_process: Any) -> None:
    (tmp_path / "link").symlink_to(celeb_tree)
    assert index(tmp_path / "link", in_process) == index(celeb_tree, in_process)


def test_a_name_that_is_no_text(tmp_path: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    name = os.fsencode(str(root)) + b"/Celeb-real/id0_\xff\xfe.mp4"
    try:
        Path(os.fsdecode(name)).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    rows, _ = index_and_findings(root, in_process)
    tables.write(tmp_path / "videos.parquet", rows, tables.VIDEOS, order=["video"])
    read = tables.read(tmp_path / "videos.parquet", tables.VIDEOS)
    assert read[read.reason == "stray"].path.tolist() == [r"Celeb-real/id0_\udcff\udcfe.mp4"]


def test_two_files_for_one_video(tmp_path: Path, in_process: Any) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.json").write_text("[]")
    for folder in ("raw", "c0"):
        write_video(tmp_path / f"original_sequences/youtube/{folder}/videos/000.mp4", 2)
    with pytest.raises(UserError, match=r"c0/videos/000\.mp4 and .*raw/videos/000\.mp4 are the same file"):
        index(tmp_path, in_process, "ffpp")


def test_a_fake_whose_original_is_not_there(tmp_path: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    (root / "Celeb-real/id0_0001.mp4").unlink()
    _, findings = index_and_findings(root, in_process)
    found = [row for row in findings if row["code"] == "original_missing"]
    assert [row["subject"] for row in found] == ["Celeb-synthesis/id0_id1_0001.mp4"]
    assert "Celeb-real/id0_0001.mp4" in found[0]["detail"] and found[0]["severity"] == "note"


def test_every_rejection_is_a_finding(celeb_tree: Path, in_process: Any) -> None:
    _, found = index_and_findings(celeb_tree, in_process)
    assert {row["subject"]: row["code"] for row in found if row["subject"] in FAULTS} == FAULTS
    assert {row["code"] for row in found if row["severity"] == "note" and row["subject"] in FAULTS} == {"stray"}


def test_a_scan_that_dies_is_a_row(celeb_tree: Path) -> None:
    def run(function: Callable[[Any], Any], jobs: Any, watch: Any = None) -> Any:
        for job in jobs:
            yield job, MemoryError() if job.paths[0].endswith("id0_0000.mp4") else function(job)

    row = index(celeb_tree, run)["Celeb-real/id0_0000.mp4"]
    died = "the scan died twice: MemoryError"
    assert (row["status"], row["reason"], row["detail"]) == ("rejected", "scan_failed", died)


def test_a_scan_that_dies_once_is_tried_again(celeb_tree: Path) -> None:
    died = []

    def run(function: Callable[[Any], Any], jobs: Any, watch: Any = None) -> Any:
        for job in jobs:
            if job.paths[0].endswith("id0_0000.mp4") and not died:
                died.append(job)
                yield job, MemoryError()
            else:
                yield job, function(job)

    assert index(celeb_tree, run)["Celeb-real/id0_0000.mp4"]["status"] == "ok" and len(died) == 1


def test_only_new_and_changed_files_are_opened(tmp_path: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    opened: list[str] = []

    def run(function: Callable[[Any], Any], jobs: Any, watch: Any = None) -> Any:
        jobs = list(jobs)
        opened.extend(Path(job.paths[0]).name for job in jobs)
        return in_process(function, jobs)

    first, _ = index_and_findings(root, run, cache=tmp_path / "cache")
    assert len(opened) == len(first) == 17
    opened.clear()
    assert index_and_findings(root, run, cache=tmp_path / "cache")[0] == first and opened == []
    write_video(root / "Celeb-real/id0_0000.mp4", 30)
    write_video(root / "Celeb-real/id5_0000.mp4", 19)
    second = dict_of(index_and_findings(root, run, cache=tmp_path / "cache")[0])
    assert sorted(opened) == ["id0_0000.mp4", "id5_0000.mp4"]
    assert second["Celeb-real/id0_0000.mp4"]["frames"] == 30
    assert list(second.values()) == index_and_findings(root, in_process)[0]


def test_root_missing(tmp_path: Path, in_process: Any) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*gone; link your copy there"):
        index(tmp_path / "gone", in_process)


def test_tree_of_another_layout(celeb_tree: Path, tmp_path: Path, in_process: Any) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.json").write_text("[]")
    (tmp_path / "Celeb-real").symlink_to(celeb_tree / "Celeb-real")
    with pytest.raises(UserError, match=r"no file below .* fits the layout ffpp; it fits .*celeb_df_v2"):
        index(tmp_path, in_process, "ffpp")


def test_face_clips(clips: Path) -> None:
    frames = {path.name: scan(path) for path in sorted((clips / "faces").iterdir())}
    assert frames["office_720p.264"]["time_base"] is None  # a raw stream: its frames are counted
    assert {name: row["frames"] for name, row in frames.items()} == {
        "asl_again.mkv": 77,
        "asl_bird.mkv": 63,
        "asl_book.mkv": 109,
        "asl_eat.mkv": 47,
        "asl_milk.mkv": 51,
        "asl_night.mkv": 68,
        "asl_no.mkv": 66,
        "asl_school.mkv": 72,
        "head_pose_male.gif": 62,
        "office_720p.264": 19,
        "webcam_talking.mp4": 765,
        "webcam_talking.webm": 752,
    }
    times = frames["webcam_talking.webm"]["pts"]
    assert len({later - earlier for earlier, later in itertools.pairwise(times)}) > 2  # uneven frame times
