"""Exactness over many encodings: whatever is wanted, the pictures are those of decoding everything in order."""

from pathlib import Path

import numpy as np
import pytest

from encoded_videos import ENCODINGS, encode
from exact_decoding import answers, assert_exact
from fabricated_videos import all_frames
from pipeline import decoding, video


@pytest.fixture(scope="module", params=ENCODINGS)
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real video of each of ENCODINGS."""
    return encode(tmp_path_factory.mktemp("encoded") / request.param, *ENCODINGS[request.param])


def test_all_frames_any_frames_and_lone_frames_are_exact(encoded: Path) -> None:
    pts = video.scan(encoded)["pts"]
    assert len(pts) == 45
    whole = all_frames(encoded)
    chance = np.random.default_rng(0)
    several = [chance.choice(pts, size=size, replace=False).tolist() for size in (1, 1, 1, 2, 3, 5)]
    for wanted in (pts, *several):
        for time, (picture, reason) in answers(encoded, wanted).items():
            assert reason == "" and np.array_equal(picture, whole[time]), (wanted, time)


@pytest.mark.parametrize("name", ["h264 without index.avi", "h264 without cues.mkv"])
def test_containers_without_an_index(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, options={"threads": "1", "g": "12", "bf": "0" if name.endswith("avi") else "2"})
    content = path.read_bytes()
    index = content.rfind(b"idx1") if path.suffix == ".avi" else content.rfind(b"\x1c\x53\xbb\x6b")
    assert index > 0
    path.write_bytes(content[:index])
    pts = video.scan(path)["pts"]
    assert len(pts) == 45
    for wanted in (pts, [pts[22]], [pts[3], pts[43]]):
        assert_exact(path, wanted)


def test_what_skips_frames_is_proven_to_skip_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every codec that is said to skip is among the encodings, and fewer frames come than without skipping."""
    assert {"h264", "hevc", "mpeg4"} == decoding.SKIPPING
    came = 0

    def judged(frames: list, key: int | None):  # type: ignore[no-untyped-def,type-arg]
        nonlocal came
        came += len(frames)
        return real(frames, key)

    real = decoding._judged
    monkeypatch.setattr(decoding, "_judged", judged)
    for name in ("pyramid.mp4", "hevc, pyramid.mp4", "mpeg4.mp4"):
        path = encode(tmp_path / name, *ENCODINGS[name])
        facts = video.scan(path)
        last = [key - 1 for key in facts["key_frames"] if key]
        came = 0
        answers(path, [facts["pts"][index] for index in last])
        assert len(last) <= came < 0.75 * decoding.frames_to_decode(last, facts["key_frames"]), name


def test_time_stamps_on_some_frames_only(tmp_path: Path) -> None:
    """An MPEG program stream states a time per pack; where several small frames share one, some have none."""
    path = encode(tmp_path / "a.mpg", frames=60)
    with pytest.raises(video.VideoError) as caught:
        video.scan(path)
    assert caught.value.reason == "no_timestamps"
