"""How to ask for frames of a dataset's videos: where they lie, what tells which face was forged, whose boxes count."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import tables
from pipeline.extracting import answer_store, answers
from pipeline.extracting.answers import Clue, Recipe, Request, Source
from pipeline.extracting.faces import Box
from pipeline.files import sha256_of_text

# Columns of tables.VIDEOS that Footage needs.
COLUMNS = [
    "video",
    "label",
    "media",
    "path",
    "images",
    "image_sha256",
    "original",
    "mask",
    "mask_frames",
    "mask_sha256",
]
COLUMNS += [
    "width",
    "height",
    "rotation",
    "sample_aspect",
    "frame_rate",
    "bytes",
    "sha256",
    "frames",
    "pts",
    "key_frames",
]

# By how much, as a share, the length of a mask may differ from its video's, and the frame rate of a fake from its
# original's: beyond that the same frame index may show another moment.
SPARE = 0.05
RATE_TOLERANCE = 0.001

Boxes = Mapping[tuple[str, int], tuple[Box, ...]]  # video, frame -> boxes of its usable faces


@dataclass(frozen=True)
class Footage:
    """The videos of a dataset and what decides their crops.

    `videos` maps each video that could be opened to its row of the index (a named tuple of COLUMNS), `root` is the
    dataset's folder, `from_original` whether fakes take the boxes of their originals, `cache` the folder of the work
    cache for extraction.
    """

    videos: Mapping[str, Any]
    root: Path
    recipe: Recipe
    from_original: bool
    cache: Path

    def box_original(self, video: str) -> str | None:
        """Return the original whose boxes count for `video`, if there is one."""
        if not self.from_original or self.recipe.faces == "none":
            return None
        return self._paired_original(video)

    def with_originals(self, wanted: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """Return `wanted` and the same frames of the originals whose boxes count for them, both ascending."""
        needed = {video: set(frames) for video, frames in wanted.items()}
        for video, frames in wanted.items():
            if (original := self.box_original(video)) is not None:
                there = {frame for frame in frames if frame < self.videos[original].frames}
                needed[original] = needed.get(original, set()) | there
        return {video: sorted(needed[video]) for video in sorted(needed)}

    def store(self, video: str) -> str:
        """Return the folder of the work cache for what frames of `video` give."""
        clue, original = self._clue(video, ()), self.box_original(video)
        behind = ["", ""] if clue is None else [clue.kind, clue.source.sha256]
        boxes = "" if original is None else self.videos[original].sha256
        digest = sha256_of_text(self.videos[video].sha256, boxes, *behind, self._making)
        return str(self.cache / digest[:2] / digest)

    def uncached(self, wanted: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """Return those of the `wanted` frames that the work cache does not hold, ascending; only videos with some."""
        left = {video: sorted(set(frames) - answer_store.known(self.store(video))) for video, frames in wanted.items()}
        return {video: frames for video, frames in left.items() if frames}

    def requests(self, wanted: Mapping[str, Sequence[int]], boxes: Boxes | None = None) -> list[Request]:
        """Return one request per video for those `wanted` frames that the work cache does not hold.

        `boxes` holds the boxes of the originals' frames; without them faces are searched for.
        """
        return [self._request(video, tuple(frames), boxes) for video, frames in self.uncached(wanted).items()]

    def clue_kind(self, video: str) -> str:
        """Return what tells which face of `video` was forged: "mask", "original", or "" for nothing."""
        clue = self._clue(video, ())
        return "" if clue is None else clue.kind

    @cached_property
    def _making(self) -> str:
        recipe = json.dumps(asdict(self.recipe), sort_keys=True)
        return sha256_of_text(recipe, self.recipe.versions(), *answers.code())

    def _request(self, video: str, frames: tuple[int, ...], boxes: Boxes | None) -> Request:
        original = str(self.box_original(video))
        return Request(
            video=video,
            source=self._source(video, frames),
            clue=self._clue(video, frames),
            boxes=None if boxes is None else tuple(boxes[original, frame] for frame in frames),
            recipe=self.recipe,
            store=self.store(video),
        )

    def _source(self, video: str, frames: tuple[int, ...]) -> Source:
        facts = self.videos[video]
        source = Source(path=str(self._place(facts.path)), bytes=int(facts.bytes), sha256=facts.sha256, frames=frames)
        if facts.media == "images":
            return replace(
                source,
                images=tuple((str(self._place(facts.images[frame])), facts.image_sha256[frame]) for frame in frames),
            )
        key_pts = tuple(int(facts.pts[index]) for index in facts.key_frames)
        return replace(source, pts=tuple(int(facts.pts[frame]) for frame in frames), key_pts=key_pts)

    def _clue(self, video: str, frames: tuple[int, ...]) -> Clue | None:
        """Return the mask, where it is about as long as the video, or the original, or None."""
        facts = self.videos[video]
        if facts.label != tables.FAKE or self.recipe.faces == "none":
            return None
        if not pd.isna(facts.mask_sha256) and abs(facts.mask_frames - facts.frames) <= SPARE * facts.frames:
            path, sha256 = str(self._place(facts.mask)), facts.mask_sha256
            images = tuple((path, sha256) for _ in frames) if facts.media == "images" else ()
            return Clue("mask", Source(path=path, bytes=0, sha256=sha256, frames=frames, images=images))
        original = self._paired_original(video)
        if original is None:
            return None
        there = tuple(frame for frame in frames if frame < self.videos[original].frames)
        return Clue("original", self._source(original, there))

    def _paired_original(self, video: str) -> str | None:
        """Return the video's original where it lies in this dataset, shown at the same size and rate."""
        facts = self.videos[video]
        original = self.videos.get(facts.original) if facts.label == tables.FAKE else None
        if original is None or original.label != tables.REAL or _shape(original) != _shape(facts):
            return None
        rates = [0.0 if pd.isna(of.frame_rate) else float(of.frame_rate) for of in (original, facts)]
        return str(original.video) if max(rates) - min(rates) <= RATE_TOLERANCE * max(rates) else None

    def _place(self, path: str) -> Path:
        # Absolute, because the workers of a cluster start in folders of their own; links are left as they are.
        return (self.root / path).absolute()


def _shape(facts: Any) -> tuple[str, int, int, str]:
    """Return what two videos must share for a box to mean the same in both: medium, size as shown, shape of pixels."""
    turned = not pd.isna(facts.rotation) and facts.rotation % 180 == 90
    width, height = (facts.height, facts.width) if turned else (facts.width, facts.height)
    return facts.media, width, height, "1:1" if pd.isna(facts.sample_aspect) else facts.sample_aspect


def opened(index: pd.DataFrame) -> dict[str, Any]:
    """Return the rows of the index (COLUMNS) by video, for those that could be opened."""
    there = index[index.pts.notna() & index.sha256.notna()]
    return {str(row.video): row for row in there[COLUMNS].itertuples(index=False, name="Facts")}
