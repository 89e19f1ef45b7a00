from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from exact_decoding import SHAPES, assert_exact, decode
from fabricated_videos import all_frames, picture, remux, write_video
from pipeline import decoding, tables, video


@pytest.mark.parametrize("name", SHAPES)
def test_scan_counts_and_times_every_frame(shapes: dict[str, Path], name: str) -> None:
    facts = video.scan(shapes[name])
    assert facts["pts"] == sorted(all_frames(shapes[name]))
    assert facts["frames"] == len(facts["pts"]) == SHAPES[name]["frames"]
    assert facts["key_frames"][0] == 0


def test_scan_finds_the_key_frames(shapes: dict[str, Path]) -> None:
    assert video.scan(shapes["short GOPs, B-frames"])["key_frames"] == [0, 12, 24, 36, 48]
    assert video.scan(shapes["one GOP, B-frames"])["key_frames"] == [0]


def test_scan_reads_times_in_seconds(shapes: dict[str, Path]) -> None:
    facts = video.scan(shapes["starts late"])
    assert (facts["pts"][1] - facts["pts"][0]) * facts["time_base"] == pytest.approx(0.04)
    assert facts["duration_s"] == pytest.approx(1.2, abs=0.04)
    assert facts["frame_rate"] == pytest.approx(25, abs=1)


@pytest.mark.parametrize("shift", [-5, -14])
def test_an_edit_list_hides_frames_without_making_the_file_truncated(
    shapes: dict[str, Path], tmp_path: Path, shift: int
) -> None:
    path = remux(shapes["short GOPs, B-frames"], tmp_path / "cut.mp4", shift=shift)
    facts = video.scan(path)
    assert facts["frames"] == 50 + shift
    assert facts["pts"] == sorted(all_frames(path))
    assert_exact(path, facts["pts"])
    for pts in facts["pts"][:4]:  # their key frame is among the hidden ones
        assert_exact(path, [pts])


def test_an_edit_list_may_hide_the_only_key_frame(shapes: dict[str, Path], tmp_path: Path) -> None:
    path = remux(shapes["one GOP, B-frames"], tmp_path / "cut.mp4", shift=-10)
    facts = video.scan(path)
    assert facts["key_frames"] == []
    assert_exact(path, facts["pts"][::7])


def test_a_title_that_is_no_text_does_no_harm(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 5, title="ABCDEFGH")
    content = path.read_bytes()
    assert content.count(b"ABCDEFGH") == 1
    path.write_bytes(content.replace(b"ABCDEFGH", b"\xff\xfe\xe9\xff1234"))
    facts = video.scan(path)
    assert facts["frames"] == 5
    assert all(picture is not None for picture in decode(path, facts["pts"]).values())


@pytest.mark.parametrize(
    ("cut", "reason"),
    [(0, "empty_file"), (20, "unreadable"), (700, "unreadable"), (-1500, "truncated"), (-3000, "truncated")],
)
def test_scan_says_what_is_wrong_with_a_file(tmp_path: Path, cut: int, reason: str) -> None:
    path = write_video(tmp_path / "a.mp4", 60, movflags="faststart")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(video.VideoError) as caught:
        video.scan(path)
    assert caught.value.reason == reason and caught.value.detail


def test_scan_of_a_file_that_lost_its_index_at_the_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 60)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov")])
    with pytest.raises(video.VideoError) as caught:
        video.scan(path)
    assert caught.value.reason == "unreadable"


def test_scan_of_sound_alone(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(video.VideoError) as caught:
        video.scan(tmp_path / "a.mp4")
    assert caught.value.reason == "no_video_stream"


TRAPS: dict[str, dict[str, Any]] = {
    "av1.mkv": {"frames": 125, "codec": "av1", "profile": "Main", "width": 640, "height": 360, "claimed_frames": None},
    "bt709_full_range.mp4": {
        "frames": 30,
        "color_space": "bt709",
        "color_range": "pc",
        "color_primaries": "bt709",
        "color_transfer": "bt709",
        "crf": 18.0,
    },
    "corrupted_packet.mp4": {"frames": 50, "claimed_frames": 50, "gop": 50, "key_frames": [0], "frame_rate": 10.0},
    "h264_10bits.mp4": {"frames": 30, "codec": "h264", "profile": "High 10", "pix_fmt": "yuv420p10le"},
    "one_pixel.mp4": {"frames": 5, "width": 1, "height": 1, "pix_fmt": "yuv444p", "sample_aspect": None},
    "rotated_90.mov": {"frames": 3, "rotation": 90, "encoder": None, "crf": None, "color_primaries": "bt709"},
    "rotated_180.mov": {"frames": 3, "rotation": 180},
    "sample_aspect_2by3.mp4": {"frames": 60, "sample_aspect": "2:3", "audio_streams": 1, "audio_codec": "aac"},
    "theora_empty_packets.ogv": {
        "frames": 752,
        "codec": "theora",
        "container": "ogg",
        "gop": 12,
        "sample_aspect": "1:1",
    },
    "two_video_streams.mp4": {
        "frames": 325,
        "video_streams": 2,
        "width": 320,
        "height": 180,
        "audio_streams": 2,
        "gop": 202,
        "key_frames": [0, 202],
    },
    "unordered_pts.mov": {"frames": 4, "width": 50, "height": 50, "pts": [0, 512, 1024, 1536]},
}


def test_scan_tells_the_facts_of_every_trap(clips: Path) -> None:
    there = {path.name for path in (clips / "traps").iterdir()}
    assert there == {*TRAPS, "empty_file.webm"}
    with pytest.raises(video.VideoError) as caught:
        video.scan(clips / "traps" / "empty_file.webm")
    assert caught.value.reason == "empty_file"
    for name, expected in TRAPS.items():
        facts = video.scan(clips / "traps" / name)
        columns = tables.VIDEOS.names
        wanted = columns[columns.index("container") : columns.index("key_frames") + 1]
        assert facts.keys() == set(wanted)
        assert {key: facts[key] for key in expected} == expected, name


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_scan_reads_what_x264_was_told(tmp_path: Path, suffix: str) -> None:
    facts = video.scan(write_video(tmp_path / f"a.{suffix}", 30, gop=12))
    assert facts["encoder"].startswith("x264 - core") and "keyint=12" in facts["encoder"]
    assert (facts["crf"], facts["gop"], facts["frames"]) == (20.0, 12, 30)
    assert facts["claimed_frames"] == (None if suffix == "mkv" else 30)
    assert facts["profile"] == "High"


@pytest.mark.parametrize("options", [{"qp": "30"}, {"b": "200000"}])
def test_no_rate_factor_where_x264_used_none(tmp_path: Path, options: dict[str, str]) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1, 64, 48), format="rgb24")))
        container.mux(stream.encode())
    facts = video.scan(tmp_path / "a.mp4")
    assert "rc=" in facts["encoder"] and facts["crf"] is None


def test_settings_that_stand_in_the_header_are_found(tmp_path: Path) -> None:
    """Some writers move x264's message from the first packet to the codec's header (extradata)."""
    whole = write_video(tmp_path / "a.mkv", 20)
    with av.open(str(whole)) as old, av.open(str(tmp_path / "moved.mkv"), "w") as new:
        source = old.streams.video[0]
        target = new.add_stream_from_template(source)
        for number, packet in enumerate(old.demux(source)):
            if packet.size and number == 0:
                content = bytes(packet)
                length = int.from_bytes(content[:4], "big") + 4
                assert b"x264 - core" in content[:length]
                message, rest = content[:length], av.Packet(content[length:])
                target.codec_context.extradata = bytes(source.codec_context.extradata) + message
                rest.pts, rest.dts, rest.is_keyframe, rest.stream = packet.pts, packet.dts, True, target
                rest.time_base = packet.time_base
                new.mux(rest)
            elif packet.size:
                packet.stream = target
                new.mux(packet)
    facts = video.scan(tmp_path / "moved.mkv")
    assert facts["encoder"] == video.scan(whole)["encoder"] and facts["crf"] == 20.0


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", 20)
    with av.open(str(whole)) as old, av.open(str(tmp_path / "b.mp4"), "w") as new:
        cover: Any = new.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        source = old.streams.video[0]
        target = new.add_stream_from_template(source)
        new.mux(cover.encode(av.VideoFrame.from_ndarray(picture(1, 32, 32), format="rgb24")))
        for packet in old.demux(source):
            if packet.size:
                packet.stream = target
                new.mux(packet)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert len(container.streams.video) == 2
    facts = video.scan(tmp_path / "b.mp4")
    assert (facts["frames"], facts["width"], facts["video_streams"]) == (20, 64, 1)
    for got in decode(tmp_path / "b.mp4", facts["pts"]).values():
        assert got is not None and got.shape == (48, 64, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsound.mp4\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile sound.mp4\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        b"text, and nothing else\n" * 100,
    ],
)
def test_a_list_of_other_files_is_not_followed(tmp_path: Path, content: bytes) -> None:
    write_video(tmp_path / "sound.mp4", 20)
    (tmp_path / "list.mp4").write_bytes(content)
    with pytest.raises(video.VideoError) as caught:
        video.scan(tmp_path / "list.mp4")
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("name", ["concat:sound.mp4", "-i", "%03d.mp4", "http:x.mp4", "new\nline.mp4", "\udcff.mp4"])
def test_a_name_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_video(tmp_path / "sound.mp4", 20).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    facts = video.scan(Path(name))
    assert facts["frames"] == 20
    assert len(list(decoding.decode(Path(name), facts["pts"][:3], [0]))) == 3
