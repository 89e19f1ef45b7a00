"""DeeperForensics-1.0: the actors' footage is not the real class; splits by lists of fakes; reals from elsewhere."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import Lists, Record, load_layout
from pipeline.datasets.deeperforensics import VARIANTS
from pipeline.errors import UserError
from pipeline.params import Dataset
from pipeline.recognition import recognise
from pipeline.tables import FAKE, REAL

DF = load_layout("deeperforensics")
REAL_000 = "original_sequences/youtube/c23/videos/000.mp4"
SPLITS = {"train": "000_M101.mp4\n001_W004.mp4\n", "val": "002_M005.mp4", "test": "003_W136.mp4\n"}


def lists(folder: Path, *present: str, **splits: str) -> Lists:
    files = {path: folder / path for path in present}
    for split, text in (SPLITS | splits).items():
        files[f"lists/splits/{split}.txt"] = folder / f"{split}.txt"
        (folder / f"{split}.txt").write_text(text)
    return DF.read_lists(files)


def test_a_fake_is_named_target_actor(tmp_path: Path) -> None:
    assert DF.recognise("manipulated_videos/end_to_end_level_3/000_M101.mp4", lists(tmp_path)) == Record(
        name="000_M101",
        method="end_to_end_level_3",
        label=FAKE,
        official_split="train",
        recording="ffpp/000",
        donor_person="deeperforensics/M101",
    )


def test_all_eleven_variants_share_the_split(tmp_path: Path) -> None:
    found = lists(tmp_path)
    records = [DF.recognise(f"manipulated_videos/{variant}/003_W136.mp4", found) for variant in VARIANTS]
    assert [(record.method, record.official_split) for record in records if record] == [
        (variant, "test") for variant in VARIANTS
    ]
    assert len(set(VARIANTS)) == 11
    assert found.named == {
        f"manipulated_videos/{variant}/{name}.mp4"
        for variant in VARIANTS
        for name in ("000_M101", "001_W004", "002_M005", "003_W136")
    }


def test_reals_are_those_of_faceforensics(tmp_path: Path) -> None:
    found = lists(tmp_path, REAL_000)
    assert DF.recognise(REAL_000, found) == Record(
        name="000", method="youtube", label=REAL, compression="c23", official_split="train", recording="ffpp/000"
    )
    ffpp = load_layout("ffpp")
    theirs = ffpp.recognise(REAL_000, ffpp.read_lists({}))
    assert theirs is not None and theirs.recording == "ffpp/000"  # so that the tie shows across datasets


def test_an_original_is_named_only_where_it_is_there(tmp_path: Path) -> None:
    found = lists(tmp_path, REAL_000)
    fakes = [DF.recognise(f"manipulated_videos/end_to_end/{name}.mp4", found) for name in ("000_M101", "001_W004")]
    assert [fake.original for fake in fakes if fake] == [REAL_000, None]


def test_a_real_between_two_splits_is_in_none(tmp_path: Path) -> None:
    found = lists(tmp_path, REAL_000, test="000_W136.mp4")
    real = DF.recognise(REAL_000, found)
    assert real is not None and real.official_split is None


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("source_videos/W136/light_up/surprise/camera_down/W136_light_up_surprise_camera_down.mp4", "not the real"),
        ("source_videos/M101/BlendShape/camera_front/M101_BlendShape_camera_front.mp4", "not the real class"),
        ("lists/manipulated_videos_distortions_meta/manipulated_videos_end_to_end_level_1_meta.txt", "list"),
        ("terms_of_use.pdf", "release"),
        ("manipulated_videos/end_to_end_level_6/000_M101.mp4", None),
        ("manipulated_videos/end_to_end/M101_000.mp4", None),
        ("manipulated_videos/end_to_end/000_X101.mp4", None),
        ("original_sequences/youtube/c40/videos/000.mp4", None),
    ],
)
def test_what_is_no_video(tmp_path: Path, path: str, what: str | None) -> None:
    assert DF.recognise(path, lists(tmp_path)) is None
    said = next((meaning for pattern, meaning in DF.sidecars if re.fullmatch(pattern, path)), None)
    assert said is None if what is None else what in str(said)


def test_expected_are_the_listed_fakes_of_the_variants_that_are_there(tmp_path: Path) -> None:
    present = ["manipulated_videos/end_to_end/000_M101.mp4", REAL_000, "source_videos/M101/x.mp4"]
    assert sorted(DF.expected(lists(tmp_path), present)) == [
        f"manipulated_videos/end_to_end/{name}.mp4" for name in ("000_M101", "001_W004", "002_M005", "003_W136")
    ]


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    assert [missing.partition(";")[0] for missing in DF.read_lists({}).missing] == [
        "lists/splits/train.txt",
        "lists/splits/val.txt",
        "lists/splits/test.txt",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("003_W136.mp4\nM101_003.mp4", r"test\.txt, line 2: expected"),
        ("end_to_end/003_W136.mp4", r"test\.txt, line 1: expected"),
        ("\n000_M101.mp4", r"test\.txt, line 2: 000_M101 is in train as well"),
        ("\ufffd\x00", r"test\.txt, line 1: expected"),
    ],
)
def test_malformed_list(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        lists(tmp_path, test=text)


@given(st.sampled_from(VARIANTS), st.integers(0, 999), st.from_regex(r"[MW]\d{3}", fullmatch=True))
def test_published_paths_stay_as_they_are(variant: str, target: int, actor: str) -> None:
    paths = [f"manipulated_videos/{variant}/{target:03d}_{actor}.mp4", REAL_000, "lists/splits/train.txt"]
    assert [DF.published(path) for path in paths] == paths


def test_a_tree_has_no_reals_but_those_of_faceforensics(tmp_path: Path) -> None:
    paths = [f"manipulated_videos/{variant}/{name}.mp4" for variant in VARIANTS for name in ("000_M101", "003_W136")]
    source = "source_videos/M101/light_up/surprise/camera_down/M101_light_up_surprise_camera_down.mp4"
    for path in (*paths, source, "lists/splits/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    lists(tmp_path / "lists/splits", train="000_M101.mp4", val="", test="003_W136.mp4")
    dataset = Dataset(layout="deeperforensics", root=tmp_path)
    rows = {row["path"]: row for row in recognise("df", dataset).rows}
    assert rows[source]["reason"] == "sidecar"
    assert Counter((row["label"], row["official_split"]) for row in rows.values() if row["status"] == "ok") == {
        (FAKE, "train"): 11,
        (FAKE, "test"): 11,
    }
    (tmp_path / REAL_000).parent.mkdir(parents=True)
    (tmp_path / REAL_000).touch()
    rows = {row["path"]: row for row in recognise("df", dataset).rows}
    assert (rows[REAL_000]["label"], rows[REAL_000]["official_split"]) == (REAL, "train")
    assert {rows[path]["original"] for path in paths} == {"df/youtube/c23/000", None}


def test_counts_add_up() -> None:
    for variant in VARIANTS:
        assert sum(count.videos for count in DF.counts if count.method == variant) == 1000
