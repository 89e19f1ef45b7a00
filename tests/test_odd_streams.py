"""Streams without time stamps, several of them, sizes that change in mid-stream: a defined result each."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

from encoded_videos import X264, X265, encode, moving
from exact_decoding import answers, decode
from fabricated_videos import all_frames, write_video
from pipeline import decoding, selection, truth, video

UNTIMED = {
    "raw.h264": ("libx264", X264),
    "raw.hevc": ("libx265", {"x265-params": X265}),
    "out of order.avi": ("libx264", X264 | {"bf": "3"}),
}


def in_order(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module", params=UNTIMED)
def untimed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of each of UNTIMED, 45 frames."""
    return encode(tmp_path_factory.mktemp("untimed") / request.param, *UNTIMED[request.param])


def test_frames_without_time_are_counted_as_they_are_shown(untimed: Path) -> None:
    facts = video.scan(untimed)
    assert facts["frames"] == 45 and facts["pts"] == list(range(45)) and facts["key_frames"] == [0]
    assert [facts[name] for name in ("time_base", "duration_s", "frame_rate", "bit_rate")] == [None] * 4
    assert facts["gop"] is not None and facts["gop"] <= 20
    whole = in_order(untimed)
    for wanted in (facts["pts"], [0], [44], [7, 30]):
        for number, picture in decode(untimed, wanted).items():
            assert picture is not None and np.array_equal(picture, whole[number]), number
    assert np.abs(whole[30].astype(int) - moving(30)).mean() < 20  # it is frame 30 of those that were encoded


def test_a_number_that_no_frame_has(untimed: Path) -> None:
    got = answers(untimed, [44, 45])
    assert [reason for _, reason in got.values()] == ["", "missing_frame"]


def test_damage_in_a_raw_stream_moves_no_number(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.h264", options=X264 | {"bf": "0", "sc_threshold": "0"})
    whole = in_order(path)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0)]
    start = sum(sizes[:5])
    content[start + 40 : start + sizes[5]] = b"\xff" * (sizes[5] - 40)
    path.write_bytes(content)
    assert video.scan(path)["frames"] == 45
    got = answers(path, list(range(45)))
    assert [reason for _, reason in got.values()] == [""] * 5 + ["corrupt_frame"] * 15 + [""] * 25
    for number, (picture, _) in got.items():
        assert picture is None or np.array_equal(picture, whole[number])
    assert answers(path, [9])[9] == got[9]


def test_a_real_raw_stream(clips: Path) -> None:
    path = clips / "faces/office_720p.264"
    facts = video.scan(path)
    assert (facts["frames"], facts["pts"], facts["time_base"]) == (19, list(range(19)), None)
    picture = decode(path, [18])[18]
    assert picture is not None and np.array_equal(picture, in_order(path)[18])


def test_candidates_and_findings_do_without_time(untimed: Path) -> None:
    facts = video.scan(untimed)
    row = {"video": "a/b/c/d", "split": "train", "label": 0, "method": "real"} | facts
    found = selection.candidates(pd.DataFrame([row]), every=10, count=None)
    assert list(found.frame) == list(found.pts) == [0, 10, 20, 30, 40] and found.time_s.isna().all()
    columns = {
        "original": None,
        "mask": None,
        "mask_frames": None,
        "mask_sha256": None,
        "compression": "c23",
        "path": "d",
    }
    usable = row | columns | {"media": "video", "status": "ok", "reason": "", "detail": "", "sha256": "0", "bytes": 1}
    assert not {finding["code"] for finding in truth.findings(pd.DataFrame([usable]))} & {
        "variable_frame_rate",
        "rate_differs_from_original",
    }


@pytest.mark.parametrize(("name", "kind"), [("raw.m4v", "m4v"), ("raw.mjpeg", "mjpeg")])
def test_raw_streams_of_which_ffmpeg_knows_the_order(tmp_path: Path, name: str, kind: str) -> None:
    codec, options, pix_fmt = (
        ("mpeg4", {"g": "12", "bf": "2"}, "yuv420p") if kind == "m4v" else ("mjpeg", {}, "yuvj420p")
    )
    path = encode(tmp_path / name, codec, options, pix_fmt, container=kind)
    facts = video.scan(path)
    whole = in_order(path)
    assert facts["frames"] == len(whole) and facts["time_base"] is not None
    for wanted in (facts["pts"], [facts["pts"][33]]):
        for time, picture in decode(path, wanted).items():
            assert picture is not None and np.array_equal(picture, whole[facts["pts"].index(time)])


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9", "libvpx"])
def test_a_size_that_changes_in_mid_stream(tmp_path: Path, codec: str) -> None:
    """Every frame comes in its own size."""
    sizes = [(96, 64), (64, 96), (130, 50)]
    suffix = "ts" if codec == "libx264" else "webm"
    parts = [
        encode(tmp_path / f"{number}.{suffix}", codec, X264 | {"g": "8"}, frames=12, size=size)
        for number, size in enumerate(sizes)
    ]
    joined = tmp_path / f"joined.{suffix}"
    with av.open(str(joined), "w") as new:
        target: Any = None
        for number, part in enumerate(parts):
            with av.open(str(part)) as old:
                source = old.streams.video[0]
                target = target or new.add_stream_from_template(source)
                for packet in old.demux(source):
                    if packet.dts is not None:
                        step = round(12 / 25 / packet.time_base)
                        packet.pts, packet.dts = packet.pts + number * step, packet.dts + number * step
                        packet.stream = target
                        new.mux(packet)
    pts = video.scan(joined)["pts"]
    assert len(pts) == 36
    got = decode(joined, pts)
    assert [got[time].shape[1::-1] for time in pts if got[time] is not None] == [
        size for size in sizes for _ in range(12)
    ]  # type: ignore[union-attr]
    whole = [picture for part in parts for picture in in_order(part)]
    for wanted in (pts, [pts[20]], [pts[2], pts[30]]):
        for time, picture in decode(joined, wanted).items():
            assert picture is not None and np.array_equal(picture, whole[pts.index(time)])


def test_the_first_of_several_streams_is_read(clips: Path) -> None:
    path = clips / "traps/two_video_streams.mp4"
    pts = video.scan(path)["pts"]
    ((picture, reason),) = answers(path, [pts[210]]).values()
    assert reason == "" and picture is not None and picture.shape == (180, 320, 3)


def test_wanted_twice_is_answered_once(untimed: Path) -> None:
    got = list(decoding.decode(untimed, [3, 3, 5], [0]))
    assert [number for number, _, _ in got] == [3, 5]


def test_a_time_stamp_far_ahead_does_not_make_all_others_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown last and stored third: what follows could all be shown before it, and is, few frames at a time."""
    source = write_video(tmp_path / "source.mp4", 100, gop=1000, b_frames=0)
    path = tmp_path / "far.mp4"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        unit = round(1 / 25 / stream.time_base)
        for number, packet in enumerate(packet for packet in old.demux(stream) if packet.size):
            packet.stream, packet.dts = copy, number * unit
            packet.pts = (150 if number == 2 else number) * unit
            new.mux(packet)
    facts = video.scan(path)
    held: list[int] = []
    decoded = decoding._decoded

    def counted(*arguments: Any) -> Any:
        frames, before = 0, answered
        for one in decoded(*arguments):
            frames += one[0] in arguments[2]
            held.append(frames - (answered - before))
            yield one

    monkeypatch.setattr(decoding, "_decoded", counted)
    whole, answered, got = list(all_frames(source).values()), 0, {}
    answers_of_all = decoding.decode(path, facts["pts"], [facts["pts"][0]])
    for answered, (pts, picture, reason) in enumerate(answers_of_all, start=1):  # noqa: B007 (for `counted`)
        got[pts] = picture, reason
    assert set(got) == set(facts["pts"]) and max(held) == decoding.MOST_HELD + 1
    unit = facts["pts"][1] - facts["pts"][0]
    for number, picture in enumerate(whole):
        answer, reason = got[(150 if number == 2 else number) * unit + facts["pts"][0]]
        assert reason == "" and np.array_equal(answer, picture), number
    ((_, alone, reason),) = decoding.decode(path, [facts["pts"][4]], [facts["pts"][0]])
    assert reason == "" and np.array_equal(alone, got[facts["pts"][4]][0])
