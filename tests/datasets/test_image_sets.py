from pathlib import Path

import pytest

from pipeline.datasets import load_layout
from pipeline.tables import FAKE, REAL
from published import is_sidecar, recognise_all, videos, walk

OPENFORENSICS = [
    f"{split}/{kind}/{kind.lower()}_1.jpg" for split in ("Train", "Validation", "Test") for kind in ("Real", "Fake")
]
FACES_140K = [f"{split}/{kind}/00276TOPP4.jpg" for split in ("train", "valid", "test") for kind in ("real", "fake")]


@pytest.mark.parametrize(("layout", "paths"), [("openforensics_kaggle", OPENFORENSICS), ("faces_140k", FACES_140K)])
def test_published_form(tmp_path: Path, layout: str, paths: list[str]) -> None:
    records = recognise_all(tmp_path, layout, {}, paths)
    assert [record.label for record in records.values()] == [REAL, FAKE] * 3
    assert [record.official_split for record in records.values()] == ["train", "train", "val", "val", "test", "test"]
    assert {record.recording for record in records.values()} == {None}
    assert len(videos(records)) == 6  # the same file name in another split is another image
    assert {(record.method, record.name) for record in records.values()} == {
        (path.split("/")[1], f"{path.split('/')[0]}/{Path(path).stem}") for path in paths
    }


@pytest.mark.parametrize("layout", ["openforensics_kaggle", "image_folder"])
def test_the_numbers_of_imagefolder_are_the_other_way_round(tmp_path: Path, layout: str) -> None:
    paths = ["Train/Real/real_1.jpg", "Train/Fake/fake_1.jpg"]
    records = recognise_all(tmp_path, layout, {}, paths)
    folders = sorted({path.split("/")[1] for path in paths})  # as torchvision.datasets.ImageFolder numbers its classes
    for path in paths:
        assert records[path].label == 1 - folders.index(path.split("/")[1])
    assert records["Train/Real/real_1.jpg"].label == REAL == 0


@pytest.mark.parametrize(
    ("layout", "wrapper", "paths"),
    [
        ("openforensics_kaggle", "Dataset", OPENFORENSICS),
        ("openforensics_kaggle", "", OPENFORENSICS),
        ("faces_140k", "real_vs_fake/real-vs-fake", FACES_140K),
        ("faces_140k", "", FACES_140K),
        ("image_folder", "my/images", FACES_140K),
    ],
)
def test_with_and_without_the_folder_around(tmp_path: Path, layout: str, wrapper: str, paths: list[str]) -> None:
    rows = walk(tmp_path, layout, [f"{wrapper}/{path}".lstrip("/") for path in paths], {})
    assert len(rows) == 6 and {row["status"] for row in rows.values()} == {"ok"}


def test_the_lists_of_140k_are_no_strays(tmp_path: Path) -> None:
    paths = [f"real_vs_fake/real-vs-fake/{path}" for path in FACES_140K]
    rows = walk(tmp_path, "faces_140k", paths, {"train.csv": b",original_path,id,label,label_str,path\n"})
    assert rows["train.csv"]["reason"] == "sidecar"
    assert is_sidecar("faces_140k", "valid.csv") and not is_sidecar("openforensics_kaggle", "train.csv")


@pytest.mark.parametrize(
    ("path", "label", "split", "method", "name"),
    [
        ("real/a.jpg", REAL, None, "real", "a"),
        ("FAKE/a.PNG", FAKE, None, "FAKE", "a"),
        ("Training/Genuine/a b.jpeg", REAL, "train", "Genuine", "Training/a b"),
        ("val/original/x.webp", REAL, "val", "original", "val/x"),
        ("valid/authentic/x.bmp", REAL, "val", "authentic", "valid/x"),
        ("validation/pristine/x.tif", REAL, "val", "pristine", "validation/x"),
        ("testing/0_real/x.png", REAL, "test", "0_real", "testing/x"),
        ("test/1_fake/x.png", FAKE, "test", "1_fake", "test/x"),
        ("deepfake/x.png", FAKE, None, "deepfake", "x"),
        ("manipulated/x.png", FAKE, None, "manipulated", "x"),
        ("synthetic/x.png", FAKE, None, "synthetic", "x"),
        ("generated/x.png", FAKE, None, "generated", "x"),
        ("train/fake/clip 7/0001.png", FAKE, "train", "fake", "train/clip 7"),
        ("fake/method/clip/0001.png", FAKE, None, "fake", "method/clip"),
    ],
)
def test_words_of_an_image_folder(
    tmp_path: Path, path: str, label: int, split: str | None, method: str, name: str
) -> None:
    record = recognise_all(tmp_path, "image_folder", {}, [path])[path]
    assert (record.label, record.official_split, record.method, record.name) == (label, split, method, name)


def test_images_of_a_deeper_folder_are_the_frames_of_one_video(tmp_path: Path) -> None:
    paths = ["real/single.jpg", *[f"real/clip/{number}.png" for number in (10, 9, 1)], "fake/clip/1.png"]
    assert videos(recognise_all(tmp_path, "image_folder", {}, paths)) == {
        ("real", "native", "clip"): ["real/clip/1.png", "real/clip/9.png", "real/clip/10.png"],
        ("real", "native", "single"): ["real/single.jpg"],
        ("fake", "native", "clip"): ["fake/clip/1.png"],
    }
    rows = walk(tmp_path, "image_folder", paths, {})
    assert rows["real/clip/1.png"]["images"] == ["real/clip/1.png", "real/clip/9.png", "real/clip/10.png"]


def test_names_that_would_collide_keep_their_extension(tmp_path: Path) -> None:
    paths = ["real/a.jpg", "real/a.png", "real/b.jpg", "real/c.jpg", "real/c/1.png", "fake/a.jpg", "real/a.jpg.png"]
    records = recognise_all(tmp_path, "image_folder", {}, paths)
    assert [records[path].name for path in paths] == ["a.jpg", "a.png", "b", "c.jpg", "c", "a", "a.jpg.png"]
    assert len(videos(records)) == len(paths)


@pytest.mark.parametrize(
    ("layout", "path"),
    [
        ("openforensics_kaggle", "Train/Real/more/real_1.jpg"),
        ("openforensics_kaggle", "train/real/real_1.jpg"),
        ("openforensics_kaggle", "Train/Real/real_1.mp4"),
        ("faces_140k", "validation/real/1.jpg"),
        ("image_folder", "unknown/a.jpg"),
        ("image_folder", "train/a.jpg"),
        ("image_folder", "train/test/real/a.jpg"),
        ("image_folder", "real/._a.jpg"),
        ("image_folder", "real/a.mp4"),
        ("image_folder", "real/Thumbs.db"),
    ],
)
def test_strangers(layout: str, path: str) -> None:
    found = load_layout(layout)
    assert found.recognise(path, found.read_lists({path: Path(path)})) is None
