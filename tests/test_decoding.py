from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoded_videos import ENCODINGS, encode
from exact_decoding import SHAPES, answers, assert_exact, decode
from fabricated_videos import all_frames, write_video
from pipeline import decoding, video


@pytest.mark.parametrize("name", SHAPES)
def test_decoding_all_frames_is_exact(shapes: dict[str, Path], name: str) -> None:
    assert_exact(shapes[name], video.scan(shapes[name])["pts"])


@given(name=st.sampled_from(list(SHAPES)), data=st.data())
def test_decoding_any_frames_is_exact(shapes: dict[str, Path], name: str, data: st.DataObject) -> None:
    pts = video.scan(shapes[name])["pts"]
    assert_exact(shapes[name], data.draw(st.lists(st.sampled_from(pts), min_size=1, max_size=6, unique=True)))


def test_only_what_is_needed_is_decoded(shapes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """From the key frame before the wanted ones to their last packet, and the next key frame is reached by reading."""
    path = shapes["short GOPs, B-frames"]
    facts = video.scan(path)
    pts, keys = facts["pts"], [facts["pts"][index] for index in facts["key_frames"]]
    stored = [time for time, _, _ in packets(path)]
    came: list[int] = []
    places: list[int | None] = []
    real_judged, real_ways = decoding._judged, decoding._Reader._ways_to

    def judged(frames: Any, key: int) -> Any:
        came.extend(frame.pts for frame in frames)
        return real_judged(frames, key)

    def ways_to(reader: Any, key: int) -> Any:
        for _ in real_ways(reader, key):
            places.append(None if reader._next == keys.index(key) else key)
            yield

    monkeypatch.setattr(decoding, "_judged", judged)
    monkeypatch.setattr(decoding._Reader, "_ways_to", ways_to)
    got = list(decoding.decode(path, [pts[14], pts[20], pts[26], pts[49]], keys))
    assert sorted(time for time, _, _ in got) == [pts[14], pts[20], pts[26], pts[49]]
    assert places == [keys[1], None, keys[4]]  # seek, read on, seek
    groups = ((12, 20), (24, 26), (48, 49))
    needed = [stored[stored.index(pts[key]) : stored.index(pts[last]) + 1] for key, last in groups]
    assert len(came) == len(set(came)) and set(came) <= set(chain(*needed))


@given(
    keys=st.sets(st.integers(0, 60)).map(sorted),
    wanted=st.lists(st.integers(0, 80), min_size=1, max_size=8, unique=True),
)
def test_frames_to_decode_counts_from_key_frames(keys: list[int], wanted: list[int]) -> None:
    starts = {0, *keys}
    needed = {frame for last in wanted for frame in range(max(key for key in starts if key <= last), last + 1)}
    assert decoding.frames_to_decode(wanted, keys) == len(needed)


def test_no_frames_wanted() -> None:
    assert decoding.frames_to_decode([], [0, 12]) == 0


def test_a_stamp_that_no_frame_has(shapes: dict[str, Path]) -> None:
    path = shapes["short GOPs, B-frames"]
    pts = video.scan(path)["pts"]
    got = decode(path, [pts[3], pts[3] + 1, pts[30], pts[-1] + 1000])
    assert [picture is None for picture in got.values()] == [False, True, False, True]


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(video.VideoError) as caught:
        next(decoding.decode(tmp_path / "gone.mp4", [0], [0]))
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize(
    "name",
    [
        "faces/webcam_talking.mp4",
        "faces/webcam_talking.webm",
        "faces/asl_no.mkv",
        "faces/head_pose_male.gif",
        "traps/av1.mkv",
        "traps/h264_10bits.mp4",
        "traps/unordered_pts.mov",
        "traps/two_video_streams.mp4",
        "traps/one_pixel.mp4",
    ],
)
def test_real_clips_decode_exactly(clips: Path, name: str) -> None:
    pts = video.scan(clips / name)["pts"]
    wanted = sorted({pts[0], pts[len(pts) // 3], pts[len(pts) // 2]})
    with av.open(str(clips / name)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        whole = {}
        for frame in container.decode(stream):
            if frame.pts in wanted:
                whole[frame.pts] = decoding.upright(frame, None)
            if frame.pts >= wanted[-1]:
                break
    for pts_, got in decode(clips / name, wanted).items():
        assert got is not None and np.array_equal(got, whole[pts_])


def test_empty_packets_do_not_end_the_decoding(clips: Path) -> None:
    """In Theora an empty packet says: the same picture once more."""
    path = clips / "traps/theora_empty_packets.ogv"
    pts = video.scan(path)["pts"]
    got = decode(path, pts)
    assert len(got) == 752 and all(picture is not None for picture in got.values())
    assert np.array_equal(got[pts[400]], decode(path, [pts[400]])[pts[400]])


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 of two groups of 20 frames, with B-frames that others are built on and B-frames that none is."""
    return encode(tmp_path_factory.mktemp("pyramid") / "pyramid.mp4", *ENCODINGS["pyramid.mp4"], frames=40)


def packets(path: Path) -> list[tuple[int, int, int]]:
    """Return time stamp, position and size of all packets as they are stored."""
    with av.open(str(path)) as container:
        return [(packet.pts, packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


def spoil(path: Path, target: Path, pts: int) -> Path:
    """Write a copy in which the packet of the frame at `pts` is whole at its beginning alone."""
    content = bytearray(path.read_bytes())
    ((position, size),) = [(position, size) for time, position, size in packets(path) if time == pts]
    content[position + size // 4 : position + size] = np.random.default_rng(0).bytes(size - size // 4)
    target.write_bytes(content)
    return target


def test_damage_in_the_middle_costs_no_other_gop_and_gives_no_wrong_picture(tmp_path: Path) -> None:
    pixels = [np.random.default_rng(number).integers(0, 255, (96, 128, 3)).astype(np.uint8) for number in range(36)]
    path = write_video(tmp_path / "a.mp4", pixels=pixels, gop=12, b_frames=0)
    whole = all_frames(path)
    content = bytearray(path.read_bytes())
    _, position, size = packets(path)[17]
    content[position : position + size] = bytes(size)  # frame 17, in the second of three GOPs
    path.write_bytes(content)
    facts = video.scan(path)  # all packets are there: a scan cannot see it
    assert facts["frames"] == 36
    got = decode(path, facts["pts"])
    fine = [number for number, pts in enumerate(facts["pts"]) if got[pts] is not None]
    assert set(fine) >= {*range(17), *range(24, 36)} and 17 not in fine
    for number in fine:
        assert np.array_equal(got[facts["pts"][number]], whole[facts["pts"][number]])


def test_a_corrupt_clip_gives_the_pictures_before_the_damage(clips: Path) -> None:
    """The decoder says that frame 32, stored before frames 29 to 31, is damaged, and no key frame follows."""
    path = clips / "traps/corrupted_packet.mp4"
    pts = video.scan(path)["pts"]
    got = answers(path, pts)
    assert [got[time][1] for time in pts] == [""] * 29 + ["corrupt_frame"] * 21


def test_damage_costs_what_is_built_on_it_and_nothing_else(pyramid: Path, tmp_path: Path) -> None:
    """A damaged frame that none is built on is lost alone; another takes with it all that are stored after it."""
    pts = video.scan(pyramid)["pts"]
    whole = all_frames(pyramid)
    stored = [time for time, _, _ in packets(pyramid)]
    lost = {}
    for number in range(1, 20):
        path = spoil(pyramid, tmp_path / f"{number}.mp4", pts[number])
        got = answers(path, pts)
        if got[pts[number]][0] is not None:  # random bytes may make a picture
            continue
        assert all(picture is None or np.array_equal(picture, whole[time]) for time, (picture, _) in got.items())
        lost[number] = {time for time, (picture, _) in got.items() if picture is None}
        after = set(stored[stored.index(pts[number]) : stored.index(pts[20])])
        assert lost[number] in ({pts[number]}, after), number
    assert sum(len(gone) == 1 for gone in lost.values()) >= 3


@given(number=st.integers(1, 19), wanted=st.sets(st.integers(0, 39), min_size=1, max_size=6))
def test_what_a_frame_answers_depends_on_no_other_frame(
    pyramid: Path, tmp_path_factory: pytest.TempPathFactory, number: int, wanted: set[int]
) -> None:
    pts = video.scan(pyramid)["pts"]
    path = spoil(pyramid, tmp_path_factory.mktemp("spoilt") / "a.mp4", pts[number])
    assert_independent(path, [[pts[index] for index in wanted]])


def assert_independent(path: Path, choices: list[list[int]]) -> None:
    all_wanted = answers(path, video.scan(path)["pts"])
    for wanted in choices:
        for time, (picture, reason) in answers(path, wanted).items():
            assert reason == all_wanted[time][1], (time, wanted)
            assert (picture is None) == (reason != "") and np.array_equal(picture, all_wanted[time][0]), (time, wanted)


@pytest.mark.parametrize(
    "name",
    [
        *("medium.mp4", "open GOP.mp4", "interlaced.mp4", "h264.ts", "hevc, pyramid.mp4", "mpeg4.mp4", "mpeg4.avi"),
        *("vp8.webm", "vp9.webm", "av1.mp4"),
    ],
)
def test_damage_anywhere_gives_the_same_answers_in_any_company(tmp_path: Path, name: str) -> None:
    whole = encode(tmp_path / name, *ENCODINGS[name]).read_bytes()
    damages = 0
    for seed in range(6):
        chance = np.random.default_rng(seed)
        content = bytearray(whole)
        (tmp_path / name).write_bytes(whole)
        for _, position, size in chance.permutation(np.array(packets(tmp_path / name)))[:2].tolist():
            start = int(chance.integers(size))
            content[position + start : position + size] = chance.bytes(size - start)
        (tmp_path / name).write_bytes(content)
        try:
            pts = video.scan(tmp_path / name)["pts"]
        except video.VideoError:
            continue
        damages += 1
        sizes = (1, 1, 1, 2, 4)
        assert_independent(tmp_path / name, [chance.choice(pts, size, replace=False).tolist() for size in sizes])
    assert damages >= 4


def test_pictures_built_on_a_damaged_one_are_damaged(tmp_path: Path) -> None:
    """The decoder tells of the damaged picture alone; those that refer to it come wrong, without a word."""
    path = write_video(tmp_path / "a.mp4", 36, size=(320, 240), gop=12, b_frames=0)
    whole = all_frames(path)
    content = bytearray(path.read_bytes())
    _, position, size = packets(path)[15]
    content[position + 40 : position + size] = b"\xff" * (size - 40)
    path.write_bytes(content)
    facts = video.scan(path)
    pts = facts["pts"]
    plain = all_frames(path)
    assert not any(np.array_equal(plain[time], whole[time]) for time in pts[15:24])
    got = answers(path, pts)
    assert [got[time][1] for time in pts] == [""] * 15 + ["corrupt_frame"] * 9 + [""] * 12
    for time, (picture, _) in got.items():
        assert picture is None or np.array_equal(picture, whole[time])


@given(seed=st.integers(0, 2**32 - 1))
def test_damage_anywhere_gives_an_answer_for_every_frame(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = np.random.default_rng(seed)
    path = write_video(tmp_path_factory.mktemp("damaged") / "a.mp4", 24, gop=8, movflags="faststart")
    facts = video.scan(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 8
    for _ in range(20):
        content[int(chance.integers(start, len(content)))] = int(chance.integers(256))
    path.write_bytes(content)
    keys = [facts["pts"][index] for index in facts["key_frames"]]
    got = list(decoding.decode(path, facts["pts"], keys))
    assert sorted(pts for pts, _, _ in got) == facts["pts"]
    assert all((picture is None) == (reason in ("missing_frame", "corrupt_frame")) for _, picture, reason in got)
