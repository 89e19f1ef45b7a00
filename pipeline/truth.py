"""What the files themselves say against what folders, originals, masks and containers claim.

Pure functions over the rows of `tables.VIDEOS`; docs/findings.md explains every code.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline import tables

Row = dict[str, Any]

NUMBERS = ["width", "height", "rotation", "frame_rate", "crf", "video_streams", "claimed_frames", "frames"]
NUMBERS += ["mask_frames", "label"]
CRF_TOLERANCE = 0.5
# 30 for 29.97 frames per second passes: over 1000 frames they part by one.
RATE_TOLERANCE = 0.001
NAMED = 5  # duplicates that a finding names


def findings(videos: pd.DataFrame) -> list[Row]:
    """Return what is noteworthy of the usable videos as rows of severity, code, subject (the path) and detail.

    `videos` has the columns of `tables.VIDEOS`; rows that are not `ok` serve only as originals.
    """
    videos = videos.astype(dict.fromkeys(NUMBERS, "float64"))
    videos = videos.assign(shown=_shown(videos))
    usable = videos[videos.status == "ok"]
    return [*_streams(usable), *_against_original(usable, videos), *_against_mask(usable), *_duplicates(usable)]


def _rows(severity: str, code: str, found: pd.DataFrame, say: Callable[[Any], str]) -> Iterator[Row]:
    for row in found.itertuples():
        yield {"severity": severity, "code": code, "subject": row.path, "detail": say(row)}


def _streams(usable: pd.DataFrame) -> Iterator[Row]:
    # raw is lossless: the scripts that made FaceForensics++ call it c0.
    claimed = usable.compression.replace("raw", "c0").str.extract(r"^c(\d+)$", expand=False).astype("float64")
    yield from _rows(
        "warning",
        "crf_mismatch",
        usable[(usable.crf - claimed).abs() > CRF_TOLERANCE],
        lambda row: f"the folder says {row.compression}, x264 was run with crf {row.crf:g}",
    )
    yield from _rows(
        "note",
        "frame_count_claim",
        usable[usable.claimed_frames.notna() & (usable.claimed_frames != usable.frames)],
        lambda row: f"the header claims {row.claimed_frames:.0f} frames, there are {row.frames:.0f}",
    )
    yield from _rows(
        "note",
        "variable_frame_rate",
        usable[[media == "video" and not _even(pts) for media, pts in zip(usable.media, usable.pts, strict=True)]],
        lambda row: "the frames are not evenly spaced in time",
    )
    yield from _rows(
        "note",
        "several_video_streams",
        usable[usable.video_streams > 1],
        lambda row: f"{row.video_streams:.0f} video streams; the first is used",
    )
    yield from _rows(
        "note",
        "odd_pixels",
        usable[usable.sample_aspect.notna() & (usable.sample_aspect != "1:1")],
        lambda row: f"a pixel is {row.sample_aspect} wide to high; the picture is made square",
    )
    yield from _rows(
        "note",
        "rotated",
        usable[usable.rotation.fillna(0) != 0],
        lambda row: f"to be shown turned by {row.rotation:.0f} degrees clockwise",
    )
    yield from _rows(
        "warning",
        "unreadable_images",
        usable[(usable.media == "images") & (usable.detail != "")],
        lambda row: row.detail,
    )


def _even(pts: Any) -> bool:
    """Say whether no frame lies, and no interval is, more than half a frame's time beside what even spacing gives.

    `pts` are the ascending time stamps. One unit of them is allowed always: coarse clocks round.
    """
    times = np.asarray(pts, dtype=np.float64)
    gaps = np.diff(times)
    if len(gaps) == 0 or gaps.max() == gaps.min():
        return True
    usual = float(np.median(gaps))
    beside = times - np.linspace(times[0], times[-1], len(times))
    return bool(max(np.abs(gaps - usual).max(), np.abs(beside).max()) <= max(usual / 2, 1))


def _against_original(usable: pd.DataFrame, videos: pd.DataFrame) -> Iterator[Row]:
    facts = ["frames", "frame_rate", "shown"]
    originals = videos.set_index("video")[facts].add_prefix("original_")
    pairs = usable.join(originals, on="original")
    yield from _rows(
        "note",
        "frames_differ_from_original",
        pairs[pairs.original_frames.notna() & (pairs.frames != pairs.original_frames)],
        lambda row: f"{row.frames:.0f} frames, {row.original} has {row.original_frames:.0f}",
    )
    yield from _rows(
        "note",
        "size_differs_from_original",
        pairs[pairs.shown.notna() & pairs.original_shown.notna() & (pairs.shown != pairs.original_shown)],
        lambda row: f"{row.shown} pixels, {row.original} has {row.original_shown}",
    )
    rates = pairs[["frame_rate", "original_frame_rate"]]
    yield from _rows(
        "note",
        "rate_differs_from_original",
        pairs[rates.max(axis=1) - rates.min(axis=1) > RATE_TOLERANCE * rates.max(axis=1)],
        lambda row: f"{row.frame_rate:.6g} frames per second, {row.original} has {row.original_frame_rate:.6g}",
    )


def _shown(videos: pd.DataFrame) -> "pd.Series[str]":
    """Return each picture's size as shown, `width x height`; empty where it is not known."""
    lies = (videos.rotation.fillna(0) / 90).round() % 2 == 1
    width, height = videos.width.where(~lies, videos.height), videos.height.where(~lies, videos.width)
    sizes = [f"{w:.0f} x {h:.0f}" if w == w and h == h else None for w, h in zip(width, height, strict=True)]
    return pd.Series(sizes, index=videos.index, dtype=object)


def _against_mask(usable: pd.DataFrame) -> Iterator[Row]:
    masked = usable[usable["mask"].notna()]  # the attribute `mask` is a method of pandas
    yield from _rows(
        "warning",
        "mask_length",
        masked[masked.mask_frames.notna() & (masked.mask_frames != masked.frames)],
        lambda row: f"its mask has {row.mask_frames:.0f} frames, the video {row.frames:.0f}",
    )
    yield from _rows(
        "note",
        "mask_missing",
        masked[masked.mask_frames.isna()],
        lambda row: f"there is no readable mask at {row.mask}",
    )


def _duplicates(usable: pd.DataFrame) -> Iterator[Row]:
    doubles = usable[usable.duplicated("sha256", keep=False) & usable.sha256.notna()].sort_values("path")
    same: dict[str, list[tuple[str, float]]] = {}
    for sha256, path, label in zip(doubles.sha256, doubles.path, doubles.label, strict=True):
        same.setdefault(sha256, []).append((path, label))
    for files in same.values():
        first = {label: (path, label) for path, label in reversed(files)}
        # The first file of each label leads, so that a contradiction is seen however many there are.
        named = list(dict.fromkeys([*first.values(), *files[: NAMED + 1]]))
        for file in files:
            others = [
                f"{path} ({'real' if label == tables.REAL else 'fake'})" for path, label in named if path != file[0]
            ]
            more = len(files) - 1 - NAMED
            yield {
                "severity": "warning",
                "code": "duplicate_content_other_label" if len(first) > 1 else "duplicate_content",
                "subject": file[0],
                "detail": ("one of the labels is wrong: " if len(first) > 1 else "")
                + f"the same content as {', '.join(others[:NAMED])}"
                + (f" and {more} more" if more > 0 else ""),
            }
