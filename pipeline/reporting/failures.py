"""Where a detector fails: its worst errors as pictures, scores frame by frame, errors by person and method."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline.evaluation.worst import worst_errors
from pipeline.reporting import facts, figures, pictures
from pipeline.reporting.facts import Dataset
from pipeline.reporting.knobs import Knobs
from pipeline.reporting.run import Run
from pipeline.tables import CLASSES, FAKE, REAL

NO_PERSON = "no person known"
_SIDE = 160  # pixels of a picture in a gallery

Rows = list[dict[str, Any]]


def of_runs(runs: list[Run], knobs: Knobs) -> Rows:
    """Return what failures.html draws: per run `name`, `pictures` (shown or not) and `datasets`, one dict each.

    The runs share the errors asked for, so that a page of many runs is not many times as large. Raises UserError where
    a picture's shard is missing or another one than samples.parquet was written for.
    """
    each = replace(knobs, errors=-(-knobs.errors // len(runs)))
    return [
        {
            "name": run.name,
            "pictures": knobs.pictures,
            "datasets": [
                _of_dataset(run, dataset, f"failures-{number}-{place}", each)
                for place, dataset in enumerate(run.datasets)
            ],
        }
        for number, run in enumerate(runs)
    ]


def _of_dataset(run: Run, dataset: Dataset, anchor: str, knobs: Knobs) -> dict[str, Any]:
    found = galleries(run, dataset, knobs.errors, faces=knobs.pictures)
    by, people = by_person(dataset)
    return {
        "key": dataset.key,
        "anchor": anchor,
        "frame_threshold": float(dataset.rule["thresholds"]["frame"]),
        "video_threshold": dataset.threshold,
        "galleries": found,
        "explained": any(error["overlay"] for gallery in found for error in gallery["errors"]),
        "timelines": timelines(dataset, knobs.timelines, anchor),
        "people_by": by,
        "people": people,
        "methods": by_method(dataset),
        "unscored": facts.unscored(dataset),
    }


def galleries(run: Run, dataset: Dataset, count: int, *, faces: bool) -> Rows:
    """Return two galleries, of the worst false positives and the worst false negatives: `title` and `errors`.

    At most `count` errors each, one frame a video, worst first, with `text` (what it is, in words), `score` of the
    frame, `video_score` (None where it has none), `video`, `frame`, `method`, and the data: URIs `source` of the
    picture and `overlay` of its Grad-CAM map: None without `faces`, and where there is no such picture or map.
    """
    false_positives, false_negatives = worst_errors(dataset.scores, dataset.rule["thresholds"]["frame"], count)
    return [
        {"title": "Real, and called fake", "errors": list(_errors(run, dataset, false_positives, faces))},
        {"title": "Fake, and called real", "errors": list(_errors(run, dataset, false_negatives, faces))},
    ]


def _errors(run: Run, dataset: Dataset, frames: pd.DataFrame, faces: bool) -> Iterator[dict[str, Any]]:
    of_videos = dataset.scores[dataset.scores.level == "video"].set_index("video").score.dropna()
    samples = {row.key: row for row in dataset.samples[dataset.samples.key.isin(frames.key)].itertuples()}
    maps = {row.key: row for row in dataset.heatmaps[dataset.heatmaps.key.isin(frames.key)].itertuples()}
    for row in frames.to_dict("records"):
        sample, heatmap = samples.get(row["key"]), maps.get(row["key"])
        picture = pictures.read(run.source, sample, _SIDE) if faces and sample else None
        overlay = pictures.overlaid(picture, heatmap) if picture is not None and heatmap else None
        label, called = CLASSES[row["label"]], CLASSES[1 - row["label"]]
        said = f"{label} face called {called} with score {row['score']:.2f}"
        yield {
            "text": f"{said}: {row['video']}, frame {row['frame']}",
            "score": row["score"],
            "video_score": of_videos.get(row["video"]),
            "video": row["video"],
            "frame": row["frame"],
            "method": row["method"],
            "source": None if picture is None else pictures.data_uri(picture),
            "overlay": None if overlay is None else pictures.data_uri(overlay),
        }


def timelines(dataset: Dataset, count: int, anchor: str) -> Rows:
    """Return charts of the frame scores of at most `count` videos: `words`, `video`, and `chart` as inline SVG.

    `anchor` starts the charts' names, which are unique on a page. Videos of a single frame have no timeline.
    """
    frames = dataset.scores[dataset.scores.level == "frame"]
    tried = frames.groupby("video").size()
    videos = dataset.scores[(dataset.scores.level == "video") & dataset.scores.video.isin(tried.index[tried > 1])]
    drawn = []
    for number, (words, video, score) in enumerate(typical_and_worst(videos, dataset.threshold, count)):
        of_video = frames[frames.video == video].sort_values("frame")
        said = f"{words}, score {score:.3f}"
        chart = _timeline(f"{anchor}-timeline-{number}", f"{said}: {video}", of_video, dataset)
        drawn.append({"words": said, "video": video, "chart": chart})
    return drawn


def typical_and_worst(videos: pd.DataFrame, threshold: float, count: int) -> list[tuple[str, str, float]]:
    """Choose `count` of the scored `videos` (video rows of tables.SCORES): (why in words, video, score).

    In turn the worst real called fake, the worst fake called real, then the real and the fake whose score is nearest
    the median of those rightly called; then the next of each. A score above `threshold` calls a video fake; of equal
    videos the key that sorts first comes first.
    """
    scored = videos[videos.status == "scored"].sort_values("video")
    called_fake = scored.score > threshold
    reals, fakes = scored.label == REAL, scored.label == FAKE
    kinds = [
        ("real video called fake", scored[reals & called_fake].sort_values("score", ascending=False, kind="stable")),
        ("fake video called real", scored[fakes & ~called_fake].sort_values("score", kind="stable")),
        ("typical real video, rightly called", _most_typical_first(scored[reals & ~called_fake])),
        ("typical fake video, rightly called", _most_typical_first(scored[fakes & called_fake])),
    ]
    columns = [
        [(words, video, score) for video, score in zip(found.video, found.score, strict=True)] for words, found in kinds
    ]
    return [choice for choice in chain.from_iterable(zip_longest(*columns)) if choice is not None][:count]


def _most_typical_first(videos: pd.DataFrame) -> pd.DataFrame:
    distance = (videos.score - videos.score.median()).abs()
    return videos.loc[distance.sort_values(kind="stable").index]


def _timeline(name: str, text: str, frames: pd.DataFrame, dataset: Dataset) -> Markup:
    scored = frames[frames.status == "scored"]
    points = list(zip(scored.frame.astype(float), scored.score.astype(float), strict=True))
    lost = frames[frames.status != "scored"].frame.astype(float).tolist()
    threshold = float(dataset.rule["thresholds"]["frame"])
    above = int((scored.score > threshold).sum())
    text += f". {above} of {len(points)} frames are above the threshold of single frames, {threshold:.3f}"
    text += f"; {len(lost)} could not be scored." if lost else "."
    x = figures.fitted_axis("Frame", frames.frame.astype(float).tolist(), whole=True)
    return figures.timeline(name, text, points, lost, threshold, x, figures.Axis("Score"))


def by_person(dataset: Dataset) -> tuple[str, Rows]:
    """Return what test videos are put together by, and a row for each `name`, worst first.

    `person`: the persons that are shown or give the face, so that a fake may count under two; videos without any
    count under NO_PERSON, the last row. Where no person is known, `provenance group`. See `_figures` for the rest of a
    row.
    """
    videos = _test_videos(dataset)
    persons = dataset.videos.set_index("video")[["person", "donor_person"]].reindex(videos.video).reset_index(drop=True)
    if persons.isna().all(axis=None):
        return "provenance group", _worst_first(videos, "group")
    parts = [videos.assign(name=persons[role]) for role in persons]
    named = pd.concat(parts).dropna(subset="name").drop_duplicates(["video", "name"])
    nameless = videos[persons.isna().all(axis=1)].assign(name=NO_PERSON)
    return "person", _worst_first(named, "name") + _worst_first(nameless, "name")


def by_method(dataset: Dataset) -> Rows:
    """Return a row for each class and method, by the share of wrong calls, highest first.

    Beside what `_figures` gives: `label`, the class in words, and `called`, the other one, which is a wrong call.
    """
    videos = _test_videos(dataset)
    rows = [
        {"label": word, "called": CLASSES[1 - label], **row}
        for label, word in CLASSES.items()
        for row in _figures(videos[videos.label == label], "method")
    ]
    return sorted(rows, key=lambda row: (-row["wrong"] / max(row["scored"], 1), row["label"], row["name"]))


def _test_videos(dataset: Dataset) -> pd.DataFrame:
    """Return the expected test videos with `scored` and `wrong`, whether the threshold calls them wrongly."""
    videos = dataset.scores[dataset.scores.level == "video"].reset_index(drop=True)
    scored = videos.status == "scored"
    return videos.assign(scored=scored, wrong=scored & ((videos.score > dataset.threshold) != (videos.label == FAKE)))


def _worst_first(videos: pd.DataFrame, column: str) -> Rows:
    """Return the rows of `_figures`: most wrong calls first, then the largest share of them."""
    return sorted(_figures(videos, column), key=lambda row: (-row["wrong"], row["scored"], row["name"]))


def _figures(videos: pd.DataFrame, column: str) -> Rows:
    """Return a row per value of `column`: `name`, the counts `videos` (expected), `scored` and `wrong`, and the mean
    scores of its reals and fakes, `real` and `fake`, None where there is no score.
    """
    scores = {word: videos.score.where(videos.label == label) for label, word in CLASSES.items()}
    found = videos.assign(**scores).groupby(column)
    counts = found[["scored", "wrong"]].sum().assign(videos=found.size())
    means = found[list(CLASSES.values())].mean()
    table = counts.join(means.astype(object).where(means.notna(), None)).rename_axis("name").reset_index()
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
