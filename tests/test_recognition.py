"""What a tree holds, before any file is opened: wrapper folders, re-arrangements, subsets, images, masks."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import recognition
from pipeline.datasets import Layout, Lists, Record
from pipeline.errors import UserError
from pipeline.params import Dataset


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def recognise(root: Path, layout: str, **asked: Any) -> recognition.Tree:
    return recognition.recognise("key", Dataset(layout=layout, root=root, **asked))


def by_path(tree: recognition.Tree) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in tree.rows}


def celeb(root: Path, real: str = "Celeb-real", youtube: str = "YouTube-real", fake: str = "Celeb-synthesis") -> Path:
    touch(root, f"{real}/id0_0000.mp4", f"{real}/id1_0000.mp4", f"{youtube}/00001.mp4", f"{fake}/id0_id1_0000.mp4")
    (root / "List_of_testing_videos.txt").write_text("1 YouTube-real/00001.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4")
    return root


def facts(tree: recognition.Tree) -> set[tuple[Any, ...]]:
    return {
        tuple(row[name] for name in ("video", "label", "official_split", "recording", "original", "status"))
        for row in tree.rows
    }


def test_the_published_form_is_not_called_rearranged(tmp_path: Path) -> None:
    assert recognise(celeb(tmp_path), "celeb_df_v2").rearranged == {}


def test_a_wrapper_folder_is_stripped_and_named(tmp_path: Path) -> None:
    plain = recognise(celeb(tmp_path / "plain"), "celeb_df_v2")
    celeb(tmp_path / "wrapped/My copy/2024")
    wrapped = recognise(tmp_path / "wrapped", "celeb_df_v2")
    assert facts(wrapped) == facts(plain)
    assert wrapped.rearranged == {("My copy/2024", ""): 5}
    assert by_path(wrapped)["My copy/2024/Celeb-real/id0_0000.mp4"]["status"] == "ok"


def test_the_list_may_lie_beside_the_wrapper(tmp_path: Path) -> None:
    celeb(tmp_path / "Celeb-DF-v2")
    (tmp_path / "Celeb-DF-v2/List_of_testing_videos.txt").rename(tmp_path / "List_of_testing_videos.txt")
    tree = recognise(tmp_path, "celeb_df_v2")
    assert tree.lists.missing == () and Counter(row["official_split"] for row in tree.rows) == {"train": 2, "test": 2}


def test_known_rearrangements_are_read_and_named(tmp_path: Path) -> None:
    root = celeb(tmp_path, "Celeb-real/videos", "Youtube-real/videos", "celeb-synthesis")
    tree = recognise(root, "celeb_df_v2")
    assert facts(tree) == facts(recognise(celeb(tmp_path.with_name("plain")), "celeb_df_v2"))
    assert tree.rearranged == {
        ("Celeb-real/videos", "Celeb-real"): 2,
        ("Youtube-real/videos", "YouTube-real"): 1,
        ("celeb-synthesis", "Celeb-synthesis"): 1,
    }


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    (celeb(tmp_path) / "List_of_testing_videos.txt").unlink()
    assert "List_of_testing_videos.txt" in recognise(tmp_path, "celeb_df_v2").lists.missing[0]


def test_media_that_fit_nothing_are_told_from_other_files(tmp_path: Path) -> None:
    rows = by_path(recognise(touch(celeb(tmp_path), "more/other.mp4", "notes.txt"), "celeb_df_v2"))
    assert {rows[path]["reason"] for path in ("more/other.mp4", "notes.txt")} == {"stray"}
    assert "its name and place fit no video" in rows["more/other.mp4"]["detail"]
    assert rows["notes.txt"]["detail"].startswith("not a video")


def ffpp(root: Path, sequences: int) -> Path:
    """Write pairs 000/001, 002/003, ... with one fake each way, train, val and test in turn."""
    pairs: dict[str, list[list[str]]] = {"train": [], "val": [], "test": []}
    for number in range(0, sequences, 2):
        one, two = f"{number:03d}", f"{number + 1:03d}"
        pairs[("train", "train", "val", "test")[number // 2 % 4]].append([two, one])
        touch(root, *[f"original_sequences/youtube/c23/videos/{name}.mp4" for name in (one, two)])
        for method in ("Deepfakes", "FaceSwap"):
            folder = f"manipulated_sequences/{method}/c23/videos"
            touch(root, f"{folder}/{one}_{two}.mp4", f"{folder}/{two}_{one}.mp4")
            touch(root, f"manipulated_sequences/{method}/masks/videos/{one}_{two}.mp4")
    for split, content in pairs.items():
        (root / f"{split}.json").write_text(json.dumps(content))
    return root


def test_masks_belong_to_their_fakes(tmp_path: Path) -> None:
    rows = by_path(recognise(ffpp(tmp_path, 4), "ffpp"))
    mask = "manipulated_sequences/Deepfakes/masks/videos/000_001.mp4"
    assert rows[mask]["reason"] == "sidecar"
    assert rows["manipulated_sequences/Deepfakes/c23/videos/000_001.mp4"]["mask"] == mask
    assert rows["manipulated_sequences/Deepfakes/c23/videos/001_000.mp4"]["mask"] is None  # there is no such file
    assert rows["original_sequences/youtube/c23/videos/000.mp4"]["mask"] is None


def test_what_the_lists_promise_and_is_not_there(tmp_path: Path) -> None:
    gone = "manipulated_sequences/FaceSwap/c23/videos/003_002.mp4"
    (ffpp(tmp_path, 4) / gone).unlink()
    rows = by_path(recognise(tmp_path, "ffpp"))
    assert {path for path, row in rows.items() if row["reason"] == "missing"} == {gone}
    assert (rows[gone]["method"], rows[gone]["label"]) == ("FaceSwap", 1)


@pytest.mark.parametrize("share", [0.02, 0.25, 0.5, 1.0])
def test_a_subset_takes_whole_groups_of_every_split_and_method(tmp_path: Path, share: float) -> None:
    root = ffpp(tmp_path, 80)
    tree = recognise(root, "ffpp", subset=share)
    every = {row["video"]: row for row in recognise(root, "ffpp").rows if row["status"] == "ok"}
    kept = {row["video"] for row in tree.rows if row["status"] == "ok"}
    assert {row["reason"] for row in tree.rows if row["video"] in every} <= {"", "not_in_subset"}
    tied = {row["recording"] for video, row in every.items() if video in kept}
    tied |= {row["donor_recording"] for video, row in every.items() if video in kept}
    for video, row in every.items():  # a recording is in it whole, or not at all
        assert (video in kept) == (row["recording"] in tied)
    # 20, 10 and 10 pairs, each one group of 2 reals and 4 fakes.
    groups = Counter(row["official_split"] for video, row in every.items() if video in kept)
    pairs = {"train": 20, "val": 10, "test": 10}
    assert groups == {split: 6 * max(int(share * number + 0.5), 1) for split, number in pairs.items()}
    assert {(every[video]["official_split"], every[video]["method"]) for video in kept} == {
        (row["official_split"], row["method"]) for row in every.values()
    }


def test_a_subset_does_not_depend_on_what_lies_elsewhere(tmp_path: Path) -> None:
    small = {row["video"] for row in recognise(ffpp(tmp_path / "a", 8), "ffpp", subset=1).rows}
    root = ffpp(tmp_path / "b", 8)
    first = [row["video"] for row in recognise(root, "ffpp", subset=0.5).rows if row["status"] == "ok"]
    touch(root, "notes.txt")
    assert [row["video"] for row in recognise(root, "ffpp", subset=0.5).rows if row["status"] == "ok"] == first
    assert set(first) < small


def test_images_of_one_name_are_the_frames_of_one_video(tmp_path: Path) -> None:
    frames = [f"{number}.png" for number in (1, 2, 10, 9)]
    touch(tmp_path, *[f"fake/walk/{name}" for name in frames], "real/alone.jpg", "real/other.jpg")
    rows = {row["video"]: row for row in recognise(tmp_path, "image_folder").rows}
    sequence = next(row for row in rows.values() if "walk" in row["video"])
    assert sequence["images"] == [f"fake/walk/{number}.png" for number in (1, 2, 9, 10)]
    assert (sequence["media"], sequence["label"], sequence["path"]) == ("images", 1, "fake/walk/1.png")
    assert Counter(row["label"] for row in rows.values()) == {0: 2, 1: 1}


@pytest.mark.parametrize("gone", ["f/1.png", "f/2.png"])
def test_a_listed_image_that_is_missing_is_a_row_of_its_own(tmp_path: Path, gone: str) -> None:
    names = [f"f/{number}.png" for number in (1, 2, 3)]
    touch(tmp_path, *[name for name in names if name != gone])
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,name", *[f"{name},1,walk" for name in names]]))
    rows = by_path(recognise(tmp_path, "manifest"))
    assert rows.pop(gone)["reason"] == "missing"
    (row,) = rows.values()
    assert row["images"] == [name for name in names if name != gone] and row["status"] == "ok"


def test_two_files_of_one_video_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = Layout("same", lambda files: Lists(), lambda path, lists: Record(name="x", method="m", label=0))
    monkeypatch.setattr(recognition, "load_layout", lambda name: same)
    with pytest.raises(UserError, match=r"a\.mp4 and b\.mp4 are the same video; keep one of the two"):
        recognise(touch(tmp_path, "a.mp4", "b.mp4"), "same")


def test_another_layout_is_proposed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fits the layout dfdc; it fits .*celeb_df_v2"):
        recognise(celeb(tmp_path, "Celeb-real"), "dfdc")


def test_a_subset_of_nothing_usable(tmp_path: Path) -> None:
    rows = recognise(touch(tmp_path, "test_videos/aaaaaaaaaa.mp4"), "dfdc", subset=0.5).rows
    assert [row["reason"] for row in rows] == ["no_label"]


def test_what_operating_systems_leave_behind(tmp_path: Path) -> None:
    left = ["__MACOSX/Celeb-DF-v2/Celeb-real/._id0_0000.mp4", "Celeb-DF-v2/Celeb-real/._id1_0000.mp4", ".DS_Store"]
    celeb(tmp_path / "Celeb-DF-v2")
    rows = by_path(recognise(touch(tmp_path, *left), "celeb_df_v2"))
    assert {rows[path]["reason"] for path in left} == {"sidecar"}
    assert rows["Celeb-DF-v2/Celeb-real/id0_0000.mp4"]["status"] == "ok"


def test_a_picture_beside_the_wrapper(tmp_path: Path) -> None:
    names = [f"Celeb-real/id3_{number:04d}.mp4" for number in range(12)]
    touch(celeb(tmp_path / "Celeb-DF-v2"), *names)
    rows = by_path(recognise(touch(tmp_path, "cover.jpg"), "celeb_df_v2"))
    assert rows.pop("cover.jpg")["reason"] == "stray"
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_a_list_that_cannot_be_opened(tmp_path: Path) -> None:
    (celeb(tmp_path) / "List_of_testing_videos.txt").unlink()
    (tmp_path / "List_of_testing_videos.txt").symlink_to(tmp_path / "gone.txt")
    with pytest.raises(UserError, match=r"List_of_testing_videos\.txt: No such file"):
        recognise(tmp_path, "celeb_df_v2")


def test_a_sequence_that_is_missing_as_a_whole_is_one_row(tmp_path: Path) -> None:
    touch(tmp_path, "here.mp4")
    listed = ["here.mp4,0,", *[f"f/{number}.png,1,walk" for number in range(3)]]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,name", *listed]))
    rows = [row for row in recognise(tmp_path, "manifest").rows if row["reason"] == "missing"]
    assert [row["images"] for row in rows] == [["f/0.png", "f/1.png", "f/2.png"]]


def test_an_original_may_be_any_frame_of_a_sequence(tmp_path: Path) -> None:
    touch(tmp_path, "f/0.png", "f/1.png", "fake.mp4")
    listed = ["f/0.png,0,walk,", "f/1.png,0,walk,", "fake.mp4,1,,f/1.png"]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,name,original", *listed]))
    rows = by_path(recognise(tmp_path, "manifest"))
    assert rows["fake.mp4"]["original"] == rows["f/0.png"]["video"]


def test_letters_that_only_look_like_a_class(tmp_path: Path) -> None:
    rows = by_path(recognise(touch(tmp_path, "te\u017ft/real/a.jpg", "real/b.jpg"), "image_folder"))
    assert rows["te\u017ft/real/a.jpg"]["reason"] == "stray" and rows["real/b.jpg"]["label"] == 0


def test_a_link_that_leads_back_ends(tmp_path: Path) -> None:
    (celeb(tmp_path) / "Celeb-real/again").symlink_to(tmp_path)
    assert len(recognise(tmp_path, "celeb_df_v2").rows) == 4


@pytest.mark.parametrize("inside", ["real", "train/real"])
@pytest.mark.parametrize("around", ["deepfake", "original", "synthetic/fake"])
def test_a_wrapper_named_like_a_class_is_no_class(tmp_path: Path, around: str, inside: str) -> None:
    fake = inside.replace("real", "fake")
    touch(tmp_path, *[f"{around}/{folder}/{number}.jpg" for folder in (inside, fake) for number in range(3)])
    rows = recognise(tmp_path, "image_folder").rows
    assert Counter(row["label"] for row in rows) == {0: 3, 1: 3}
    assert all(f"/{'real' if row['label'] == 0 else 'fake'}/" in row["path"] for row in rows)


def test_classes_around_splits_keep_the_splits(tmp_path: Path) -> None:
    touch(
        tmp_path, *[f"{kind}/{split}/{n}.jpg" for kind in ("Real", "Fake") for split in ("train", "test") for n in "ab"]
    )
    rows = by_path(recognise(tmp_path, "image_folder"))
    assert (rows["Real/test/a.jpg"]["official_split"], rows["Real/test/a.jpg"]["label"]) == ("test", 0)
    assert (rows["Fake/train/b.jpg"]["official_split"], rows["Fake/train/b.jpg"]["label"]) == ("train", 1)
    assert len(rows) == 8


@pytest.mark.parametrize(
    "written",
    [
        "1 Youtube-real/00001.mp4\n0 Celeb-synthesis/id0_id1_0000.mp4",
        "1 YouTube-real\\00001.mp4\r\n0 Celeb-synthesis\\id0_id1_0000.mp4",
        "1 YouTube-real/videos/00001.mp4\n0 Celeb-synthesis/videos/id0_id1_0000.mp4",
        "\ufeff1\tYouTube-real/00001.mp4\n0\tCeleb-synthesis/id0_id1_0000.mp4",
        "1 ./YouTube-real/00001.MP4\n0 ./Celeb-synthesis/id0_id1_0000.MP4",
    ],
)
def test_a_list_written_another_way_names_the_same_videos(tmp_path: Path, written: str) -> None:
    (celeb(tmp_path) / "List_of_testing_videos.txt").write_text(written, newline="")
    rows = by_path(recognise(tmp_path, "celeb_df_v2"))
    tested = {path for path, row in rows.items() if row["official_split"] == "test"}
    assert tested == {"YouTube-real/00001.mp4", "Celeb-synthesis/id0_id1_0000.mp4"}
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_a_list_of_another_copy_is_refused(tmp_path: Path) -> None:
    (celeb(tmp_path) / "List_of_testing_videos.txt").write_text("1 Celeb/YouTube-real/00001.mp4")
    with pytest.raises(UserError, match=r"name 1 videos, as Celeb/YouTube-real/00001\.mp4, and not one is there"):
        recognise(tmp_path, "celeb_df_v2")


def test_capital_extensions(tmp_path: Path) -> None:
    celeb(tmp_path)
    for path in list(tmp_path.rglob("*.mp4")):
        path.rename(path.with_suffix(".MP4"))
    tree = recognise(tmp_path, "celeb_df_v2")
    assert {row["status"] for row in tree.rows} == {"ok"} and tree.rearranged == {}
    assert by_path(tree)["YouTube-real/00001.MP4"]["official_split"] == "test"


def test_a_subset_of_many_make_ups_is_small(tmp_path: Path) -> None:
    """Each recording forged by methods of its own: no two groups are alike."""
    methods = ["Deepfakes", "Face2Face", "FaceShifter", "FaceSwap", "NeuralTextures"]
    numbers = range(62)
    lines = ["path,label,method,split,recording"]
    for number in numbers:
        split = "test" if number % 4 == 0 else "train"
        made = ["real", *[method for place, method in enumerate(methods) if number >> place & 1]]
        touch(tmp_path, *[f"{method}/{number}.mp4" for method in made])
        lines += [f"{method}/{number}.mp4,{int(method != 'real')},{method},{split},mine/{number}" for method in made]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    rows = recognise(tmp_path, "manifest", subset=0.05).rows
    kept = [row for row in rows if row["status"] == "ok"]
    assert {(row["official_split"], row["method"]) for row in kept} == {
        (row["official_split"], row["method"]) for row in rows
    }
    assert 4 <= len({row["recording"] for row in kept}) <= 10
