"""Decode as extraction does, and hold what comes against every frame decoded one after the other."""

from pathlib import Path

import numpy as np

from fabricated_videos import all_frames
from pipeline import decoding, video

Answers = dict[int, tuple[np.ndarray | None, str]]


def answers(path: Path, wanted: list[int]) -> Answers:
    """Decode the time stamps `wanted` as extraction does, with the key frames of a scan: pts -> picture, reason."""
    facts = video.scan(path)
    got = list(decoding.decode(path, wanted, [facts["pts"][index] for index in facts["key_frames"]]))
    assert sorted(pts for pts, _, _ in got) == sorted(wanted)
    assert all((picture is None) == (reason in ("corrupt_frame", "missing_frame")) for _, picture, reason in got)
    return {pts: (picture, reason) for pts, picture, reason in got}


def decode(path: Path, wanted: list[int]) -> dict[int, np.ndarray | None]:
    """Decode the time stamps `wanted`; None for what failed."""
    return {pts: picture for pts, (picture, _) in answers(path, wanted).items()}


def assert_exact(path: Path, wanted: list[int]) -> None:
    whole = all_frames(path)
    for pts, got in decode(path, wanted).items():
        assert got is not None and np.array_equal(got, whole[pts]), pts


SHAPES = {
    "short GOPs, B-frames": {"frames": 50, "gop": 12, "b_frames": 3},
    "one GOP, B-frames": {"frames": 60, "gop": 250, "b_frames": 3},
    "tiny GOPs": {"frames": 40, "gop": 3, "b_frames": 2},
    "no B-frames": {"frames": 30, "gop": 12, "b_frames": 0},
    "starts late": {"frames": 30, "gop": 8, "pts": [700 + 4 * number for number in range(30)]},
    "uneven times": {"frames": 30, "gop": 8, "pts": [number * number + 3 for number in range(30)]},
}
