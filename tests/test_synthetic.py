"""The built-in raw datasets: layouts and lists, planted faults, equal treatment of reals and fakes, same bytes."""

import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.synthetic import celeb_df, dfdc, ffpp
from pipeline.synthetic.dataset import Tree, Video, write_tree
from pipeline.synthetic.encoding import encode
from pipeline.synthetic.forgery import METHODS, Forgery, film
from pipeline.synthetic.layouts import LAYOUTS
from pipeline.synthetic.recordings import Recording, make_scene, poses
from pipeline.synthetic.swapping import fill_gaps, swap_face
from small_project import ROOT, contents

CELEB_FAKE = re.compile(r"Celeb-synthesis/id(\d+)_id(\d+)_(\d{4})\.mp4")
RECORDING = Recording("a recording", ("somebody",), 320, 240, 25, 4)
DONOR = Recording("another recording", ("somebody else",), 320, 240, 25, 4)


def shortened(tree: Tree, frames: int) -> Tree:
    """Return the tree with fewer frames in every video."""

    def short(recording: Recording) -> Recording:
        return replace(recording, frames=min(recording.frames, frames))

    return Tree([replace(video, recording=short(video.recording)) for video in tree.videos], tree.files)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three layouts at the smallest scale, three frames per video."""
    folder = tmp_path_factory.mktemp("synthetic")
    for layout, plan in LAYOUTS.items():
        write_tree(shortened(plan(1, 0.3), 3), folder / layout, workers=2)
    return folder


def paths(tree: Tree) -> set[str]:
    return {video.path for video in tree.videos}


def forged(tree: Tree) -> dict[str, bool]:
    return {video.path: video.forgery is not None for video in tree.videos}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_names_are_unique_and_another_seed_changes_no_name(layout: str, scale: float) -> None:
    tree, other = LAYOUTS[layout](1, scale), LAYOUTS[layout](2, scale)
    assert len(paths(tree)) == len(tree.videos)
    assert paths(tree) == paths(other)
    assert not {video.recording.seed for video in tree.videos} & {video.recording.seed for video in other.videos}


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_celeb_df_names_and_test_list(scale: float) -> None:
    tree = celeb_df.plan(1, scale)
    fake = forged(tree)
    for path, is_fake in fake.items():
        match = CELEB_FAKE.fullmatch(path)
        assert (match is not None) == is_fake
        if match:
            target, donor, number = match.groups()
            assert target != donor and f"Celeb-real/id{target}_{number}.mp4" in fake
        else:
            assert re.fullmatch(r"Celeb-real/id\d+_\d{4}\.mp4|YouTube-real/\d{5}\.mp4", path)
    text = tree.files["List_of_testing_videos.txt"].decode()
    assert not text.endswith("\n")
    tested = {path: label for label, path in (line.split(" ") for line in text.split("\n"))}
    assert len(tested) == len(text.split("\n"))
    assert all(label == ("0" if fake[path] else "1") for path, label in tested.items())  # the list says 1 for real
    outside = {fake[path] for path in fake.keys() - tested.keys()}
    assert set(tested.values()) == {"0", "1"} and outside == {True, False}
    targets = {
        "Celeb-real/id{}_{}.mp4".format(*CELEB_FAKE.fullmatch(path).group(1, 3)) for path in tested if fake[path]
    }  # type: ignore[union-attr]
    assert targets & tested.keys() and targets - tested.keys()
    assert not {celeb_df.ONE_FRAME, celeb_df.NO_FACE} & tested.keys()


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_ffpp_names_and_splits(scale: float) -> None:
    tree = ffpp.plan(1, scale)
    splits = {split: json.loads(tree.files[f"splits/{split}.json"]) for split in ("train", "val", "test")}
    pairs = [tuple(pair) for split in splits.values() for pair in split]
    originals = {path for path, is_fake in forged(tree).items() if not is_fake}
    assert originals == {f"original_sequences/youtube/c23/videos/{name}.mp4" for pair in pairs for name in pair}
    assert len(originals) == 2 * len(pairs)
    fakes = {
        f"manipulated_sequences/{method}/c23/videos/{target}_{donor}.mp4"
        for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
        for pair in pairs
        for target, donor in (pair, pair[::-1])
    }
    assert paths(tree) - originals == fakes
    assert {first < second for first, second in pairs} == {True, False}  # unordered, as published


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_dfdc_names_and_labels(scale: float) -> None:
    tree = dfdc.plan(1, scale)
    fake = forged(tree)
    for part in dfdc.PARTS:
        entries = json.loads(tree.files[f"{part}/metadata.json"])
        assert all(re.fullmatch(r"[a-z]{10}\.mp4", name) for name in entries)
        assert {entry["label"] for entry in entries.values()} == {"REAL", "FAKE"}
        for name, entry in entries.items():
            assert entry["split"] == "train" and ("original" in entry) == (entry["label"] == "FAKE")
            assert entry.get("original", name) in entries  # a fake lies in its original's part
            assert f"{part}/{name}" == dfdc.MISSING_ORIGINAL or fake[f"{part}/{name}"] == ("original" in entry)
        listed = {f"{part}/{name}" for name in entries}
        unlisted = {path for path in fake if path.startswith(part)} - listed
        assert unlisted == ({dfdc.UNLISTED} if part in dfdc.UNLISTED else set())
    header, *rows = tree.files["test/labels.csv"].decode().splitlines()
    assert header == "filename,label"
    assert {tuple(row.split(",")) for row in rows} == {
        (Path(path).name, str(int(is_fake))) for path, is_fake in fake.items() if path.startswith("test/")
    }
    assert {row[-1] for row in rows} == {"0", "1"}
    shapes = {(video.recording.width > video.recording.height, len(video.recording.people)) for video in tree.videos}
    assert {(True, 1), (False, 1), (True, 2)} <= shapes
    swapped = [video.forgery.place for video in tree.videos if video.forgery and len(video.recording.people) == 2]
    assert swapped  # one of the two, whichever


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_forgery_takes_over_its_targets_format(layout: str) -> None:
    tree = LAYOUTS[layout](1, 1.0)
    shares = {
        fake: Counter(
            (video.recording.width, video.recording.height, video.recording.fps, video.recording.frames)
            for video in tree.videos
            if (video.forgery is not None) == fake and video.recording.frames > 1
        )
        for fake in (False, True)
    }
    total = {fake: sum(count.values()) for fake, count in shares.items()}
    assert shares[False].keys() == shares[True].keys()
    for shape in shares[False]:
        assert shares[False][shape] / total[False] == pytest.approx(shares[True][shape] / total[True], abs=0.06)


def test_files_on_disk_are_those_of_the_plan(trees: Path) -> None:
    for layout, plan in LAYOUTS.items():
        tree = plan(1, 0.3)
        on_disk = contents(trees / layout)
        assert on_disk.keys() == paths(tree) | tree.files.keys()
        assert all(on_disk[path] == content for path, content in tree.files.items())
        for video in tree.videos:
            if video.kept == 1:
                with av.open(str(trees / layout / video.path)) as container:
                    frames = list(container.decode(video=0))
                    stream = container.streams.video[0]
                assert len(frames) == min(video.recording.frames, 3)
                assert (stream.width, stream.height) == (video.recording.width, video.recording.height)
                assert stream.average_rate == video.recording.fps
                assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert sorted(path.name for path in trees.iterdir()) == sorted(LAYOUTS)  # nothing half-made beside them


def test_planted_faults_are_there(trees: Path) -> None:
    with av.open(str(trees / "celeb_df_v2" / celeb_df.ONE_FRAME)) as container:
        assert len(list(container.decode(video=0))) == 1
    for name, content in celeb_df.STRAY.items():
        assert (trees / "celeb_df_v2" / name).read_bytes() == content
    for layout, path in (("celeb_df_v2", celeb_df.NO_FACE), ("dfdc", dfdc.NO_FACE)):
        (video,) = [video for video in LAYOUTS[layout](1, 0.3).videos if video.path == path]
        assert video.recording.people == () and (trees / layout / path).is_file()
    with pytest.raises(av.FFmpegError):
        av.open(str(trees / "ffpp" / ffpp.TRUNCATED))
    missing = Path(dfdc.MISSING_ORIGINAL)
    entries = json.loads((trees / "dfdc" / missing.parent / "metadata.json").read_text())
    assert entries[Path(dfdc.ORPHAN).name]["original"] == missing.name and entries[missing.name]["label"] == "REAL"
    assert (trees / "dfdc" / dfdc.ORPHAN).is_file() and not (trees / "dfdc" / missing).exists()
    assert (trees / "dfdc" / dfdc.UNLISTED).is_file()


def test_the_encoder_treats_reals_and_fakes_alike(trees: Path) -> None:
    settings: dict[tuple[tuple[int, int, int], bool], set[bytes]] = {}
    for video in celeb_df.plan(1, 0.3).videos:
        shape = (video.recording.width, video.recording.height, video.recording.fps)
        found = re.search(rb"x264 - core[^\0]*", (trees / "celeb_df_v2" / video.path).read_bytes())
        assert found
        settings.setdefault((shape, video.forgery is not None), set()).add(found[0].rstrip(b"\x80"))
    for shape, fake in settings:
        assert len(settings[shape, fake]) == 1 and settings[shape, fake] == settings[shape, not fake]


def test_bytes_depend_on_the_seed_and_not_on_the_workers(tmp_path: Path) -> None:
    def sample(seed: int) -> Tree:
        tree = shortened(celeb_df.plan(seed, 0.3), 3)
        reals = [video for video in tree.videos if not video.forgery]
        return Tree([*reals[:2], *reals[-2:], *[video for video in tree.videos if video.forgery][:2]], tree.files)

    write_tree(sample(1), tmp_path / "one", workers=1)
    write_tree(sample(1), tmp_path / "two", workers=2)
    write_tree(sample(2), tmp_path / "other", workers=2)
    one, two, other = (contents(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    videos = [path for path in one if path.endswith(".mp4")]
    assert len(videos) == 6 and all(one[path] != other[path] for path in videos)


def test_a_tree_replaces_the_old_one_and_a_failure_keeps_it(tmp_path: Path) -> None:
    out = tmp_path / "tree"
    video = Video("a.mp4", replace(RECORDING, frames=1))
    write_tree(Tree([video], {"old.txt": b"old"}), out, workers=1)
    write_tree(Tree([video], {"new.txt": b"new"}), out, workers=1)
    before = contents(out)
    assert before.keys() == {"a.mp4", "new.txt"}
    with pytest.raises(ValueError, match="even sizes"):
        write_tree(Tree([Video("b.mp4", replace(RECORDING, width=321))], {}), out, workers=1)
    assert contents(out) == before and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("method", METHODS)
def test_a_forgery_changes_the_face_and_nothing_else(method: str) -> None:
    real, fake = list(film(RECORDING)), list(film(RECORDING, Forgery(method, DONOR)))
    assert len(fake) == len(real) == RECORDING.frames
    (motion,) = poses(RECORDING)
    down, across = np.mgrid[: RECORDING.height, : RECORDING.width]
    for before, after, pose in zip(real, fake, motion, strict=True):
        changed = np.abs(before.astype(int) - after).max(axis=2)
        distance = np.hypot(across - pose.x, down - pose.y) / pose.size
        assert changed[distance > 1.5].max() == 0
        assert (changed[distance < 1] > 3).mean() > 0.03


def test_methods_leave_different_pictures_and_only_the_named_person_changes() -> None:
    pictures = [next(film(RECORDING, Forgery(method, DONOR))).tobytes() for method in METHODS]
    assert len(set(pictures)) == len(METHODS)
    both = replace(RECORDING, people=("left one", "right one"), width=384, frames=1)
    real = next(film(both)).astype(int)
    for place, untouched in ((0, slice(192, None)), (1, slice(0, 192))):
        fake = next(film(both, Forgery("Deepfakes", DONOR, place)))
        assert (np.abs(real - fake)[:, untouched] == 0).all() and (real != fake).any()


def test_detector_finds_real_and_forged_faces_and_none_where_nobody_is() -> None:
    from pipeline.extracting.faces import detect, why_unusable

    def found(recording: Recording, forgery: Forgery | None = None) -> list[bool]:
        faces = detect(list(film(recording, forgery)), 40, 640)
        return [any(not why_unusable(face, 40, 0.9) for face in of_picture) for of_picture in faces]

    assert all(found(RECORDING)) and all(found(DONOR))
    for method in METHODS:
        assert all(found(replace(RECORDING, frames=2), Forgery(method, DONOR)))
    assert not any(found(replace(RECORDING, people=())))


def test_encoded_pixels_and_colour_tags_agree() -> None:
    colours = np.array([[(200, 60, 50), (40, 180, 90)], [(60, 70, 190), (128, 128, 128)]], np.uint8)
    picture = colours.repeat(48, 0).repeat(64, 1)
    content = encode([picture] * 3, 25)
    assert encode([picture] * 3, 25) == content
    with av.open(io.BytesIO(content)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        codec = container.streams.video[0].codec_context
        assert (int(codec.colorspace), int(codec.color_range)) == (6, 1)  # BT.601 (SMPTE 170M), limited
    assert len(frames) == 3
    for row in (24, 72):
        for column in (32, 96):
            assert np.abs(frames[0][row, column].astype(int) - picture[row, column]).max() <= 6


def test_encoding_the_same_pictures_gives_the_same_bytes() -> None:
    # In processes of their own and among other allocations: with mbtree, x264's output depends on what memory held.
    code = """if True:
        import hashlib, numpy as np
        from pipeline.synthetic.encoding import encode
        from pipeline.synthetic.forgery import film
        from pipeline.synthetic.recordings import Recording
        rng = np.random.default_rng(0)
        pictures = list(film(Recording("a recording", ("somebody",), 320, 240, 25, 25)))
        kept = [encode(pictures, 25) for size in rng.integers(1_000, 300_000, 14) if rng.random(size).any()]
        print(*sorted({hashlib.sha256(content).hexdigest() for content in kept}))
    """
    made = {
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True).stdout for _ in "ab"
    }
    assert len(made) == 1 and len(made.pop().split()) == 1


def test_encoder_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="even sizes"):
        encode([np.zeros((10, 11, 3), np.uint8)], 25)
    with pytest.raises(ValueError, match="at least one picture"):
        encode([], 25)


def test_rooms_differ_between_recordings() -> None:
    rooms = {make_scene(replace(RECORDING, seed=f"room {number}")).background.tobytes() for number in range(5)}
    assert len(rooms) == 5


def test_gaps_in_landmarks_are_interpolated() -> None:
    straight = np.linspace(10, 50, 11)[:, None, None] + np.arange(10, dtype=float).reshape(5, 2)
    gappy = straight.copy()
    gappy[[1, 2, 4, 5, 6]] = np.nan
    filled = fill_gaps(gappy)
    assert not np.isnan(filled).any()
    assert np.allclose(filled[2:-2], straight[2:-2])


def test_a_swap_stays_on_the_face_and_takes_the_targets_colours() -> None:
    rng = np.random.default_rng(0)
    target = np.full((200, 240, 3), (180, 140, 120), np.uint8)
    donor = np.clip(rng.normal((90, 110, 160), 12, (150, 150, 3)), 0, 255).astype(np.uint8)
    points = np.array([[100, 80], [140, 80], [120, 100], [104, 125], [136, 125]], float)
    swapped = swap_face(target, points, donor, points * 0.6)
    down, across = np.mgrid[:200, :240]
    far = np.hypot(across - 120, down - 102) > 110
    assert (swapped[far] == target[far]).all() and (swapped != target).any()
    assert np.abs(swapped[100, 115:125].mean(axis=0) - target[0, 0]).max() < 12


CLIPS_USED = ("office_720p.264", "asl_bird.mkv")


def test_forging_real_clips(tmp_path: Path, clips: Path) -> None:
    from pipeline.synthetic.clips import write_from_clips

    given = tmp_path / "given"
    given.mkdir()
    for name in CLIPS_USED:
        shutil.copy(clips / "faces" / name, given)
    shutil.copy(clips / "traps/empty_file.webm", given)
    shutil.copy(clips / "traps/one_pixel.mp4", given)
    *notes, summary = write_from_clips(given, tmp_path / "out", 1, workers=2)
    assert [note.split(":")[:2] for note in notes] == [
        ["left out", " empty_file.webm"], ["not forged", " one_pixel.mp4"],
    ]  # fmt: skip
    made = sorted(contents(tmp_path / "out"))
    fakes = [path for path in made if path.startswith("Celeb-synthesis/")]
    assert [path for path in made if path.startswith("Celeb-real/")] == [
        "Celeb-real/id0_0000.mp4", "Celeb-real/id0_0001.mp4", "Celeb-real/id1_0000.mp4", "Celeb-real/id2_0000.mp4",
    ]  # fmt: skip
    assert summary == f"3 of 4 files used: 4 real videos, {len(fakes)} fakes" and len(fakes) >= 2
    frames = {}
    for path in made[:-1]:
        with av.open(str(tmp_path / "out" / path)) as container:
            frames[path] = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames["Celeb-real/id0_0000.mp4"]) + len(frames["Celeb-real/id0_0001.mp4"]) == 63
    assert frames["Celeb-real/id2_0000.mp4"][0].shape[0] == 2  # one pixel becomes the smallest even picture
    for path in fakes:
        match = CELEB_FAKE.fullmatch(path)
        assert match
        real = frames[f"Celeb-real/id{match[1]}_{match[3]}.mp4"]
        assert [picture.shape for picture in frames[path]] == [picture.shape for picture in real]
        assert max(real[0].shape) == 640
        differing = np.abs(real[5].astype(int) - frames[path][5]).max(axis=2) > 25
        assert 0.0005 < differing.mean() < 0.1  # a face, not the picture
    tested = (tmp_path / "out/List_of_testing_videos.txt").read_text().splitlines()
    assert "1 Celeb-real/id0_0001.mp4" in tested and {line[0] for line in tested} == {"0", "1"}


@pytest.fixture
def nothing_to_swap(tmp_path: Path, clips: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    shutil.copy(clips / "traps/one_pixel.mp4", folder)
    return folder


def test_clips_without_two_faces_are_refused(tmp_path: Path, nothing_to_swap: Path) -> None:
    from pipeline.synthetic.clips import write_from_clips

    with pytest.raises(UserError, match=r"1 of 1 files decode.*two persons"):
        write_from_clips(nothing_to_swap, tmp_path / "out", 1, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["given"]
