"""How far a detector holds when pictures are less clean than its test set: AUROC against strength of corruption."""

import copy

import cv2
import numpy as np
import numpy.typing as npt

from pipeline import progress
from pipeline.evaluation.corruptions import CORRUPTIONS, Knobs, Name
from pipeline.metrics import bootstrap
from pipeline.models import scoring
from pipeline.models.stored import Stored
from pipeline.reading import Samples


class Corrupted(Samples):
    """The pictures `rows` of `samples`, each corrupted as it lies in its shard, and only then scaled to their `size`.

    So blur of one pixel is one pixel of the stored picture, whatever side the network takes. With `strength` None
    pictures are left as they are, but take the same way.
    """

    def __init__(self, samples: Samples, rows: npt.NDArray[np.int64], corruption: Name, strength: float | None) -> None:
        self.table = samples.table.iloc[rows].reset_index(drop=True)
        self._as_stored = copy.copy(samples)
        self._as_stored._size = None
        self._rows, self._size = rows, samples._size
        self._corruption, self._strength = corruption, strength

    def __len__(self) -> int:
        return len(self._rows)

    def _picture(self, row: int) -> np.ndarray:
        picture = self._as_stored._picture(int(self._rows[row]))
        if self._strength is not None:
            picture = CORRUPTIONS[self._corruption].change(picture, self._strength, self.table["key"][row])
        if self._size is not None and min(picture.shape[:2]) > self._size:
            picture = cv2.resize(picture, (self._size, self._size), interpolation=cv2.INTER_AREA)
        return picture


def rows(
    model: Stored, test: Samples, knobs: Knobs, dataset: str, batch_size: int, draws: int, seed: int
) -> list[dict[str, object]]:
    """Return rows of tables.ROBUSTNESS: for each of `knobs.corruptions` the pictures as they are and at each strength.

    `knobs.frames` evenly spaced pictures of each video of `test` are scored by `model`, where its weights are; a video
    has the mean of its pictures' scores. What pictures give as they are is the origin of each curve, scored once.
    `draws` and `seed` are of the bootstrap over provenance groups, the same draws for every strength.
    """
    chosen = evenly_spaced(test, knobs.frames)
    names = list(dict.fromkeys(knobs.corruptions))  # once each, however often they are named
    settings: list[tuple[Name, float | None]] = [
        (name, strength) for name in names for strength in CORRUPTIONS[name].strengths
    ]
    if not settings or not len(chosen):
        return []
    settings.insert(0, (names[0], None))
    found = {}
    with progress.counting(f"robustness of {dataset}", len(settings) * len(chosen), "picture") as show:
        for done, (name, strength) in enumerate(settings, start=1):
            pictures = Corrupted(test, chosen, name, strength)
            found[name, strength] = _figures(model, pictures, batch_size, draws, seed)
            show(done * len(chosen), name)
    found |= {(name, None): found[settings[0]] for name in names}
    return [
        {"dataset": dataset, "corruption": name, "strength": strength, "unit": CORRUPTIONS[name].unit, **figures}
        for (name, strength), figures in found.items()
    ]


def _figures(model: Stored, pictures: Samples, batch_size: int, draws: int, seed: int) -> dict[str, object]:
    """Return the columns auroc to pictures of tables.ROBUSTNESS."""
    scores = scoring.probability(scoring.logits_of_stored(model, pictures, batch_size))
    by_video = pictures.table.assign(score=scores).groupby("video")
    videos = by_video.agg({"label": "first", "score": "mean", "group": "first"})
    labels, means, groups = (videos[column].to_numpy() for column in videos)
    auroc, lower, upper = bootstrap.auroc_interval(labels, means, groups, draws, seed)
    return {"auroc": auroc, "lower": lower, "upper": upper, "videos": len(videos), "pictures": len(pictures)}


def evenly_spaced(samples: Samples, most: int) -> npt.NDArray[np.int64]:
    """Return the row numbers of at most `most` pictures of each video: the middle ones of as many equal stretches."""
    ordered = samples.table.sort_values(["video", "frame"])
    chosen: list[int] = []
    for _, of_video in ordered.groupby("video"):
        stretches = np.array_split(of_video.index.to_numpy(), min(most, len(of_video)))
        chosen += [stretch[len(stretch) // 2] for stretch in stretches]
    return np.array(chosen, dtype=np.int64)
