import json
import re
from pathlib import Path

import pandas as pd
import pytest

from fabricated_videos import KEY
from pipeline import tables
from pipeline.tars import write_tar
from small_project import refusal, run_stage, write_params


def verdict(project: Path) -> dict:
    return json.loads((project / f"data/check/{KEY}/verdict.json").read_text())


def findings(project: Path) -> pd.DataFrame:
    return tables.read(project / f"data/check/{KEY}/findings.parquet", tables.FINDINGS)


def test_a_sound_dataset_passes(project: Path) -> None:
    run_stage(project, "check")
    said = verdict(project)
    assert said["passed"] is True and said["broken"] == []
    assert said["videos"] == {"used": 17, "rejected": 7}
    frames = tables.read(project / f"data/extract/{KEY}/frames.parquet", tables.FRAMES)
    assert said["frames"] == {status: int((frames.status == status).sum()) for status in said["frames"]}
    assert all(before == after for before, after in said["steps"].values())
    assert findings(project).empty


def test_shards_of_a_bad_size_are_a_warning(project: Path, celeb_tree: Path) -> None:
    write_params(project, celeb_tree, {"shard.shards": {"train": 4, "val": 1, "test": 1}})
    run_stage(project, "check")
    (warning,) = findings(project).to_dict("records")
    assert (warning["severity"], warning["code"], warning["subject"]) == ("warning", "shard_size", "train")
    samples = tables.read(project / f"data/shard/{KEY}/samples.parquet", tables.SAMPLES)
    tar = project / f"data/shard/{KEY}/train/train-000000.tar"
    told = re.fullmatch(r"4 shards of about ([\d.]+)kB, .*: set shard\.shards\.train to 1", warning["detail"])
    assert told and float(told[1]) * 4 == pytest.approx(tar.stat().st_size / 1000, rel=0.2)
    assert (samples.split == "train").sum() > 10


def test_a_failed_frame_is_a_note(project: Path) -> None:
    path = project / f"data/extract/{KEY}/frames.parquet"
    frames = tables.read(path, tables.FRAMES)
    row = frames.index[frames.status == "unused"][0]
    frames.loc[row, ["status", "reason"]] = ["failed", "no_face"]
    tables.write(path, frames, tables.FRAMES, order=["key"])
    run_stage(project, "check")
    (note,) = findings(project).to_dict("records")
    assert (note["severity"], note["code"], note["subject"]) == ("note", "no_face", frames.key[row])


def test_a_guessed_face_is_a_note_for_its_video(project: Path) -> None:
    path = project / f"data/extract/{KEY}/frames.parquet"
    frames = tables.read(path, tables.FRAMES)
    kept = frames[frames.status == "kept"]
    video = kept.video.iloc[0]
    frames.loc[kept.index[kept.video == video][:2], "chosen_by"] = "ambiguous_face"
    tables.write(path, frames, tables.FRAMES, order=["key"])
    run_stage(project, "check")
    (note,) = findings(project).to_dict("records")
    assert (note["severity"], note["code"], note["subject"]) == ("note", "ambiguous_face", video)
    assert note["detail"].startswith(f"2 of {(kept.video == video).sum()} kept frames")


def test_a_shortfall_that_extract_let_pass_is_a_warning(project: Path) -> None:
    path = project / f"data/extract/{KEY}/quotas.parquet"
    filled = tables.read(path, tables.FILLED)
    filled.loc[0, "quota"] += 1
    tables.write(path, filled, tables.FILLED, order=["split", "label"])
    run_stage(project, "check")
    (warning,) = findings(project).to_dict("records")
    assert (warning["severity"], warning["code"]) == ("warning", "quota_missed")
    assert verdict(project)["passed"] is True


def drop_the_crops(project: Path) -> str:
    for path in (project / f"data/extract/{KEY}").glob("*.tar"):
        write_tar(path, [])
    return "missing_crop"


def drop_a_row(project: Path) -> str:
    path = project / f"data/flatten/{KEY}/frames.parquet"
    tables.write(path, tables.read(path, tables.FLAT)[1:], tables.FLAT, order=["key"])
    return "count_mismatch"


def tie_train_to_val(project: Path) -> str:
    path = project / f"data/split/{KEY}/videos.parquet"
    rows = tables.read(path, tables.ASSIGNMENTS)
    for split in ("train", "val"):
        rows.loc[rows.index[rows.split == split][0], "group"] = "both"
    tables.write(path, rows, tables.ASSIGNMENTS, order=["video"])
    return "group_in_two_splits"


def test_broken_rules_stop_the_pipeline_and_are_written_down(project: Path) -> None:
    codes = {drop_the_crops(project), drop_a_row(project), tie_train_to_val(project)}
    line = refusal(project, "check")
    assert all(code in line for code in codes) and f"data/check/{KEY}/verdict.json" in line
    said = verdict(project)
    assert said["passed"] is False and set(said["broken"]) == codes
    errors = findings(project)
    assert set(errors.severity) == {"error"} and set(errors.code) == codes and (errors.subject != "").all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"check.min_found": 1.5}, "check.min_found: Input should be less than or equal to 1"),
        ({"check.max_imbalance": 0.5}, "check.max_imbalance: Input should be greater than or equal to 1"),
    ],
)
def test_bad_values(project: Path, celeb_tree: Path, changes: dict, said: str) -> None:
    write_params(project, celeb_tree, changes)
    assert said in refusal(project, "check")
