"""Celeb-DF v1, v2 and ++: inverted polarity of the list, names, methods, re-arrangements, the published list."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets import Layout, Lists, Record, load_layout
from pipeline.datasets.celeb_df import TEST_LIST
from pipeline.errors import UserError
from pipeline.params import Dataset
from pipeline.recognition import recognise
from pipeline.tables import FAKE, REAL

V1, V2, PLUS_PLUS = (load_layout(f"celeb_df_{release}") for release in ("v1", "v2", "pp"))
SWAPS = ("Celeb-DF", "BlendFace", "GHOST", "HifiFace", "InSwapper", "MobileFaceSwap", "SimSwap", "UniFace")
REENACTMENTS = ("DaGAN", "FSRT", "HyperReenact", "LIA", "LivePortrait", "MCNET", "TPSMM")
TALKING_FACES = ("AniTalker", "EchoMimic", "EDTalk", "FLOAT", "IP_LAP", "Real3DPortrait", "SadTalker")
PUBLISHED_PLUS_PLUS = [
    *[f"Celeb-synthesis/FaceSwap/{method}/id0_id16_0000.mp4" for method in SWAPS],
    *[f"Celeb-synthesis/FaceReenact/{method}/id0_id16_0000.mp4" for method in REENACTMENTS],
    *[f"Celeb-synthesis/TalkingFace/{method}/id0_0000_test_0003.mp4" for method in TALKING_FACES],
]


def lists(folder: Path, text: str = "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0003.mp4") -> Lists:
    """Write and read a test list; like the published one, it ends without a newline."""
    (folder / TEST_LIST).write_text(text)
    return V2.read_lists({TEST_LIST: folder / TEST_LIST})


def read(path: str, lists: Lists) -> Record:
    record = V2.recognise(path, lists)
    assert record is not None
    return record


def test_the_list_says_one_for_real(tmp_path: Path) -> None:
    found = lists(tmp_path)
    assert found.files == {"List_of_testing_videos.txt"} and found.missing == ()
    assert found.content["test_labels"] == {"YouTube-real/00170.mp4": REAL, "Celeb-synthesis/id0_id1_0003.mp4": FAKE}
    assert found.named == set(found.content["test_labels"])


def test_a_swap_is_named_target_donor_recording(tmp_path: Path) -> None:
    assert read("Celeb-synthesis/id0_id1_0003.mp4", lists(tmp_path)) == Record(
        name="id0_id1_0003",
        method="Celeb-synthesis",
        label=FAKE,
        official_split="test",
        recording="celeb_df/id0_0003",
        person="celeb_df/id0",
        donor_person="celeb_df/id1",
        original="Celeb-real/id0_0003.mp4",
        list_label=FAKE,
    )


def test_reals(tmp_path: Path) -> None:
    found = lists(tmp_path)
    real = Record(
        name="id16_0012",
        method="Celeb-real",
        label=REAL,
        official_split="train",
        recording="celeb_df/id16_0012",
        person="celeb_df/id16",
    )
    assert read("Celeb-real/id16_0012.mp4", found) == real
    # A number alone may be a video of other material too: the recording is told apart by its folder.
    assert read("YouTube-real/00170.mp4", found) == Record(
        name="00170",
        method="YouTube-real",
        label=REAL,
        official_split="test",
        recording="celeb_df/YouTube-real/00170",
        list_label=REAL,
    )
    # The release has a video of one frame; its name tells nothing, so it is a video like any other.
    assert read("Celeb-real/id27_0005.mp4", found).label == REAL


def test_folder_and_list_may_disagree(tmp_path: Path) -> None:
    record = read("Celeb-real/id0_0000.mp4", lists(tmp_path, "0 Celeb-real/id0_0000.mp4"))
    assert (record.label, record.list_label) == (REAL, FAKE)


def test_v1_reads_as_v2_does(tmp_path: Path) -> None:
    found = lists(tmp_path)
    for path in ("Celeb-real/id0_0003.mp4", "YouTube-real/00170.mp4", "Celeb-synthesis/id0_id1_0003.mp4"):
        assert V1.recognise(path, found) == V2.recognise(path, found) is not None


@pytest.mark.parametrize("layout", [V2, PLUS_PLUS])
@pytest.mark.parametrize(
    "path",
    [
        "Celeb-real/00001.mp4",
        "YouTube-real/id0_0001.mp4",
        "Celeb-synthesis/id0_0001.mp4",
        "Celeb-real/id0_0001.avi",
        "celeb-real/id0_0001.mp4",
        "more/Celeb-real/id0_0001.mp4",
        "Celeb-real/.id0_0001.mp4",
        "Celeb-real/id0_0001.mp4.part",
        "Celeb-real/id0_id1_0001.mp4",
        "Celeb-synthesis/FaceSwap/BlendFace/id0_0000_test_0003.mp4",
        "Celeb-synthesis/TalkingFace/SadTalker/id0_id1_0000.mp4",
        "Celeb-synthesis/Other/BlendFace/id0_id1_0000.mp4",
    ],
)
def test_strangers(tmp_path: Path, layout: Layout, path: str) -> None:
    assert layout.recognise(path, lists(tmp_path)) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2 Celeb-real/id0_0000.mp4", 1),
        ("1 Celeb-real/id0_0000.mp4\nCeleb-real/id0_0001.mp4", 2),
        ("1 Celeb-real/id0_0000.mp4\n1", 2),
        ("1 Celeb-real/id0_0000.mp4\n\n2 Celeb-real/id0_0001.mp4", 3),
        ("real Celeb-real/id0_0000.mp4", 1),
        ("1 Celeb-real/id0_0000.mp4\n0 Celeb-real/id0_0000.mp4", 2),
        ("\ufffd\x00 Celeb-real/id0_0000.mp4", 1),
    ],
)
def test_malformed_list(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(UserError, match=f"{TEST_LIST}, line {line}: "):
        lists(tmp_path, text)


def test_list_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / TEST_LIST).write_bytes(b"\xff\xfe1\x00 \x00")
    with pytest.raises(UserError, match="line 1"):
        V2.read_lists({TEST_LIST: tmp_path / TEST_LIST})


def test_list_with_stray_blanks(tmp_path: Path) -> None:
    found = lists(tmp_path, "1  Celeb-real/id0_0000.mp4 \r\n")
    assert found.content["test_labels"] == {"Celeb-real/id0_0000.mp4": REAL}


def test_without_its_list_nothing_has_a_split() -> None:
    found = V2.read_lists({})
    assert "List_of_testing_videos.txt" in found.missing[0] and found.files == frozenset()
    assert read("Celeb-real/id0_0000.mp4", found).official_split is None
    assert PLUS_PLUS.read_lists({}) == Lists()  # its list is hard to come by


def test_every_method_of_plus_plus_is_a_fake_of_the_same_recording() -> None:
    records = [PLUS_PLUS.recognise(path, Lists()) for path in PUBLISHED_PLUS_PLUS]
    assert all(records) and len(records) == 22
    assert [record.method for record in records if record] == [*SWAPS, *REENACTMENTS, *TALKING_FACES]
    facts = {(record.label, record.recording, record.person, record.original) for record in records if record}
    assert facts == {(FAKE, "celeb_df/id0_0000", "celeb_df/id0", "Celeb-real/id0_0000.mp4")}


def test_talking_faces_have_no_donor() -> None:
    records = [PLUS_PLUS.recognise(path, Lists()) for path in PUBLISHED_PLUS_PLUS]
    donors = Counter(record.donor_person for record in records if record)
    assert donors == {"celeb_df/id16": 15, None: 7}
    assert {record.name for record in records[15:] if record} == {"id0_0000_test_0003"}


def test_plus_plus_shares_reals_with_v2(tmp_path: Path) -> None:
    found = lists(tmp_path, "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/FaceSwap/GHOST/id0_id16_0000.mp4")
    assert PLUS_PLUS.recognise("YouTube-real/00170.mp4", found) == V2.recognise("YouTube-real/00170.mp4", found)
    # The stem is the same in 15 folders; the list names one of them.
    records = [PLUS_PLUS.recognise(path, found) for path in PUBLISHED_PLUS_PLUS]
    assert [record.method for record in records if record and record.official_split == "test"] == ["GHOST"]


def test_a_tree_of_plus_plus(tmp_path: Path) -> None:
    reals = ["Celeb-real/id0_0000.mp4", "Celeb-real/id27_0005.mp4", "YouTube-real/00170.mp4"]
    for path in (*reals, *PUBLISHED_PLUS_PLUS):
        (tmp_path / "Celeb-DF++" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "Celeb-DF++" / path).touch()
    (tmp_path / "Celeb-DF++" / TEST_LIST).write_text(f"1 {reals[2]}\n0 {PUBLISHED_PLUS_PLUS[15]}")
    rows = recognise("cdf", Dataset(layout="celeb_df_pp", root=tmp_path)).rows
    assert Counter((row["status"], row["label"], row["official_split"]) for row in rows) == {
        ("ok", REAL, "train"): 2,
        ("ok", REAL, "test"): 1,
        ("ok", FAKE, "train"): 21,
        ("ok", FAKE, "test"): 1,
    }
    assert {row["original"] for row in rows if row["label"] == FAKE} == {"cdf/Celeb-real/native/id0_0000"}
    assert len({row["video"] for row in rows}) == 25


@pytest.mark.parametrize(
    ("found", "published"),
    [
        ("Youtube-real/00170.mp4", "YouTube-real/00170.mp4"),
        ("celeb-real/id0_0000.mp4", "Celeb-real/id0_0000.mp4"),
        ("Celeb-real/videos/id0_0000.mp4", "Celeb-real/id0_0000.mp4"),
        ("youtube-real/videos/00170.mp4", "YouTube-real/00170.mp4"),
        ("Celeb-synthesis/videos/id0_id1_0003.mp4", "Celeb-synthesis/id0_id1_0003.mp4"),
        (
            "celeb-synthesis/TalkingFace/IP_LAP/videos/id0_0000_test_0003.mp4",
            "Celeb-synthesis/TalkingFace/IP_LAP/id0_0000_test_0003.mp4",
        ),
        ("notes/Celeb-real/videos/id0_0000.mp4", "notes/Celeb-real/videos/id0_0000.mp4"),
    ],
)
@pytest.mark.parametrize("layout", [V1, V2, PLUS_PLUS])
def test_rearrangements(layout: Layout, found: str, published: str) -> None:
    assert layout.published(found) == published


numbers = st.integers(0, 99999)


@given(st.sampled_from([V1, V2, PLUS_PLUS]), st.sampled_from(PUBLISHED_PLUS_PLUS), numbers, numbers)
def test_published_paths_stay_as_they_are(layout: Layout, fake: str, person: int, number: int) -> None:
    paths = [
        TEST_LIST,
        f"Celeb-real/id{person}_{number:04d}.mp4",
        f"YouTube-real/{number:05d}.mp4",
        f"Celeb-synthesis/id{person}_id0_{number:04d}.mp4",
        fake,
    ]
    assert [layout.published(path) for path in paths] == paths


def test_the_published_list(official: Path) -> None:
    file = official / "celeb_df_v2" / TEST_LIST
    found = V2.read_lists({TEST_LIST: file})
    records = [read(path, found) for path in found.named]
    assert len(records) == 518 and all(record.label == record.list_label for record in records)
    published = {
        (count.method, count.split): count.videos for count in V2.counts if count.certain and count.split == "test"
    }
    assert Counter((record.method, record.official_split) for record in records) == published
    assert Counter(record.label for record in records) == {REAL: 178, FAKE: 340}

    known = V2.known_lists[TEST_LIST]
    assert sha256(file.read_bytes()).hexdigest() == known.sha256
    text = file.read_text()
    assert len(text.splitlines()) == known.lines and not text.endswith("\n")
    # The shortened copy that circulates is the list without YouTube-real.
    shortened = [line for line in text.splitlines() if "YouTube-real" not in line]
    assert list(known.altered) == [len(shortened)]
