from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decoding import SHAPES, assert_exact, decode
from fabricated_videos import all_frames, picture, write_video
from pipeline import video


@pytest.mark.parametrize("name", SHAPES)
def test_decoding_all_frames_is_exact(shapes: dict[str, Path], name: str) -> None:
    assert_exact(shapes[name], video.scan(shapes[name])["pts"])


@given(name=st.sampled_from(list(SHAPES)), data=st.data())
def test_decoding_any_frames_is_exact(shapes: dict[str, Path], name: str, data: st.DataObject) -> None:
    pts = video.scan(shapes[name])["pts"]
    assert_exact(shapes[name], data.draw(st.lists(st.sampled_from(pts), min_size=1, max_size=6, unique=True)))


def test_only_what_is_needed_is_decoded(shapes: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """From the key frame before the wanted one; the two wanted frames of one GOP share their way."""
    seeks: list[int] = []

    class Container:
        def __init__(self, real: Any) -> None:
            self.real = real

        def __enter__(self) -> "Container":
            return self

        def __exit__(self, *error: object) -> None:
            self.real.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def seek(self, offset: int, **how: Any) -> None:
            seeks.append(offset)
            self.real.seek(offset, **how)

    path = shapes["short GOPs, B-frames"]
    facts = video.scan(path)
    pts, keys = facts["pts"], [facts["pts"][index] for index in facts["key_frames"]]
    real_open = av.open
    monkeypatch.setattr(video.av, "open", lambda *args, **kwargs: Container(real_open(*args, **kwargs)))
    list(video.decode(path, [pts[14], pts[20], pts[40]], keys))
    assert seeks == [pts[12], pts[36]]


def test_a_stamp_that_no_frame_has(shapes: dict[str, Path]) -> None:
    path = shapes["short GOPs, B-frames"]
    pts = video.scan(path)["pts"]
    got = decode(path, [pts[3], pts[3] + 1, pts[30], pts[-1] + 1000])
    assert [picture is None for picture in got.values()] == [False, True, False, True]


def test_damage_in_the_middle_costs_no_other_gop_and_gives_no_wrong_picture(tmp_path: Path) -> None:
    pixels = [np.random.default_rng(number).integers(0, 255, (96, 128, 3)).astype(np.uint8) for number in range(36)]
    path = write_video(tmp_path / "a.mp4", pixels=pixels, gop=12, b_frames=0)
    whole = all_frames(path)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    position, size = packets[17]
    content[position : position + size] = bytes(size)  # frame 17, in the second of three GOPs
    path.write_bytes(content)
    facts = video.scan(path)  # all packets are there: a scan cannot see it
    assert facts["frames"] == 36
    got = decode(path, facts["pts"])
    fine = [number for number, pts in enumerate(facts["pts"]) if got[pts] is not None]
    assert set(fine) >= {*range(17), *range(24, 36)} and 17 not in fine
    for number in fine:
        assert np.array_equal(got[facts["pts"][number]], whole[facts["pts"][number]])


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(video.VideoError) as caught:
        next(video.decode(tmp_path / "gone.mp4", [0], [0]))
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (-90, -1), (180, 2), (-180, 2)])
def test_upright_turns_against_the_clock(rotation: int, turns: int) -> None:
    class Frame:
        def __init__(self) -> None:
            self.rotation = rotation

        def to_ndarray(self, format: str) -> np.ndarray:
            assert format == "rgb24"
            return picture(1, 8, 6)

    turned = video.upright(Frame())
    assert np.array_equal(turned, np.rot90(picture(1, 8, 6), turns))


@pytest.mark.parametrize(("name", "rotation"), [("rotated_90.mov", 90), ("rotated_180.mov", 180)])
def test_rotated_clips_come_upright(clips: Path, name: str, rotation: int) -> None:
    path = clips / "traps" / name
    facts = video.scan(path)
    for pts, got in decode(path, facts["pts"]).items():
        assert got is not None and np.array_equal(got, np.rot90(all_frames(path)[pts], -rotation // 90))
        assert got.shape[:2] == (
            (facts["width"], facts["height"]) if rotation == 90 else (facts["height"], facts["width"])
        )


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
                whole[frame.pts] = video.upright(frame)
            if frame.pts >= wanted[-1]:
                break
    for pts_, got in decode(clips / name, wanted).items():
        assert got is not None and np.array_equal(got, whole[pts_])


def test_a_corrupt_clip_gives_the_pictures_before_the_damage(clips: Path) -> None:
    """The packet of frame 30 cannot be decoded, and no key frame follows.

    Frames 0 to 28 come from packets before it. So does frame 32, but the decoder says that it is damaged. Skipping the
    packet would give 49 pictures, the later ones built on nothing.
    """
    path = clips / "traps/corrupted_packet.mp4"
    facts = video.scan(path)
    answers = list(video.decode(path, facts["pts"], [facts["pts"][index] for index in facts["key_frames"]]))
    assert [pts for pts, _, _ in answers] == facts["pts"]
    reasons = [reason for _, _, reason in answers]
    assert reasons == [""] * 29 + ["missing_frame"] * 3 + ["corrupt_frame"] + ["missing_frame"] * 17


def test_what_a_frame_answers_depends_on_no_other_frame(clips: Path) -> None:
    path = clips / "traps/corrupted_packet.mp4"
    facts = video.scan(path)
    whole = {pts: (got, reason) for pts, got, reason in video.decode(path, facts["pts"], [facts["pts"][0]])}
    for number in (0, 13, 28, 29, 32, 33, 49):
        ((pts, got, reason),) = video.decode(path, [facts["pts"][number]], [facts["pts"][0]])
        assert reason == whole[pts][1] and np.array_equal(got, whole[pts][0])


def test_empty_packets_do_not_end_the_decoding(clips: Path) -> None:
    """In Theora an empty packet says: the same picture once more."""
    path = clips / "traps/theora_empty_packets.ogv"
    pts = video.scan(path)["pts"]
    got = decode(path, pts)
    assert len(got) == 752 and all(picture is not None for picture in got.values())
    assert np.array_equal(got[pts[400]], decode(path, [pts[400]])[pts[400]])


def test_pictures_built_on_a_damaged_one_are_damaged(tmp_path: Path) -> None:
    """The decoder tells of the damaged picture alone; those that refer to it come wrong, without a word."""
    path = write_video(tmp_path / "a.mp4", 36, size=(320, 240), gop=12, b_frames=0)
    whole = all_frames(path)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    position, size = packets[15]
    content[position + 40 : position + size] = b"\xff" * (size - 40)
    path.write_bytes(content)
    facts = video.scan(path)
    pts = facts["pts"]
    plain = all_frames(path)
    assert not any(np.array_equal(plain[time], whole[time]) for time in pts[15:24])
    answers = list(video.decode(path, pts, [pts[index] for index in facts["key_frames"]]))
    assert [reason for _, _, reason in answers] == [""] * 15 + ["corrupt_frame"] * 9 + [""] * 12
    for time, got, _ in answers:
        assert got is None or np.array_equal(got, whole[time])


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
    answers = list(video.decode(path, facts["pts"], [facts["pts"][index] for index in facts["key_frames"]]))
    assert [pts for pts, _, _ in answers] == facts["pts"]
    assert all((got is None) == (reason in ("missing_frame", "corrupt_frame")) for _, got, reason in answers)
