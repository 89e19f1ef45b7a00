from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pandas as pd
import pytest

from fabricated_videos import picture
from pipeline import quality
from pipeline.files import sha256_of_bytes
from pipeline.tars import write_tar

CELLS = [(split, label) for split in ("train", "val", "test") for label in (0, 1)]


def clean() -> SimpleNamespace:
    """What `checked_tables` takes, with nothing wrong: two videos for each split and class, four frames a video."""
    videos, frames, filled = [], [], []
    for split, label in CELLS:
        for number in range(2):
            name = f"{split}{label}{number}"
            by = "carved" if split == "val" else "official"
            videos.append({"video": name, "label": label, "split": split, "split_by": by, "group": f"group of {name}"})
            for frame in range(4):
                status = ("kept", "kept", "failed", "unused")[frame]
                row = {
                    "key": f"d__m__{name}__f00000{frame}",
                    "video": name,
                    "split": split,
                    "label": label,
                    "status": status,
                    "reason": "no_face" if status == "failed" else "",
                }
                kept = {"sha256": "0" * 64, "crop_width": 50, "crop_height": 60, "tar": "crops-00000.tar"}
                frames.append(row | (kept if status == "kept" else dict.fromkeys(kept)))
        filled.append(
            {
                "split": split,
                "label": label,
                "rule": "none" if split == "test" else "smallest_class",
                "min_per_video": 1,
                "candidates": 8,
                "videos": 2,
                "quota": 4,
                "tried": 6,
                "failed": 2,
                "surplus": 0,
                "kept": 4,
            }
        )
    frames_table = pd.DataFrame(frames)
    return SimpleNamespace(
        videos=pd.DataFrame(videos).astype({"label": "Int8"}),
        steps={"videos: index to split": (12, 12), "frames: reduce to extract": (48, 48)},
        frames=frames_table.astype({"crop_width": "Int32", "crop_height": "Int32"}),
        filled=pd.DataFrame(filled),
        crops=pd.DataFrame({"subject": frames_table.key[frames_table.status == "kept"], "problem": ""}),
    )


def broken(inputs: SimpleNamespace) -> dict[str, list[str]]:
    """Run the rules of every table that is not as in `clean`; return the broken codes with examples."""
    suites, checked = quality.rules(min_found=0.5, max_imbalance=1.5), quality.checked_tables(**vars(inputs))
    sound = quality.checked_tables(**vars(clean()))
    outcomes = quality.validate(
        checked, {name: suites[name] for name in suites if not checked[name].equals(sound[name])}
    )
    assert all(outcome["passed"] == (outcome["violations"] == 0) for outcome in outcomes)
    return {outcome["code"]: outcome["examples"] for outcome in outcomes if not outcome["passed"]}


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    suites = quality.rules(min_found=0.5, max_imbalance=1.5)
    outcomes = quality.validate(quality.checked_tables(**vars(clean())), suites)
    assert [(outcome["table"], outcome["code"]) for outcome in outcomes] == [
        (name, rule.code) for name, rules in suites.items() for rule in rules
    ]
    assert all(outcome["passed"] and not outcome["examples"] for outcome in outcomes)


def put(
    table: str, row: int | Callable[[pd.DataFrame], pd.Series], column: str, value: object
) -> Callable[[SimpleNamespace], None]:
    """Return a change of one cell (or of the rows that a condition picks)."""

    def change(inputs: SimpleNamespace) -> None:
        rows = getattr(inputs, table)
        rows.loc[row(rows) if callable(row) else row, column] = value

    return change


def both(*changes: Callable[[SimpleNamespace], None]) -> Callable[[SimpleNamespace], None]:
    def change(inputs: SimpleNamespace) -> None:
        for one in changes:
            one(inputs)

    return change


def cell(split: str, label: int) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda rows: (rows.split == split) & (rows.label == label)


def drop_class(inputs: SimpleNamespace) -> None:
    inputs.filled = inputs.filled[~cell("val", 1)(inputs.filled)]


# Rows 0 to 3 are the frames of the first video of train, label 0; the first two are kept.
PLANTS: dict[str, tuple[Callable[[SimpleNamespace], None], dict[str, list[str]]]] = {
    "a video twice": (
        both(put("videos", 1, "video", "train00"), put("videos", 1, "group", "group of train00")),
        {"duplicate_video": ["train00"] * 2},
    ),
    "a video without a label": (put("videos", 3, "label", None), {"bad_label": ["train11"]}),
    "a video of a third class": (put("videos", 3, "label", 2), {"bad_label": ["train11"]}),
    "a video in no split": (put("videos", 0, "split", None), {"no_split": ["train00"]}),
    "a video in an unknown split": (put("videos", 0, "split", "dev"), {"no_split": ["train00"]}),
    "a video without a group": (put("videos", 0, "group", None), {"no_group": ["train00"]}),
    "a group in train and carved val": (
        put("videos", 4, "group", "group of train00"),
        {"group_in_two_splits": ["group of train00"]},
    ),
    "a group in train and listed val": (
        both(put("videos", 4, "group", "group of train00"), put("videos", 4, "split_by", "official")),
        {},
    ),  # the lists' doing: split counts it
    "a group in carved val and listed test": (
        put("videos", 8, "group", "group of val00"),
        {"group_in_two_splits": ["group of val00"]},
    ),
    "a group in train and carved test": (
        both(put("videos", 8, "group", "group of train00"), put("videos", 8, "split_by", "carved")),
        {"group_in_two_splits": ["group of train00"]},
    ),
    "a group in train and test": (
        put("videos", 8, "group", "group of train00"),
        {},
    ),  # the lists' doing: split counts it
    "a lost row": (
        lambda inputs: inputs.steps.update({"videos: index to split": (12, 11)}),
        {"count_mismatch": ["videos: index to split"]},
    ),
    "two keys that differ in case": (
        both(put("frames", 0, "key", "d__Take__f0"), put("frames", 5, "key", "d__take__f0")),
        {"duplicate_key": ["d__Take__f0", "d__take__f0"]},
    ),
    "a dot in a key": (put("frames", 0, "key", "d__a.b__f000000"), {"bad_key": ["d__a.b__f000000"]}),
    "a slash in a key": (put("frames", 0, "key", "d/a__f000000"), {"bad_key": ["d/a__f000000"]}),
    "a newline in a key": (put("frames", 0, "key", "d__a\n"), {"bad_key": ["d__a\n"]}),
    "a key too long for a tar": (put("frames", 0, "key", "k" * 96), {"bad_key": ["k" * 96]}),
    "the longest key": (put("frames", 0, "key", "k" * 95), {}),
    "an empty key": (put("frames", 0, "key", ""), {"bad_key": [""]}),
    "a frame of a third class": (put("frames", 3, "label", 7), {"bad_label": ["d__m__train00__f000003"]}),
    "an unknown status": (put("frames", 3, "status", "lost"), {"bad_status": ["d__m__train00__f000003"]}),
    "a frame lost to the machine": (
        put("frames", 3, "reason", "timeout"),
        {"unanswered_frame": ["d__m__train00__f000003"]},
    ),
    "a kept frame without a crop": (put("frames", 1, "sha256", None), {"no_crop": ["d__m__train00__f000001"]}),
    "a crop without width": (put("frames", 1, "crop_width", 0), {"bad_box": ["d__m__train00__f000001"]}),
    "a crop without a height": (put("frames", 1, "crop_height", 0), {"bad_box": ["d__m__train00__f000001"]}),
    **{
        f"a crop that is {problem}": (
            put("crops", 0, "problem", problem),
            {f"{problem}_crop": ["d__m__train00__f000000"]},
        )
        for problem in ("missing", "extra", "altered", "undecodable", "wrong_size")
    },
    "a quota missed": (put("filled", cell("test", 0), "quota", 5), {"quota_missed": ["test label 0"]}),
    "a quota exceeded": (put("filled", cell("test", 1), "quota", 3), {"quota_exceeded": ["test label 1"]}),
    "more than the quota, as guaranteed": (
        both(put("filled", cell("test", 1), "quota", 3), put("filled", cell("test", 1), "min_per_video", 2)),
        {},
    ),
    "few faces": (put("filled", cell("val", 0), "tried", 9), {"faces_not_found": ["val label 0"]}),
    "nothing kept": (
        both(
            put("filled", cell("test", 0), "kept", 0),
            put("filled", cell("test", 0), "quota", 0),
            put("filled", cell("test", 0), "surplus", 4),
        ),
        {"nothing_kept": ["test label 0"]},
    ),
    "one class only": (drop_class, {"one_class": ["val"]}),
    "a balanced split out of balance": (
        both(put("filled", cell("val", 0), "kept", 7), put("filled", cell("val", 0), "quota", 7)),
        {"imbalance": ["val"]},
    ),
    "an unbalanced test split": (
        both(put("filled", cell("test", 0), "kept", 9), put("filled", cell("test", 0), "quota", 9)),
        {},
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_each_rule_fires_on_its_violation_and_no_other(name: str) -> None:
    change, expected = PLANTS[name]
    inputs = clean()
    change(inputs)
    assert broken(inputs) == expected


def test_every_rule_was_planted() -> None:
    codes = {rule.code for rules in quality.rules(0.5, 1.5).values() for rule in rules}
    assert codes == {code for _, expected in PLANTS.values() for code in expected}


def test_examples_are_few_and_violations_all() -> None:
    inputs = clean()
    inputs.frames.loc[:9, "status"] = "lost"
    checked = quality.checked_tables(**vars(inputs))
    outcomes = quality.validate({"frames": checked["frames"]}, {"frames": quality.rules(0.5, 1.5)["frames"]})
    (outcome,) = [outcome for outcome in outcomes if not outcome["passed"]]
    assert (outcome["violations"], len(outcome["examples"])) == (10, quality.SHOWN)


# --- the folder of crops ---------------------------------------------------------------------------------------------


@pytest.fixture
def crops(tmp_path: Path) -> tuple[Path, pd.DataFrame, dict[str, dict[str, bytes]]]:
    """Two tars of three crops each, their rows, and their members; a test writes the tars anew as it likes."""
    rows: list[dict[str, Any]] = []
    tars: dict[str, dict[str, bytes]] = {"crops-00000.tar": {}, "crops-00001.tar": {}}
    for number in range(6):
        png = cv2.imencode(".png", picture(number, 30, 20))[1].tobytes()
        tar = f"crops-0000{number // 3}.tar"
        tars[tar][f"k{number}.png"] = png
        rows.append(
            {"key": f"k{number}", "tar": tar, "sha256": sha256_of_bytes(png), "crop_width": 30, "crop_height": 20}
        )
    frames = pd.DataFrame(rows).assign(status="kept")
    frames.loc[len(frames)] = {"key": "never", "status": "unused", "reason": ""}
    for name, members in tars.items():
        write_tar(tmp_path / name, members.items())
    return tmp_path, frames, tars


def problems(folder: Path, frames: pd.DataFrame, run: Any) -> dict[str, str]:
    rows = quality.inspect_crops(frames, folder, run)
    assert rows.subject.is_unique
    return {row.subject: row.problem for row in rows.itertuples() if row.problem}


def test_a_whole_folder(crops: Any, in_process: Any) -> None:
    folder, frames, _ = crops
    assert problems(folder, frames, in_process) == {}
    assert len(quality.inspect_crops(frames, folder, in_process)) == 6


def test_members_that_are_wrong(crops: Any, in_process: Any) -> None:
    folder, frames, tars = crops
    members = tars["crops-00000.tar"]
    members["k0.png"] = members["k0.png"][:-1] + b"?"
    del members["k1.png"]
    members["more.png"] = b"?"
    write_tar(folder / "crops-00000.tar", members.items())
    assert problems(folder, frames, in_process) == {"k0": "altered", "k1": "missing", "more": "extra"}


def test_a_crop_that_is_no_picture(crops: Any, in_process: Any) -> None:
    folder, frames, tars = crops
    tars["crops-00001.tar"]["k4.png"] = b"no picture"
    frames.loc[4, "sha256"] = sha256_of_bytes(b"no picture")
    frames.loc[5, "crop_width"] = 31
    write_tar(folder / "crops-00001.tar", tars["crops-00001.tar"].items())
    assert problems(folder, frames, in_process) == {"k4": "undecodable", "k5": "wrong_size"}


def test_a_tar_that_is_gone(crops: Any, in_process: Any) -> None:
    folder, frames, _ = crops
    (folder / "crops-00001.tar").unlink()
    assert problems(folder, frames, in_process) == {"k3": "missing", "k4": "missing", "k5": "missing"}


@pytest.mark.parametrize("content", [b"", b"no tar at all"])
def test_a_tar_that_is_none(crops: Any, in_process: Any, content: bytes) -> None:
    folder, frames, _ = crops
    (folder / "crops-00001.tar").write_bytes(content)
    (folder / "crops-00007.tar").write_bytes(content)
    found = problems(folder, frames, in_process)
    assert found.keys() >= {"k3", "k4", "k5"} and set(found.values()) <= {"undecodable", "missing", "extra"}
    assert "crops-00007.tar" in found


def test_a_tar_cut_short(crops: Any, in_process: Any) -> None:
    folder, frames, _ = crops
    content = (folder / "crops-00001.tar").read_bytes()
    (folder / "crops-00001.tar").write_bytes(content[:700])
    assert problems(folder, frames, in_process).keys() == {"k3", "k4", "k5"}


def test_a_tar_too_many(crops: Any, in_process: Any) -> None:
    folder, frames, tars = crops
    write_tar(folder / "crops-00002.tar", [("k0.png", tars["crops-00000.tar"]["k0.png"]), ("k9.png", b"")])
    assert set(quality.inspect_crops(frames, folder, in_process).query("problem == 'extra'").subject) == {"k0", "k9"}
