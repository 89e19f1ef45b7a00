from pathlib import Path

from fabricated_videos import KEY
from pipeline import selection, tables
from small_project import refusal


def test_every_candidate_has_its_key(finished: Path) -> None:
    candidates = tables.read(finished / f"data/sample/{KEY}/frames.parquet", tables.CANDIDATES)
    flat = tables.read(finished / f"data/flatten/{KEY}/frames.parquet", tables.FLAT)
    assert flat.key.str.lower().is_unique and flat.key.is_monotonic_increasing
    columns = list(candidates.columns)
    assert flat.sort_values(["video", "frame"])[columns].reset_index(drop=True).equals(candidates)
    row = flat[(flat.video == f"{KEY}/Celeb-synthesis/native/id0_id1_0001") & (flat.frame == 15)]
    assert row.key.tolist() == [f"{KEY}__Celeb-synthesis__native__id0_id1_0001__f000015"]


def test_the_bytes_are_those_of_plain_strings(finished: Path, tmp_path: Path) -> None:
    frames = tables.read(finished / f"data/sample/{KEY}/frames.parquet", tables.CANDIDATES)
    keys = [
        f"{selection.flat_name(video)}__f{frame:06d}" for video, frame in zip(frames.video, frames.frame, strict=True)
    ]
    tables.write(tmp_path / "plain.parquet", frames.assign(key=keys), tables.FLAT, order=["key"])
    stage = finished / f"data/flatten/{KEY}/frames.parquet"
    assert stage.read_bytes() == (tmp_path / "plain.parquet").read_bytes()


def test_two_videos_of_one_name(project: Path) -> None:
    path = project / f"data/sample/{KEY}/frames.parquet"
    frames = tables.read(path, tables.CANDIDATES)
    frames.loc[frames.video == f"{KEY}/YouTube-real/native/00000", "video"] = f"{KEY}/youtube-real/native/00001"
    tables.write(path, frames, tables.CANDIDATES, order=["video", "frame"])
    assert "rename one of them" in refusal(project, "flatten")
