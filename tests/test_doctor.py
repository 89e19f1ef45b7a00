"""`veriframe doctor` on small trees: what it finds, says, returns and writes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from command import Outcome, veriframe
from fabricated_videos import FAULTS, picture, write_celeb_tree, write_video
from pipeline import contact_sheet, doctor
from pipeline.datasets import Count, load_layout
from small_project import contents, inside

TEST_LIST = "List_of_testing_videos.txt"
Doctor = Callable[..., Outcome]


@pytest.fixture
def run_doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run `veriframe doctor` in this process; return exit code, stdout and stderr."""

    def run(*arguments: str | Path, **environment: str) -> Outcome:
        with inside(tmp_path, **environment):
            return veriframe(capsys, "doctor", *arguments)

    return run


@pytest.fixture
def clean_tree(tmp_path: Path) -> Path:
    """A dataset with a manifest and nothing wrong: a real and a fake made from it for training and for testing."""
    lines = ["path,label,method,split,original"]
    for number, split in enumerate(("train", "test")):
        pixels = [picture(frame + 50 * number, 64, 48) for frame in range(9)]
        write_video(tmp_path / f"clean/reals/{split}.mp4", pixels=pixels)
        write_video(tmp_path / f"clean/fakes/{split}.mp4", pixels=[255 - pixel for pixel in pixels])
        lines += [
            f"reals/{split}.mp4,real,camera,{split},",
            f"fakes/{split}.mp4,fake,inverted,{split},reals/{split}.mp4",
        ]
    (tmp_path / "clean/manifest.csv").write_text("\n".join(lines))
    return tmp_path / "clean"


def write_faulty_tree(root: Path) -> dict[str, str]:
    """Write a Celeb-DF v2 tree, reals below an extra level, with every kind of fault; return path -> code."""
    write_celeb_tree(root)
    write_video(root / "Celeb-real/id7_0000.mp4", 30)
    (root / "Celeb-real/id7_0001.mp4").write_bytes((root / "Celeb-real/id7_0000.mp4").read_bytes())
    with av.open(str(root / "Celeb-real/id7_0002.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    (root / "Celeb-real").rename(root / "reals")
    (root / "Celeb-real").mkdir()
    (root / "reals").rename(root / "Celeb-real/videos")
    (root / "odd\nname é.txt").touch()
    codes = {path.replace("Celeb-real/", "Celeb-real/videos/"): code for path, code in FAULTS.items()}
    codes["Celeb-real/id9_0000.mp4"] = codes.pop("Celeb-real/videos/id9_0000.mp4")  # missing: where the release has it
    codes |= {f"Celeb-real/videos/id7_000{number}.mp4": "duplicate_content" for number in range(2)}
    return codes | {"Celeb-real/videos/id7_0002.mp4": "no_video_stream", "odd\nname é.txt": "stray"}


def examine(layout: str, root: Path, in_process: Any) -> dict[str, Any]:
    return doctor.examine(layout, root, in_process, root.parent / "cache")[0]


# --- what is found ---------------------------------------------------------------------------------------------------


def test_a_clean_tree(clean_tree: Path, run_doctor: Doctor) -> None:
    before = contents(clean_tree)
    code, said, progress = run_doctor("manifest", clean_tree)
    assert code == 0 and said.splitlines()[-1] == "clean"
    assert said.startswith(f"dataset with a manifest (layout manifest) at {clean_tree}\n")
    assert "manifest.csv      5" in said and "doctor manifest: 4 of 4 videos" in progress
    assert contents(clean_tree) == before


def test_every_kind_of_fault(tmp_path: Path, in_process: Any) -> None:
    codes = write_faulty_tree(tmp_path / "celeb")
    report = examine("celeb_df_v2", tmp_path / "celeb", in_process)
    found = {row["subject"]: row["code"] for row in report["findings"]}
    assert {subject: found[subject] for subject in codes} == codes
    layout = load_layout("celeb_df_v2")
    others = {row["code"] for row in report["findings"] if row["subject"] not in codes}
    assert others == {"count_differs", "list_differs", "rearranged", "frames_differ_from_original"}
    assert report["rearranged"] == [{"found": "Celeb-real/videos", "published": "Celeb-real", "files": 14}]
    assert len([row for row in report["findings"] if row["code"] == "count_differs"]) == len(layout.counts)
    assert report["problems"] == sum(row["severity"] != "note" for row in report["findings"])
    assert not report["clean"]


def test_counts_hold_what_is_there_against_what_was_published(tmp_path: Path, in_process: Any) -> None:
    write_faulty_tree(tmp_path / "celeb")
    report = examine("celeb_df_v2", tmp_path / "celeb", in_process)
    found = {(row["split"], row["method"]): (row["published"], row["found"]) for row in report["counts"]}
    assert found[None, "Celeb-real"] == (590, 14)  # 6 good, 5 with faults, 3 more; not the missing one
    assert found["test", "Celeb-synthesis"] == (340, 2)
    details = {row["subject"]: row["detail"] for row in report["findings"] if row["code"] == "count_differs"}
    assert details["Celeb-synthesis"] == "published 5,639, found 9"
    videos = {(row["split"], row["label"], row["method"]): (row["found"], row["usable"]) for row in report["videos"]}
    assert videos["train", 0, "Celeb-real"] == (12, 7)
    assert sum(found for found, _ in videos.values()) == 14 + 2 + 9


@pytest.mark.parametrize(
    ("published", "certain", "severity"),
    [(2, True, None), (3, True, "warning"), (21, False, "note"), (22, False, "warning")],
)
def test_figures_that_sources_disagree_on_are_a_note_when_nearly_met(
    tmp_path: Path,
    in_process: Any,
    monkeypatch: pytest.MonkeyPatch,
    published: int,
    certain: bool,
    severity: str | None,
) -> None:
    images = 2 if certain else 20
    for number in range(images):
        (tmp_path / f"faces/{('real', 'fake')[number % 2]}").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"faces/{('real', 'fake')[number % 2]}/{number}.png"), picture(number, 32, 32))
    layout = replace(load_layout("image_folder"), counts=(Count(published, certain=certain),))
    monkeypatch.setattr(doctor, "load_layout", lambda name: layout)
    report = examine("image_folder", tmp_path / "faces", in_process)
    differs = [row for row in report["findings"] if row["code"] == "count_differs"]
    assert [row["severity"] for row in differs] == ([severity] if severity else [])
    assert report["clean"] == (severity != "warning")
    if severity:
        doubt = "" if certain else " (sources disagree on the published figure)"
        assert differs[0]["detail"] == f"published {published}, found {images}{doubt}"


def test_a_compression_that_was_not_downloaded_is_one_note(tmp_path: Path, in_process: Any) -> None:
    write_video(tmp_path / "ffpp/original_sequences/youtube/c40/videos/000.mp4")
    for split, pairs in (("train", [["000", "001"]]), ("val", []), ("test", [])):
        (tmp_path / "ffpp/splits").mkdir(exist_ok=True)
        (tmp_path / f"ffpp/splits/{split}.json").write_text(json.dumps(pairs))
    report = examine("ffpp", tmp_path / "ffpp", in_process)
    absent = [row["subject"] for row in report["findings"] if row["code"] == "compression_absent"]
    compared = {row["compression"] for row in report["counts"] if row["compared"]}
    assert absent == ["c23", "raw"] and compared == {"c40"}
    assert {row["subject"].split()[-1] for row in report["findings"] if row["code"] == "count_differs"} == {"c40"}
    assert "raw                720" not in doctor.describe(report)


# --- lists -----------------------------------------------------------------------------------------------------------


def test_a_list_as_published(tmp_path: Path, official: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    (root / TEST_LIST).write_bytes((official / "celeb_df_v2" / TEST_LIST).read_bytes())
    report = examine("celeb_df_v2", root, in_process)
    known = load_layout("celeb_df_v2").known_lists[TEST_LIST]
    assert report["lists"] == [{"path": TEST_LIST, "lines": 518, "sha256": known.sha256, "as_published": True}]
    assert "list_differs" not in {row["code"] for row in report["findings"]}
    assert "as published" in doctor.describe(report)


def test_the_shortened_list_is_named(tmp_path: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    (root / TEST_LIST).write_text("\n".join(f"0 Celeb-synthesis/id1_id2_{number:04d}.mp4" for number in range(448)))
    report = examine("celeb_df_v2", root, in_process)
    differs = next(row for row in report["findings"] if row["code"] == "list_differs")
    known = load_layout("celeb_df_v2").known_lists[TEST_LIST]
    assert differs["severity"] == "warning" and differs["subject"] == TEST_LIST
    assert differs["detail"] == f"not the published list: 448 lines, published 518: {known.altered[448]}"


def test_a_missing_list_is_a_warning(tmp_path: Path, in_process: Any) -> None:
    root = write_celeb_tree(tmp_path / "celeb", faults=False)
    (root / TEST_LIST).unlink()
    report = examine("celeb_df_v2", root, in_process)
    missing = [row for row in report["findings"] if row["code"] == "list_missing"]
    assert [(row["severity"], row["subject"]) for row in missing] == [("warning", TEST_LIST)]
    assert report["lists"] == [{"path": TEST_LIST, "lines": None, "sha256": None, "as_published": None}]


def test_a_malformed_list_ends_the_examination_with_one_error(clean_tree: Path, run_doctor: Doctor) -> None:
    (clean_tree / "manifest.csv").write_text("path,label\nreals/train.mp4,perhaps\n")
    code, said, _ = run_doctor("manifest", clean_tree, "--json")
    report = json.loads(said)
    assert code == 1 and report["problems"] == 1
    assert [(row["severity"], row["code"]) for row in report["findings"]] == [("error", "not_recognised")]
    assert "label 'perhaps' is none of" in report["findings"][0]["detail"]


# --- what is said ----------------------------------------------------------------------------------------------------


def test_the_words_are_grouped_and_the_worst_comes_first(tmp_path: Path, run_doctor: Doctor) -> None:
    write_faulty_tree(tmp_path / "celeb")
    code, said, _ = run_doctor("celeb_df_v2", tmp_path / "celeb")
    lines = said.splitlines()
    assert code == 1 and "\033" not in said
    assert "  14 files below Celeb-real/videos/ read as if below Celeb-real/" in lines
    groups = [line for line in lines if line.startswith(("error ", "warning ", "note "))]
    assert groups == sorted(groups, key=lambda line: line.startswith("note"))
    at = lines.index("warning duplicate_content: 2")
    assert lines[at + 1].startswith("  Celeb-real/videos/id7_0000.mp4: the same content as ")
    assert lines[at + 3] == ""
    assert "note stray: 2" in lines and any(line.startswith(r"  odd\nname é.txt: ") for line in lines)
    problems = int(lines[-1].split()[0])
    assert lines[-1] == f"{problems} problems ({problems} warnings)" and problems > len(FAULTS)


def test_one_problem_and_many_alike() -> None:
    report = {"title": "T", "layout": "l", "path": "p", "rearranged": [], "lists": [], "counts": [], "videos": []}
    rows = [{"severity": "error", "code": "bad", "subject": f"v{number}", "detail": "d"} for number in range(1234)]
    one = doctor.describe(report | {"findings": rows[:1], "problems": 1, "clean": False})
    assert one.splitlines()[-1] == "1 problem (1 error)"
    many = doctor.describe(report | {"findings": rows, "problems": 1234, "clean": False})
    assert "error bad: 1,234\n  v0: d\n  v1: d\n  v2: d\n  and 1,231 more\n" in many


def test_fifty_lists_of_parts_stay_short() -> None:
    report = {"title": "T", "layout": "l", "path": "p", "rearranged": [], "counts": [], "videos": [], "findings": []}
    lists = [{"path": f"part_{n}", "lines": 1, "sha256": "0", "as_published": None} for n in range(50)]
    known = {"path": "known", "lines": 7, "sha256": "1", "as_published": True}
    said = doctor.describe(report | {"lists": [*lists, known], "problems": 0, "clean": True}).splitlines()
    assert said[4:-2] == [
        *[f"  part_{n}      1" for n in range(doctor.LISTS)],
        "  known       7  as published",
        f"  and {50 - doctor.LISTS} more",
    ]


def test_json_is_all_that_stdout_holds(celeb_tree: Path, run_doctor: Doctor) -> None:
    code, said, progress = run_doctor("celeb_df_v2", celeb_tree, "--json")
    report = json.loads(said)
    assert code == 1 and "doctor celeb_df_v2: 21 of 21 videos" in progress
    assert list(report) == [
        *("layout", "title", "path", "rearranged", "lists", "counts", "videos", "findings", "problems", "clean")
    ]
    assert report["path"] == str(celeb_tree) and report["title"] == "Celeb-DF v2"
    found = {row["subject"]: row["code"] for row in report["findings"]}
    assert FAULTS.items() <= found.items()
    assert all(list(row) == ["severity", "code", "subject", "detail"] for row in report["findings"])


def test_the_number_of_workers_changes_nothing(celeb_tree: Path, tmp_path: Path, run_doctor: Doctor) -> None:
    seen = []
    for workers in (1, 2):
        sheet = tmp_path / f"sheet{workers}.jpg"
        machine = {"VERIFRAME_WORKERS": str(workers), "VERIFRAME_CACHE": str(tmp_path / f"cache{workers}")}
        outcome = run_doctor("celeb_df_v2", celeb_tree, "--json", "--sheet", sheet, **machine)
        seen.append((outcome[:2], sheet.read_bytes()))
    assert seen[0] == seen[1]


# --- bad usage -------------------------------------------------------------------------------------------------------


def test_bad_usage(celeb_tree: Path, tmp_path: Path, run_doctor: Doctor) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, message in [
        (["celeb_df_v9", celeb_tree], "error: unknown layout 'celeb_df_v9'; known: celeb_df_pp, celeb_df_v1, "),
        (["ffpp", tmp_path / "gone"], f"error: there is no folder {tmp_path / 'gone'}"),
        (["ffpp", celeb_tree / "notes.txt"], f"error: there is no folder {celeb_tree / 'notes.txt'}"),
        (["ffpp", tmp_path / "empty"], "fits the layout ffpp"),
        (["ffpp", celeb_tree], "it fits celeb_df"),
        (["celeb_df_v2", celeb_tree, "--sheet", "sheet.png"], "error: --sheet: sheet.png must be a file whose name"),
        (["celeb_df_v2", celeb_tree, "--sheet", celeb_tree / "new.jpg"], "lies in the dataset itself"),
    ]:
        code, said, complaint = run_doctor(*arguments)
        assert (code, said) == (2, "") and message in complaint and complaint.count("\n") == 1, complaint
    assert not (celeb_tree / "new.jpg").exists()
    assert run_doctor("ffpp")[0] == 2


# --- the contact sheet -----------------------------------------------------------------------------------------------


def test_the_sheet_shows_every_method_from_a_new_row_on(celeb_tree: Path, tmp_path: Path, run_doctor: Doctor) -> None:
    sheet = tmp_path / "sheet.jpg"
    assert run_doctor("celeb_df_v2", celeb_tree, "--sheet", sheet)[0] == 1
    shown = cv2.imread(str(sheet))
    height, width = contact_sheet.CELL
    assert shown.shape == (4 * height, 8 * width, 3)  # Celeb-real 6, YouTube-real 2, Celeb-synthesis 9
    empty = shown.reshape(4, height, 8, width, 3).min(axis=(1, 3, 4)) > 240
    assert empty.sum(axis=1).tolist() == [2, 6, 0, 7]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith((".jpg", ".part"))] == ["sheet.jpg"]


def test_the_sheet_shows_the_middle_frame(tmp_path: Path, in_process: Any) -> None:
    colours = [np.full((48, 64, 3), (level, 0, 255 - level), np.uint8) for level in range(0, 250, 10)]
    write_video(tmp_path / "set/Real/clip.mp4", pixels=colours)
    lines = "path,label\nReal/clip.mp4,0\n"
    (tmp_path / "set/manifest.csv").write_text(lines)
    _, rows = doctor.examine("manifest", tmp_path / "set", in_process, tmp_path / "cache")
    shown = decoded(contact_sheet.contact_sheet(rows, tmp_path / "set", in_process))
    middle = shown[contact_sheet.HEIGHT // 2, contact_sheet.WIDTH // 2].astype(int)
    assert abs(middle - [255 - 120, 0, 120]).max() <= 8  # BGR of frame 12 of 25; its neighbours differ by 10


def test_images_are_shown_and_what_cannot_be_is_grey(tmp_path: Path, in_process: Any) -> None:
    for kind in ("real", "fake"):
        (tmp_path / f"faces/{kind}").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f"faces/{kind}/é {kind}.png"), np.full((40, 20, 3), (200, 10, 10), np.uint8))
    _, rows = doctor.examine("image_folder", tmp_path / "faces", in_process, tmp_path / "cache")
    (tmp_path / "faces/fake/é fake.png").unlink()
    shown = decoded(contact_sheet.contact_sheet(rows, tmp_path / "faces", in_process))
    height, width = contact_sheet.CELL
    assert shown.shape == (2 * height, width, 3)
    top, bottom = shown[:height], shown[height:]
    assert abs(top[height // 3, width // 2].astype(int) - [200, 10, 10]).max() <= 8
    assert abs(bottom[height // 3, width // 2].astype(int) - contact_sheet.GREY).max() <= 8


def test_many_videos_take_turns() -> None:
    rows = [
        {"video": f"{method}/{number}", "label": label, "method": method, "status": status}
        for label, method, videos in ((0, "real", 100), (1, "common", 900), (1, "rare", 3))
        for number in range(videos)
        for status in ("ok", "rejected")
    ]
    chosen = contact_sheet.choose(rows)
    methods = [row["method"] for row in chosen]
    assert methods == ["real"] * 23 + ["common"] * 22 + ["rare"] * 3
    assert {row["status"] for row in chosen} == {"ok"}
    assert contact_sheet.choose(rows[::-1]) == chosen


def test_a_tree_without_a_usable_video_gives_an_empty_sheet(in_process: Any) -> None:
    assert (decoded(contact_sheet.contact_sheet([], Path(), in_process)) == 255).all()


def decoded(jpeg: bytes) -> np.ndarray:
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    return shown
