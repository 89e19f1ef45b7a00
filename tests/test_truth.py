import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabricated_videos import picture, remux, write_video
from pipeline import tables, truth, video
from pipeline.files import sha256_of_file

Row = dict[str, Any]


def encode(path: Path, frames: int = 20, *, crf: int = 23, rate: int = 25, size: tuple[int, int] = (64, 48)) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def row(path: Path, **claims: Any) -> Row:
    """Return what `index` says of a usable real video, with other claims where they are given."""
    facts: Row = dict.fromkeys(tables.VIDEOS.names)
    facts |= {"dataset": "d", "video": f"d/{path.name}", "path": path.name, "name": path.stem, "media": "video"}
    facts |= {"method": "m", "compression": "native", "label": tables.REAL, "status": "ok", "reason": "", "detail": ""}
    return facts | {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)} | video.scan(path) | claims


def found(*rows: Row) -> dict[tuple[str, str], str]:
    """Return (code, subject) -> detail of the findings."""
    findings = truth.findings(pd.DataFrame(list(rows), columns=tables.VIDEOS.names))
    assert all(finding.keys() == {"severity", "code", "subject", "detail"} for finding in findings)
    assert all(finding["severity"] in ("warning", "note") and finding["detail"] for finding in findings)
    answers = {(finding["code"], finding["subject"]): finding["detail"] for finding in findings}
    assert len(answers) == len(findings)
    return answers


def test_a_clean_pair_and_no_video_at_all(tmp_path: Path) -> None:
    real = row(encode(tmp_path / "real.mp4"), compression="c23")
    mask = {"mask": "masks/fake.mp4", "mask_frames": 20}
    fake = row(encode(tmp_path / "fake.mp4", crf=24), compression="c24", label=tables.FAKE, **mask)
    assert found(real, fake | {"original": real["video"]}) == {}
    assert found() == {}


def test_the_folder_lies_about_the_compression(tmp_path: Path) -> None:
    strong = encode(tmp_path / "strong.mp4", crf=40)
    assert found(row(strong, compression="c23")) == {
        ("crf_mismatch", "strong.mp4"): "the folder says c23, x264 was run with crf 40"
    }
    for compression in ("c40", "native"):
        assert found(row(strong, compression=compression)) == {}
    assert found(row(strong, compression="c23", encoder=None, crf=None)) == {}  # another encoder: nothing is known


def test_a_fake_is_held_against_its_original(tmp_path: Path) -> None:
    real = row(encode(tmp_path / "real.mp4", 20))
    same = {"label": tables.FAKE, "original": real["video"]}
    short = row(encode(tmp_path / "short.mp4", 15), **same)
    small = row(encode(tmp_path / "small.mp4", size=(48, 64)), **same)
    slow = row(encode(tmp_path / "slow.mp4", rate=24), **same)
    assert found(real, short, small, slow) == {
        ("frames_differ_from_original", "short.mp4"): "15 frames, d/real.mp4 has 20",
        ("size_differs_from_original", "small.mp4"): "48 x 64 pixels, d/real.mp4 has 64 x 48",
        ("rate_differs_from_original", "slow.mp4"): "24 frames per second, d/real.mp4 has 25",
    }
    # What turns on display is compared as it is shown.
    assert ("size_differs_from_original", "small.mp4") not in found(real, small | {"rotation": 90})
    assert ("size_differs_from_original", "small.mp4") in found(real, small | {"rotation": 180})
    # 30 and 29.97 frames per second part by one frame in a thousand.
    assert found(real | {"frame_rate": 30.0}, slow | {"frame_rate": 30000 / 1001}) == {}
    assert found(short | {"original": "?/real.mp4"}) == {}
    rejected = dict.fromkeys(tables.VIDEOS.names) | {"video": real["video"], "path": "real.mp4", "status": "rejected"}
    assert found(rejected, short, small, slow) == {}


def test_a_mask_that_is_shorter_or_not_there(tmp_path: Path) -> None:
    fake, mask = encode(tmp_path / "fake.mp4", 20), encode(tmp_path / "mask.mp4", 4)
    claims = {"mask": "masks/fake.mp4", "mask_frames": video.scan(mask)["frames"]}
    assert found(row(fake, **claims)) == {("mask_length", "fake.mp4"): "its mask has 4 frames, the video 20"}
    assert found(row(fake, mask="masks/fake.mp4")) == {
        ("mask_missing", "fake.mp4"): "there is no readable mask at masks/fake.mp4"
    }
    assert found(row(fake)) == {}


def test_the_same_content_twice(tmp_path: Path) -> None:
    first, other = encode(tmp_path / "a.mp4"), encode(tmp_path / "other.mp4", 21)
    second, third = (Path(shutil.copy(first, tmp_path / name)) for name in ("b.mp4", "c.mp4"))
    assert found(row(first), row(second), row(other)) == {
        ("duplicate_content", "a.mp4"): "the same content as b.mp4 (real)",
        ("duplicate_content", "b.mp4"): "the same content as a.mp4 (real)",
    }
    assert found(row(first), row(second, status="rejected"), row(other)) == {}
    both = found(row(first), row(second), row(third, label=tables.FAKE))
    assert both == {
        ("duplicate_content_other_label", "a.mp4"): "one of the labels is wrong: "
        "the same content as c.mp4 (fake), b.mp4 (real)",
        ("duplicate_content_other_label", "b.mp4"): "one of the labels is wrong: "
        "the same content as c.mp4 (fake), a.mp4 (real)",
        ("duplicate_content_other_label", "c.mp4"): "one of the labels is wrong: "
        "the same content as a.mp4 (real), b.mp4 (real)",
    }


def test_many_duplicates_are_counted_and_the_other_label_is_still_named(tmp_path: Path) -> None:
    base = row(encode(tmp_path / "a.mp4"))
    reals = [base | {"path": f"{number:02}.mp4", "video": f"d/{number:02}"} for number in range(20)]
    answers = found(*reals, base | {"path": "z.mp4", "label": tables.FAKE})
    assert len(answers) == 21 and all(code == "duplicate_content_other_label" for code, _ in answers)
    for (_, subject), detail in answers.items():
        assert detail.count(".mp4") == truth.NAMED and detail.endswith(" and 15 more")
        assert f"{subject} (" not in detail
        assert ("z.mp4 (fake)" in detail) == (subject != "z.mp4")


def test_real_traps_are_named(clips: Path) -> None:
    def codes(name: str) -> set[str]:
        return {code for code, _ in found(row(clips / name))}

    assert codes("traps/two_video_streams.mp4") == {"several_video_streams"}
    assert codes("traps/sample_aspect_2by3.mp4") == {"odd_pixels"}
    assert codes("traps/rotated_90.mov") == codes("traps/rotated_180.mov") == {"rotated"}
    assert codes("faces/webcam_talking.webm") == {"variable_frame_rate"}
    assert codes("traps/theora_empty_packets.ogv") == {"variable_frame_rate"}
    for name in ("faces/webcam_talking.mp4", "faces/asl_no.mkv", "traps/av1.mkv", "traps/h264_10bits.mp4"):
        assert codes(name) == set(), name  # 30 frames per second in milliseconds are 33, 34, 33, ...


def test_a_header_that_counts_more_than_there_is_to_see(tmp_path: Path) -> None:
    cut = remux(encode(tmp_path / "a.mp4", 20), tmp_path / "cut.mp4", shift=-5)
    assert found(row(cut))["frame_count_claim", "cut.mp4"] == "the header claims 20 frames, there are 15"


@pytest.mark.parametrize(
    ("times", "even"),
    [
        ([0, 4, 8, 12, 16, 20], True),
        ([3, 7, 11, 16, 20, 24], True),
        ([0, 4, 8, 16, 20, 24], False),  # one frame is missing
        ([0, 4, 8, 12, 16, 24], False),
        ([0, 40, 41, 80, 120, 160], False),
        ([*range(0, 400, 4), *range(400, 900, 5)], False),  # 25, then 20 frames per second
        ([7], True),
        ([0, 1000], True),
        ([-(2**63), 0, 2**63 - 1], True),
    ],
)
def test_even_spacing(tmp_path: Path, times: list[int], even: bool) -> None:
    base = row(encode(tmp_path / "a.mp4"), claimed_frames=None)
    answers = found(base | {"pts": times, "frames": len(times)})
    assert (("variable_frame_rate", "a.mp4") not in answers) == even


@given(
    rate=st.sampled_from([24000 / 1001, 24, 25, 30000 / 1001, 30, 50, 60000 / 1001, 90]),
    base=st.sampled_from([100, 600, 1000, 90000]),
    frames=st.integers(2, 400),
    start=st.integers(-1000, 100_000),
)
def test_rounding_to_a_clock_is_no_variable_rate(rate: float, base: int, frames: int, start: int) -> None:
    times = np.unique(start + np.round(np.arange(frames) * base / rate).astype(int))
    if len(times) == frames:
        assert truth._even(times)


def test_times_of_a_real_file_that_vary(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 20, pts=[number * 4 + (number > 9) * 8 for number in range(20)])
    assert {code for code, _ in found(row(path))} == {"variable_frame_rate"}


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    images = dict.fromkeys(tables.VIDEOS.names) | {"video": "d/1", "path": "1/0.png", "media": "images", "label": 0}
    images |= {"compression": "native", "sha256": "0", "frames": 3, "pts": [0, 1, 2], "status": "ok", "detail": ""}
    assert found(images) == {}
    detail = "1 of 4 images cannot be read: 1/2.png"
    assert found(images | {"detail": detail}) == {("unreadable_images", "1/0.png"): detail}
    assert found(images | {"media": "video", "detail": detail}) == {}


def test_rows_read_from_a_table_give_the_same(tmp_path: Path) -> None:
    real = row(encode(tmp_path / "real.mp4"), compression="c40")
    fake = row(encode(tmp_path / "fake.mp4", 15), label=tables.FAKE, original=real["video"], mask="m", mask_frames=3)
    stray = dict.fromkeys(tables.VIDEOS.names) | {"dataset": "d", "video": "d/?/x", "path": "x", "media": "video"}
    stray |= {"name": "x", "method": "", "compression": "", "status": "rejected", "reason": "stray", "detail": "x"}
    rows = [real, fake, stray]
    tables.write(tmp_path / "videos.parquet", rows, tables.VIDEOS, ["path"])
    read = truth.findings(tables.read(tmp_path / "videos.parquet", tables.VIDEOS))
    assert {(finding["code"], finding["subject"]): finding["detail"] for finding in read} == found(*rows)
    assert len(read) == 3


@pytest.mark.parametrize(
    ("claimed", "crf", "found"), [("raw", 20.0, True), ("raw", 0.0, False), ("native", 20.0, False)]
)
def test_raw_is_lossless(claimed: str, crf: float, found: bool) -> None:
    row = dict.fromkeys(tables.VIDEOS.names) | {"path": "a.mp4", "video": "k/m/raw/a", "media": "video", "pts": [0, 1]}
    row |= {"compression": claimed, "crf": crf, "status": "ok", "frames": 2, "rotation": 0, "video_streams": 1}
    codes = [finding["code"] for finding in truth.findings(pd.DataFrame([row]))]
    assert ("crf_mismatch" in codes) == found
