import csv
import json
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damaged_files import ENCODERS, sound_videos, write_damaged_tree
from fabricated_videos import KEY
from pipeline import decoding, tables, video
from pipeline.engines import local_engine
from small_project import ROOT, run_script, write_params

FILES = 300
SECONDS = 20.0  # for one file, on a busy machine


def probe(path: str) -> dict[str, Any]:
    """Scan a file and decode its first, middle and last frame, as a worker of `index` and `extract` would."""
    answer: dict[str, Any] = {"reason": "", "pictures": 0}
    try:
        facts = video.scan(Path(path))
        pts = facts["pts"]
        wanted = sorted({pts[0], pts[len(pts) // 2], pts[-1]})
        got = list(decoding.decode(Path(path), wanted, [pts[index] for index in facts["key_frames"]]))
        assert sorted(time for time, _, _ in got) == wanted
        for _, picture, reason in got:
            assert (picture is None) == (reason in ("missing_frame", "corrupt_frame"))
            assert picture is None or (picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3)
        assert all(-(2**63) <= time < 2**63 for time in pts)
        assert all(facts[name] is None or 0 <= facts[name] < 2**31 for name in ("claimed_frames", "width", "height"))
        answer["pictures"] = sum(picture is not None for _, picture, _ in got)
    except video.VideoError as error:
        assert error.detail and str(path) not in error.detail
        answer["reason"] = error.reason
    return answer | {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    paths = write_damaged_tree(tmp_path_factory.mktemp("damaged"), FILES)
    assert len(set(paths)) == FILES and all(path.is_file() for path in paths)
    with local_engine(2, timeout_s=SECONDS) as run:
        return dict(run(probe, map(str, paths)))


def test_every_damaged_file_is_answered_without_crash_hang_or_surprise(answers: dict[str, Any]) -> None:
    assert len(answers) == FILES
    assert {path: answer for path, answer in answers.items() if isinstance(answer, Exception)} == {}


def test_index_and_doctor_give_every_damaged_file_a_row(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    paths = write_damaged_tree(root, FILES)
    (root / "List_of_testing_videos.txt").unlink()
    names = [path.relative_to(root).as_posix() for path in paths]
    listed = [name for name in names if not {"\\", ":"} & set(name) and name.isprintable() and name == name.strip()]
    with (root / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "name"])
        rows.writerows([name, place % 2, f"file {place}"] for place, name in enumerate(listed))
    write_params(tmp_path, root, {f"datasets.{KEY}.layout": "manifest"})
    done = run_script(tmp_path, "index")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    videos = tables.read(tmp_path / f"data/index/{KEY}/videos.parquet", tables.VIDEOS)
    assert len(videos) == FILES and videos.path.is_unique
    assert len(listed) > 0.9 * FILES and (videos.reason == "stray").sum() == FILES - len(listed)
    assert "scan_failed" not in set(videos.reason) and (videos.status == "ok").sum() > FILES / 4

    command = [sys.executable, "-m", "pipeline.cli", "doctor", "manifest", str(root), "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VERIFRAME_CACHE": str(tmp_path / "doctor")}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 1 and "Traceback" not in told.stderr
    report = json.loads(told.stdout)
    rejected = set(videos[videos.status == "rejected"].path)
    assert rejected <= {finding["subject"] for finding in report["findings"]}
    assert sum(row["found"] for row in report["videos"]) == len(listed)


def test_the_damage_is_of_many_kinds(answers: dict[str, Any]) -> None:
    """Some files are beyond use, some still give their pictures: else the test would prove little."""
    reasons = [answer["reason"] for answer in answers.values()]
    assert {"empty_file", "unreadable", "truncated", "no_video_stream", "repeated_timestamps"} <= set(reasons)
    assert reasons.count("") > FILES / 4
    assert sum(answer["pictures"] == 0 for answer in answers.values()) > FILES / 4
    assert len({answer["pictures"] for answer in answers.values()}) == 4


def test_no_declared_size_takes_the_memory_it_asks_for(answers: dict[str, Any], tmp_path: Path) -> None:
    assert max(answer["memory_mb"] for answer in answers.values()) < 2000
    for name, size_at in (("raw.avi", b"strf"), ("a.gif", b"GIF8")):
        content = bytearray(sound_videos()[name])
        sizes = struct.pack("<ii", 65535, 65535) if name == "raw.avi" else struct.pack("<HH", 65535, 65535)
        at = content.index(size_at) + (12 if name == "raw.avi" else 6)
        content[at : at + len(sizes)] = sizes
        (tmp_path / name).write_bytes(content)
        with pytest.raises(video.VideoError, match="more than 134217728 pixels") as caught:
            video.scan(tmp_path / name)
        assert caught.value.reason == "unreadable"


def test_the_sound_files_are_sound(tmp_path: Path) -> None:
    for name, content in sound_videos().items():
        path = tmp_path / name
        path.write_bytes(content)
        assert probe(str(path)) | {"memory_mb": 0} == {"reason": "", "pictures": 3, "memory_mb": 0}, name
        assert video.scan(path)["frames"] == 24
    assert sound_videos().keys() == ENCODERS.keys()


def test_the_tree_is_the_same_every_time(tmp_path: Path) -> None:
    first, again = (write_damaged_tree(tmp_path / name, 100) for name in ("first", "again"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    other = write_damaged_tree(tmp_path / "other", 100, seed=1)
    assert [path.read_bytes() for path in first] != [path.read_bytes() for path in other]
