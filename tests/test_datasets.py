import json
from collections import Counter
from pathlib import Path

import pytest

from pipeline.datasets import Lists, celeb_df, dfdc, ffpp, load_layout
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_unknown_layout() -> None:
    with pytest.raises(UserError, match=r"unknown layout 'celebdf'; known: celeb_df_v2, dfdc, ffpp"):
        load_layout("celebdf")


# --- Celeb-DF v2 -----------------------------------------------------------------------------------------------------


def celeb_lists(root: Path, text: str = "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0003.mp4") -> Lists:
    write(root / celeb_df.TEST_LIST, text)
    return celeb_df.read_lists(root)


def test_celeb_df_list_says_one_for_real(tmp_path: Path) -> None:
    lists = celeb_lists(tmp_path)
    assert lists.files == {"List_of_testing_videos.txt"}
    assert lists.content["test_labels"] == {"YouTube-real/00170.mp4": REAL, "Celeb-synthesis/id0_id1_0003.mp4": FAKE}
    assert lists.named == set(lists.content["test_labels"])


def test_celeb_df_names(tmp_path: Path) -> None:
    lists = celeb_lists(tmp_path)
    fake = celeb_df.recognise("Celeb-synthesis/id0_id1_0003.mp4", lists)
    assert fake is not None
    assert (fake.label, fake.list_label, fake.official_split) == (FAKE, FAKE, "test")
    # The body is id0's, in its recording 0003; the face is id1's.
    assert (fake.person, fake.donor_person, fake.recording, fake.donor_recording) == ("id0", "id1", "id0_0003", None)
    assert fake.original == "Celeb-real/id0_0003.mp4"

    real = celeb_df.recognise("Celeb-real/id16_0012.mp4", lists)
    assert real is not None
    assert (real.label, real.list_label, real.official_split, real.method) == (REAL, None, "train", "Celeb-real")
    assert (real.person, real.recording, real.name) == ("id16", "id16_0012", "id16_0012")

    other = celeb_df.recognise("YouTube-real/00170.mp4", lists)
    assert other is not None
    assert (other.label, other.list_label, other.official_split, other.person) == (REAL, REAL, "test", None)
    # A number may be both a YouTube-real video and something else: the recording is told apart.
    assert other.recording == "YouTube-real/00170"


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
    ],
)
def test_celeb_df_strangers(tmp_path: Path, path: str) -> None:
    assert celeb_df.recognise(path, celeb_lists(tmp_path)) is None


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
def test_celeb_df_malformed_list(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(UserError, match=f"{celeb_df.TEST_LIST}, line {line}: "):
        celeb_lists(tmp_path, text)


def test_celeb_df_list_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / celeb_df.TEST_LIST).write_bytes(b"\xff\xfe1\x00 \x00")
    with pytest.raises(UserError, match="line 1"):
        celeb_df.read_lists(tmp_path)


def test_celeb_df_list_with_stray_blanks(tmp_path: Path) -> None:
    lists = celeb_lists(tmp_path, "1  Celeb-real/id0_0000.mp4 \r\n")
    assert lists.content["test_labels"] == {"Celeb-real/id0_0000.mp4": REAL}


def test_celeb_df_without_its_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="place the published list there"):
        celeb_df.read_lists(tmp_path)


def test_celeb_df_official_list(official: Path) -> None:
    lists = celeb_df.read_lists(official / "celeb_df_v2")
    labels = lists.content["test_labels"]
    assert len(labels) == 518
    assert Counter(labels.values()) == {REAL: 178, FAKE: 340}
    records = [celeb_df.recognise(path, lists) for path in labels]
    assert Counter(record.method for record in records if record) == {
        "Celeb-real": 108,
        "YouTube-real": 70,
        "Celeb-synthesis": 340,
    }
    assert all(record is not None and record.label == record.list_label for record in records)


# --- FaceForensics++ -------------------------------------------------------------------------------------------------

SPLITS = {"train": [["071", "054"], ["000", "003"]], "val": [["720", "672"]], "test": [["953", "974"]]}


def ffpp_lists(root: Path, folder: str = "splits", **changes: object) -> Lists:
    for split, pairs in (SPLITS | changes).items():
        write(root / folder / f"{split}.json", pairs)
    return ffpp.read_lists(root)


@pytest.mark.parametrize("folder", ["splits", "dataset/splits", "."])
def test_ffpp_lists_lie_where_people_put_them(tmp_path: Path, folder: str) -> None:
    lists = ffpp_lists(tmp_path, folder)
    assert lists.content["split_of"]["054"] == "train" and lists.content["split_of"]["974"] == "test"
    assert len(lists.content["split_of"]) == 8
    assert {(tmp_path / file).is_file() for file in lists.files} == {True} and len(lists.files) == 3


def test_ffpp_fake(tmp_path: Path) -> None:
    lists = ffpp_lists(tmp_path)
    record = ffpp.recognise("manipulated_sequences/FaceShifter/c23/videos/054_071.mp4", lists)
    assert record is not None
    # The picture is 054's, the face or its expression 071's; the list writes the pair the other way round.
    assert (record.recording, record.donor_recording, record.official_split) == ("054", "071", "train")
    assert (record.label, record.method, record.compression, record.name) == (FAKE, "FaceShifter", "c23", "054_071")
    assert record.original == "original_sequences/youtube/c23/videos/054.mp4"


def test_ffpp_real(tmp_path: Path) -> None:
    record = ffpp.recognise("original_sequences/youtube/c40/videos/953.mp4", ffpp_lists(tmp_path))
    assert record is not None
    assert (record.label, record.method, record.recording, record.official_split) == (REAL, "youtube", "953", "test")
    assert record.original is None and record.donor_recording is None


def test_ffpp_c0_is_raw(tmp_path: Path) -> None:
    record = ffpp.recognise("manipulated_sequences/FaceSwap/c0/videos/071_054.mp4", ffpp_lists(tmp_path))
    assert record is not None and record.compression == "raw"
    assert record.original == "original_sequences/youtube/c0/videos/071.mp4"


@pytest.mark.parametrize("name", ["071_953", "071_500", "500_501"])
def test_ffpp_fake_across_splits_is_in_none(tmp_path: Path, name: str) -> None:
    record = ffpp.recognise(f"manipulated_sequences/Deepfakes/c23/videos/{name}.mp4", ffpp_lists(tmp_path))
    assert record is not None and record.official_split is None


@pytest.mark.parametrize(
    "path",
    [
        "original_sequences/actors/c23/videos/01__exit.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/a.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/071_054.mp4",
        "original_sequences/youtube/c23/images/071/0001.png",
        "manipulated_sequences/Deepfakes/c23/videos/071.mp4",
        "original_sequences/youtube/c30/videos/071.mp4",
    ],
)
def test_ffpp_strangers(tmp_path: Path, path: str) -> None:
    assert ffpp.recognise(path, ffpp_lists(tmp_path)) is None


@pytest.mark.parametrize(
    "pairs",
    [
        "no JSON",
        {"071": "054"},
        ["071", "054"],
        ["ab", "cd"],
        [[71, 54]],
        [["071"]],
        [["071", "054", "000"]],
        [[["071"], "054"]],
        [["71", "54"]],
        None,
        3,
    ],
)
def test_ffpp_malformed_list(tmp_path: Path, pairs: object) -> None:
    with pytest.raises(UserError, match=r"val\.json: expected a JSON list of pairs"):
        ffpp_lists(tmp_path, val=pairs)


def test_ffpp_sequence_in_two_lists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"val\.json: sequence 054 is in train as well"):
        ffpp_lists(tmp_path, val=[["720", "054"]])


def test_ffpp_without_a_list(tmp_path: Path) -> None:
    ffpp_lists(tmp_path)
    (tmp_path / "splits/test.json").unlink()
    with pytest.raises(UserError, match=r"no splits/test\.json or .* place the published list there"):
        ffpp.read_lists(tmp_path)


def test_ffpp_official_lists(official: Path) -> None:
    split_of = ffpp.read_lists(official / "ffpp").content["split_of"]
    assert Counter(split_of.values()) == {"train": 720, "val": 140, "test": 140}
    assert set(split_of) == {f"{number:03d}" for number in range(1000)}


# --- DFDC ------------------------------------------------------------------------------------------------------------

METADATA = {
    "aaa.mp4": {"label": "REAL", "split": "train", "original": None},
    "bbb.mp4": {"label": "FAKE", "split": "train", "original": "aaa.mp4"},
    "ccc.mp4": {"label": "FAKE", "split": "train", "original": "gone.mp4"},
    "ddd.mp4": {"label": "REAL", "split": "train"},
}


def test_dfdc_training_part(tmp_path: Path) -> None:
    write(tmp_path / "dfdc_train_part_7/metadata.json", METADATA)
    lists = dfdc.read_lists(tmp_path)
    assert lists.files == {"dfdc_train_part_7/metadata.json"}
    assert lists.named == {f"dfdc_train_part_7/{name}" for name in METADATA}

    real = dfdc.recognise("dfdc_train_part_7/aaa.mp4", lists)
    fake = dfdc.recognise("dfdc_train_part_7/bbb.mp4", lists)
    orphan = dfdc.recognise("dfdc_train_part_7/ccc.mp4", lists)
    assert real is not None and fake is not None and orphan is not None
    assert (real.label, real.method, real.official_split, real.original) == (REAL, "original", "train", None)
    assert (fake.label, fake.method, fake.original) == (FAKE, "unknown", "dfdc_train_part_7/aaa.mp4")
    assert real.recording == fake.recording == "dfdc_train_part_7/aaa"  # ties the fake to its original
    assert orphan.recording == "dfdc_train_part_7/gone"
    assert real.name == "dfdc_train_part_7/aaa"  # names are unique within a part only


@pytest.mark.parametrize("folder", ["test", "test/videos"])
def test_dfdc_test_labels_say_one_for_fake(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    write(tmp_path / "test/labels.csv", "filename,label\naaa.mp4,0\nbbb.mp4,1\n")
    lists = dfdc.read_lists(tmp_path)
    assert lists.named == {f"{folder}/aaa.mp4", f"{folder}/bbb.mp4"}
    real, fake = (dfdc.recognise(f"{folder}/{name}.mp4", lists) for name in ("aaa", "bbb"))
    assert real is not None and fake is not None
    assert (real.label, fake.label) == (REAL, FAKE)
    assert (fake.official_split, fake.original, fake.name) == ("test", None, "bbb")


def test_dfdc_video_without_a_label_is_not_recognised(tmp_path: Path) -> None:
    write(tmp_path / "dfdc_train_part_7/metadata.json", METADATA)
    lists = dfdc.read_lists(tmp_path)
    assert dfdc.recognise("dfdc_train_part_7/zzz.mp4", lists) is None
    assert dfdc.recognise("dfdc_train_part_8/aaa.mp4", lists) is None


@pytest.mark.parametrize(
    "metadata",
    [
        "no JSON",
        ["aaa.mp4"],
        {"aaa.mp4": "REAL"},
        {"aaa.mp4": {}},
        {"aaa.mp4": {"label": "real"}},
        {"aaa.mp4": {"label": ["REAL"]}},
    ],
)
def test_dfdc_malformed_metadata(tmp_path: Path, metadata: object) -> None:
    write(tmp_path / "dfdc_train_part_7/metadata.json", metadata)
    with pytest.raises(UserError, match=r"metadata\.json: expected"):
        dfdc.read_lists(tmp_path)


@pytest.mark.parametrize(
    "text", ["filename,label\naaa.mp4,FAKE\n", "file,label\naaa.mp4,1\n", "filename,label\naaa.mp4\n"]
)
def test_dfdc_malformed_labels(tmp_path: Path, text: str) -> None:
    write(tmp_path / "test/labels.csv", text)
    with pytest.raises(UserError, match=r"labels\.csv: expected columns filename,label"):
        dfdc.read_lists(tmp_path)


@pytest.mark.parametrize("content", [b"filename,label\n\xff\xfe,1\n", b"\xff\xfef\x00"])
def test_dfdc_labels_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test/labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.csv: expected columns filename,label"):
        dfdc.read_lists(tmp_path)


def test_dfdc_without_lists(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither dfdc_train_part_\*/metadata.json nor test/labels.csv"):
        dfdc.read_lists(tmp_path)
