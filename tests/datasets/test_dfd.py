"""DeepFakeDetection: names, pairs, masks, no split, the tree shared with FaceForensics++, the mirrors."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import Lists, Record, load_layout
from pipeline.params import Dataset
from pipeline.recognition import recognise
from pipeline.tables import FAKE, REAL

DFD = load_layout("dfd")
LISTS = DFD.read_lists({})


def test_a_real_is_an_actor_in_a_scene() -> None:
    path = "original_sequences/actors/c23/videos/24__outside_talking_still_laughing.mp4"
    assert DFD.recognise(path, LISTS) == Record(
        name="24__outside_talking_still_laughing",
        method="actors",
        label=REAL,
        compression="c23",
        recording="dfd/24__outside_talking_still_laughing",
        person="dfd/24",
    )


def test_a_fake_is_named_target_donor_scene_and_eight_characters() -> None:
    name = "24_23__outside_talking_still_laughing__YR5OVD4S"
    assert DFD.recognise(f"manipulated_sequences/DeepFakeDetection/raw/videos/{name}.mp4", LISTS) == Record(
        name=name,
        method="DeepFakeDetection",
        label=FAKE,
        compression="raw",
        recording="dfd/24__outside_talking_still_laughing",
        person="dfd/24",
        donor_person="dfd/23",
        original="original_sequences/actors/raw/videos/24__outside_talking_still_laughing.mp4",
        mask=f"manipulated_sequences/DeepFakeDetection/masks/videos/{name}.mp4",
    )


def test_there_are_no_lists() -> None:
    assert Lists() == LISTS and DFD.known_lists == {}
    assert Counter({count.method: count.videos for count in DFD.counts}) == {"actors": 363, "DeepFakeDetection": 3068}


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("original_sequences/youtube/c23/videos/071.mp4", "layout ffpp"),
        ("manipulated_sequences/FaceShifter/c23/videos/071_054.mp4", "layout ffpp"),
        ("splits/train.json", "layout ffpp"),
        ("conversion_dict.json", "layout ffpp"),
        ("manipulated_sequences/DeepFakeDetection/masks/videos/24_23__podium__YR5OVD4S.mp4", "mask"),
        ("original_sequences/actors/c23/images/24__podium/0001.png", "frame"),
        ("original_sequences/actors/c23/videos/24_podium.mp4", None),
        ("original_sequences/actors/c23/videos/071.mp4", None),
        ("manipulated_sequences/DeepFakeDetection/c23/videos/24_23__podium.mp4", None),
        ("manipulated_sequences/DeepFakeDetection/c23/videos/24_23__podium__YR5OVD4.mp4", None),
        ("manipulated_sequences/DeepFakeDetection/c23/videos/24__podium__YR5OVD4S.mp4", None),
    ],
)
def test_what_is_no_video(path: str, what: str | None) -> None:
    assert DFD.recognise(path, LISTS) is None
    said = next((meaning for pattern, meaning in DFD.sidecars if re.fullmatch(pattern, path)), None)
    assert said is None if what is None else what in str(said)


@pytest.mark.parametrize(
    ("found", "published"),
    [
        ("DFD_original sequences/24__podium.mp4", "original_sequences/actors/c23/videos/24__podium.mp4"),
        ("DFD_original_sequences/24__podium.mp4", "original_sequences/actors/c23/videos/24__podium.mp4"),
        (
            "DFD_manipulated_sequences/DFD_manipulated_sequences/24_23__podium__YR5OVD4S.mp4",
            "manipulated_sequences/DeepFakeDetection/c23/videos/24_23__podium__YR5OVD4S.mp4",
        ),
        (
            "DeepFakeDetection/24_23__podium__YR5OVD4S.mp4",
            "manipulated_sequences/DeepFakeDetection/c23/videos/24_23__podium__YR5OVD4S.mp4",
        ),
        ("original_sequences/actors/c0/24__podium.mp4", "original_sequences/actors/raw/videos/24__podium.mp4"),
        (
            "manipulated_sequences/DeepFakeDetection/masks/24_23__podium__YR5OVD4S.mp4",
            "manipulated_sequences/DeepFakeDetection/masks/videos/24_23__podium__YR5OVD4S.mp4",
        ),
    ],
)
def test_rearrangements(found: str, published: str) -> None:
    assert DFD.published(found) == published


@pytest.mark.parametrize(
    ("real", "fake", "mask"),
    [
        (
            "original_sequences/actors/c23/videos",
            "manipulated_sequences/DeepFakeDetection/c23/videos",
            "manipulated_sequences/DeepFakeDetection/masks/videos",
        ),
        ("DFD_original sequences", "DFD_manipulated_sequences/DFD_manipulated_sequences", None),
    ],
)
def test_a_tree(tmp_path: Path, real: str, fake: str, mask: str | None) -> None:
    paths = [f"{real}/01__kitchen_pan.mp4", f"{fake}/01_02__kitchen_pan__YVGY8LOK.mp4"]
    paths += [f"{mask}/01_02__kitchen_pan__YVGY8LOK.mp4"] if mask else []
    for path in (*paths, "manipulated_sequences/Deepfakes/c23/videos/071_054.mp4"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    rows = {row["path"]: row for row in recognise("dfd", Dataset(layout="dfd", root=tmp_path)).rows}
    assert rows[paths[0]]["video"] == rows[paths[1]]["original"] == "dfd/actors/c23/01__kitchen_pan"
    assert (rows[paths[0]]["label"], rows[paths[1]]["label"]) == (REAL, FAKE)
    assert rows[paths[1]]["mask"] == (paths[2] if mask else None)
    others = [row["reason"] for path, row in rows.items() if path not in paths[:2]]
    assert set(others) == {"sidecar"} and len(others) == len(paths) - 1


actors = st.integers(1, 28).map("{:02d}".format)
scenes = st.from_regex(r"[a-z]+(_[a-z]+){0,3}", fullmatch=True)
codes = st.from_regex(r"[A-Z0-9]{8}", fullmatch=True)


@given(st.sampled_from(["raw", "c23", "c40"]), actors, actors, scenes, codes)
def test_every_published_path_is_read_where_it_is(
    compression: str, target: str, donor: str, scene: str, code: str
) -> None:
    real = f"original_sequences/actors/{compression}/videos/{target}__{scene}.mp4"
    fake = f"manipulated_sequences/DeepFakeDetection/{compression}/videos/{target}_{donor}__{scene}__{code}.mp4"
    assert (DFD.published(real), DFD.published(fake)) == (real, fake)
    source, swap = DFD.recognise(real, LISTS), DFD.recognise(fake, LISTS)
    assert source is not None and swap is not None
    assert (swap.original, swap.recording, swap.donor_person) == (real, source.recording, f"dfd/{donor}")
    assert source.official_split is None and swap.official_split is None
