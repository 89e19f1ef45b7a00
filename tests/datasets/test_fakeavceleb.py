from pathlib import Path

import pytest

from pipeline.datasets import Lists, load_layout
from pipeline.errors import UserError
from pipeline.tables import FAKE, REAL
from published import read_lists, recognise, recognise_all

# As released: nine names and an empty tenth, over ten values.
HEADER = "source,target1,target2,method,category,type,race,gender,path,\n"
MEN, EAST = "African/men/id00076", "Asian (East)/women/id10006"
REAL_CLIP = f"RealVideo-RealAudio/{MEN}/00109.mp4"
CLONED_VOICE = f"RealVideo-FakeAudio/{MEN}/00109_fake.mp4"
LIPS = f"FakeVideo-FakeAudio/{MEN}/00109_10_id00476_wavtolip.mp4"
SWAP = f"FakeVideo-RealAudio/{EAST}/00905_id10005_A7uFnQw--bY_id00270_faceswap.mp4"
ROWS = [
    f"id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,FakeAVCeleb/RealVideo-RealAudio/{MEN}",
    f"id00076,fake.mp4,-,rtvc,B,RealVideo-FakeAudio,African,men,00109_fake.mp4,FakeAVCeleb/RealVideo-FakeAudio/{MEN}",
    "id00076,10,id00476,wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,"
    f"FakeAVCeleb/FakeVideo-FakeAudio/{MEN}",
    "id10006,id10005,-,faceswap,C,FakeVideo-RealAudio,Asian (East),women,"
    f"00905_id10005_A7uFnQw--bY_id00270_faceswap.mp4,FakeAVCeleb/FakeVideo-RealAudio/{EAST}",
]
PATHS = [REAL_CLIP, CLONED_VOICE, LIPS, SWAP]


def lists_of(root: Path, rows: list[str] = ROWS, header: str = HEADER) -> Lists:
    return read_lists(root, "fakeavceleb", {"meta_data.csv": header + "\n".join(rows) + "\n"})


def test_the_column_called_path_holds_the_file_name(tmp_path: Path) -> None:
    lists = lists_of(tmp_path)
    assert lists.files == {"meta_data.csv"}
    assert lists.named == set(PATHS)


def test_the_label_is_that_of_the_picture(tmp_path: Path) -> None:
    lists = lists_of(tmp_path)
    labels = [recognise("fakeavceleb", path, lists).label for path in PATHS]
    assert labels == [REAL, REAL, FAKE, FAKE]  # a cloned voice under an untouched picture is real
    assert [recognise("fakeavceleb", path, lists).list_label for path in PATHS] == labels


def test_methods(tmp_path: Path) -> None:
    lists = lists_of(tmp_path)
    assert [recognise("fakeavceleb", path, lists).method for path in PATHS] == [
        "RealVideo-RealAudio",
        "RealVideo-FakeAudio",
        "wav2lip",
        "faceswap",
    ]


def test_persons_and_recordings(tmp_path: Path) -> None:
    records = [recognise("fakeavceleb", path, lists_of(tmp_path)) for path in PATHS]
    assert [record.recording for record in records] == [*["voxceleb2/id00076/00109"] * 3, "voxceleb2/id10006/00905"]
    assert [record.person for record in records] == [*["voxceleb2/id00076"] * 3, "voxceleb2/id10006"]
    # target1 or target2, whichever is an id.
    assert [record.donor_person for record in records] == [None, None, "voxceleb2/id00476", "voxceleb2/id10005"]
    assert [record.original for record in records] == [None, None, REAL_CLIP, f"RealVideo-RealAudio/{EAST}/00905.mp4"]


def test_there_is_no_official_split(tmp_path: Path) -> None:
    assert {recognise("fakeavceleb", path, lists_of(tmp_path)).official_split for path in PATHS} == {None}


def test_file_names_repeat_across_persons_and_categories(tmp_path: Path) -> None:
    name = "00003_id10003_wavtolip.mp4"
    rows, paths = [], []
    for kind in ("FakeVideo-RealAudio", "FakeVideo-FakeAudio"):
        for person in ("id00001", "id00002"):
            rows.append(
                f"{person},id10003,-,wav2lip,C,{kind},African,men,{name},FakeAVCeleb/{kind}/African/men/{person}"
            )
            paths.append(f"{kind}/African/men/{person}/{name}")
    table = {"meta_data.csv": HEADER + "\n".join(rows)}
    records = recognise_all(tmp_path, "fakeavceleb", table, paths)
    assert len({(record.method, record.name) for record in records.values()}) == 4
    assert records[paths[0]].name == "FakeVideo-RealAudio/African/men/id00001/00003_id10003_wavtolip"


COMMON = "source,target1,target2,method,category,type,race,gender"
START = "id00076,10,id00476,wav2lip,D,FakeVideo-FakeAudio,African,men"
FILE = "00109_10_id00476_wavtolip.mp4"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (f"{COMMON},filename,path", f"{START},{FILE},FakeAVCeleb/FakeVideo-FakeAudio/{MEN}"),
        (f"{COMMON},filename,path,", f"{START},{FILE},FakeVideo-FakeAudio/{MEN},"),
        (f"{COMMON},path", f"{START},{FILE}"),
        (f"{COMMON},path", f"{START},FakeAVCeleb/FakeVideo-FakeAudio/{MEN}/{FILE}"),
        (f"{COMMON},filename,path", f"{START},{FILE},FakeAVCeleb_v1.2/FakeVideo-FakeAudio/{MEN}/{FILE}"),
        (f",{COMMON},path,", f"0,{START},{FILE},FakeAVCeleb/FakeVideo-FakeAudio/{MEN}"),
    ],
)
def test_mended_headers(tmp_path: Path, header: str, row: str) -> None:
    lists = lists_of(tmp_path, [row], header + "\n")
    assert lists.named == {LIPS}
    assert recognise("fakeavceleb", LIPS, lists).donor_person == "voxceleb2/id00476"


def test_a_file_listed_twice_keeps_its_first_method(tmp_path: Path) -> None:
    lists = lists_of(tmp_path, [*ROWS, ROWS[2].replace("wav2lip", "faceswap-wav2lip")])
    assert recognise("fakeavceleb", LIPS, lists).method == "wav2lip"


def test_without_the_list_folders_still_give_labels(tmp_path: Path) -> None:
    records = recognise_all(tmp_path, "fakeavceleb", {}, PATHS)
    assert [record.label for record in records.values()] == [REAL, REAL, FAKE, FAKE]
    assert (records[LIPS].method, records[LIPS].donor_person, records[LIPS].list_label) == (
        "FakeVideo-FakeAudio",
        None,
        None,
    )


@pytest.mark.parametrize(
    "path",
    [
        "RealVideo-RealAudio/African/men/00109.mp4",
        "RealVideo-RealAudio/African/other/id00076/00109.mp4",
        "RealVideo-RealAudio/African/men/id00076/00109.wav",
        "RealVideo-RealAudio/African/men/id00076/.00109.mp4",
        "meta_data.csv",
    ],
)
def test_strangers(tmp_path: Path, path: str) -> None:
    assert load_layout("fakeavceleb").recognise(path, lists_of(tmp_path)) is None


@pytest.mark.parametrize(
    ("rows", "header", "line"),
    [
        (ROWS, "source,target,method\n", 1),
        ([], "", 1),
        ([ROWS[0], "id00076,-,-,real,A"], HEADER, 3),
        ([ROWS[0].replace("00109.mp4", "-")], HEADER, 2),
        ([ROWS[0].replace("A,RealVideo-RealAudio", "A,Real")], HEADER, 2),
        (["id00076,-,-,real,A,Real,African,men,00109.mp4"], HEADER, 2),
    ],
)
def test_malformed_list(tmp_path: Path, rows: list[str], header: str, line: int) -> None:
    with pytest.raises(UserError, match=rf"meta_data\.csv, line {line}: expected"):
        lists_of(tmp_path, rows, header)
