import io
from pathlib import Path

import pandas as pd
import pytest

from pipeline.datasets import manifest
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL
from published import read_lists, recognise, videos, walk

FULL = (
    "path,label,name,method,compression,split,recording,donor_recording,source_video,donor_source_video,person,"
    "donor_person,original,mask\n"
    "fakes/a.mp4,1,clip a,swap,c23,test,mine/a,mine/b,youtube/x,youtube/y,mine/ann,mine/bob,reals/a.mp4,masks/a.mp4\n"
    "reals/a.mp4,0,,,,,,,,,,,,\n"
)


def as_parquet(text: str) -> bytes:
    """What pandas writes of the same table."""
    buffer = io.BytesIO()
    pd.read_csv(io.StringIO(text)).to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.parquet"])
def test_all_columns(tmp_path: Path, name: str) -> None:
    lists = read_lists(tmp_path, "manifest", {name: FULL if name.endswith("csv") else as_parquet(FULL)})
    assert lists.files == {name} and lists.named == {"fakes/a.mp4", "reals/a.mp4"}
    fake, real = (recognise("manifest", path, lists) for path in ("fakes/a.mp4", "reals/a.mp4"))
    assert (fake.label, fake.name, fake.method, fake.compression, fake.official_split) == (
        FAKE,
        "clip a",
        "swap",
        "c23",
        "test",
    )
    assert (fake.recording, fake.donor_recording) == ("mine/a", "mine/b")
    assert (fake.source_video, fake.donor_source_video) == ("youtube/x", "youtube/y")
    assert (fake.person, fake.donor_person) == ("mine/ann", "mine/bob")
    assert (fake.original, fake.mask) == ("reals/a.mp4", "masks/a.mp4")
    # Empty cells say nothing.
    assert (real.label, real.name, real.method, real.compression) == (REAL, "reals/a", "real", "native")
    assert (real.official_split, real.recording, real.person, real.original, real.mask) == (None,) * 5


@pytest.mark.parametrize(
    ("cell", "label"), [("0", REAL), ("1", FAKE), ("real", REAL), ("fake", FAKE), ("Real", REAL), (" FAKE ", FAKE)]
)
def test_labels(tmp_path: Path, cell: str, label: int) -> None:
    lists = read_lists(tmp_path, "manifest", {"manifest.csv": f"path,label\na.mp4,{cell}\n"})
    assert recognise("manifest", "a.mp4", lists).label == label


def test_images_of_one_name_are_one_video(tmp_path: Path) -> None:
    table = "path,label,name,method\n" + "".join(f"f/{number}.png,1,clip,swap\n" for number in (10, 9))
    lists = read_lists(tmp_path, "manifest", {"manifest.csv": table})
    records = {path: recognise("manifest", path, lists) for path in lists.named}
    assert videos(records) == {("swap", "native", "clip"): ["f/9.png", "f/10.png"]}


def test_a_copy(tmp_path: Path) -> None:
    rows = walk(
        tmp_path,
        "manifest",
        ["videos/a.mp4", "videos/b.mp4"],
        {"manifest.csv": b"path,label,original\nvideos/a.mp4,0,\n./videos/c.mp4,1,videos/a.mp4\n"},
    )
    assert {path: row["reason"] for path, row in rows.items()} == {
        "videos/a.mp4": "",
        "videos/b.mp4": "stray",
        "videos/c.mp4": "missing",
    }
    assert rows["videos/c.mp4"]["original"] == rows["videos/a.mp4"]["video"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,label,fps,\na.mp4,1,25,\n", r"manifest\.csv: unknown column fps, \(unnamed\); known: path, label, name"),
        ("path\na.mp4\n", r"manifest\.csv: expected the columns path and label"),
        ("", r"manifest\.csv: expected the columns path and label"),
        ("path,label,label\na.mp4,1,1\n", r"each column once"),
        ("path,label\na.mp4\n", r"manifest\.csv, line 2: 1 cells under 2 columns"),
        ("path,label\na.mp4,2\n", r"manifest\.csv, line 2: label '2' is none of 0, real, 1, fake"),
        ("path,label\na.mp4,1\n\nb.mp4,\n", r"manifest\.csv, line 4: label '' is none of"),
        ("path,label\n,1\n", r"manifest\.csv, line 2: path '' is not below the root"),
        ("path,label\n/etc/a.mp4,1\n", r"line 2: path '/etc/a\.mp4' is not below the root"),
        ("path,label\nC:/a.mp4,1\n", r"line 2: path 'C:/a\.mp4' is not below the root"),
        ("path,label\nx/../../a.mp4,1\n", r"is not below the root"),
        ("path,label\nx\\a.mp4,1\n", r"with forward slashes"),
        ("path,label,mask\na.mp4,1,../m.mp4\n", r"path '\.\./m\.mp4' is not below the root"),
        ("path,label,split\na.mp4,1,dev\n", r"line 2: split 'dev' is none of train, val, test"),
        ("path,label,person\na.mp4,1,ann\n", r"line 2: person 'ann' is not of the form <corpus>/<name>"),
        ("path,label\na.mp4,1\na.mp4,1\n", r"line 3: a\.mp4 stands above already"),
        ("path,label,name,split\n1.png,1,a,train\n2.png,1,a,test\n", r"line 3: 2\.png has the method, .* other facts"),
    ],
)
def test_malformed_manifest(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_lists(tmp_path, "manifest", {"manifest.csv": table})


def test_a_manifest_that_is_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.parquet: expected a Parquet file"):
        read_lists(tmp_path, "manifest", {"manifest.parquet": "path,label\n"})


def test_two_manifests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.csv and .*manifest\.parquet both"):
        read_lists(tmp_path, "manifest", {"manifest.csv": FULL, "manifest.parquet": as_parquet(FULL)})


def test_without_a_manifest(tmp_path: Path) -> None:
    assert read_lists(tmp_path, "manifest", {}).missing == ("manifest.csv or manifest.parquet; write one at the root",)


def test_files_that_differ_only_in_their_extension_are_videos_of_their_own(tmp_path: Path) -> None:
    rows = ["path,label", "talk.mp4,real", "talk.webm,real", "a/one.png,fake", "a/one.jpg,fake", "other.mp4,fake"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    records = manifest.read_lists({"manifest.csv": tmp_path / "manifest.csv"}).content["records"]
    assert [record.name for record in records.values()] == ["talk.mp4", "talk.webm", "a/one.png", "a/one.jpg", "other"]
