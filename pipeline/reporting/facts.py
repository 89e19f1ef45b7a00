"""What a report says, as plain values out of the tables: the page, plots and metrics files only arrange it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from pipeline import provenance, shortcuts
from pipeline.tables import CLASSES, SEVERITIES, SPLITS

FRAME_COLUMNS = ["video", "split", "label", "group", "status", "reason", *shortcuts.CROP_COLUMNS]

_CONTAINER_WORDS = {
    "unknown": "There are too few videos to say whether the container tells the label.",
    "tells": "The container alone tells the label, a fault of the dataset: a detector may learn it instead.",
    "below": "Below chance: the container does not tell the label.",
    "clean": "As far as these videos show, the container alone does not tell the label: 0.5 is within.",
}
_PICTURE_WORDS = {
    "unknown": "There are too few videos to say what these facts of the crops tell.",
    "tells": "These facts of the crops tell the label this well; only what a detector reaches beyond that is its own.",
    "below": "Below chance: these facts of the crops do not tell the label, and chance is the floor.",
    "clean": "As far as these videos show, these facts of the crops may not tell the label at all: 0.5 is within.",
}


@dataclass(frozen=True)
class Dataset:
    """The tables of one dataset, as `tables.read` gives them, and what the page needs to know about it."""

    key: str
    built_in: bool  # rendered by `synthesize`, not real footage
    subset: float | None  # share of the provenance groups that was taken, 0 to 1; None = all
    videos: pd.DataFrame  # tables.VIDEOS, without its lists
    findings: pd.DataFrame  # tables.FINDINGS of index and check
    assignments: pd.DataFrame  # tables.ASSIGNMENTS
    leaks: pd.DataFrame  # tables.LEAKS
    ties: pd.DataFrame  # tables.TIES
    across: pd.DataFrame  # tables.ACROSS, the rows in which this dataset is the tested one
    frames: pd.DataFrame  # tables.FRAMES, columns FRAME_COLUMNS
    filled: pd.DataFrame  # tables.FILLED
    samples: pd.DataFrame  # tables.SAMPLES
    verdict: dict[str, Any]  # verdict.json of check
    shortcuts: pd.DataFrame  # tables.SHORTCUTS, this dataset's rows
    scores: pd.DataFrame  # tables.SCORES
    metrics: pd.DataFrame  # tables.METRICS
    robustness: pd.DataFrame  # tables.ROBUSTNESS
    heatmaps: pd.DataFrame  # tables.HEATMAPS
    rule: dict[str, Any]  # rule.json of evaluate

    @property
    def threshold(self) -> float:
        """The score above which a video is called fake."""
        return float(self.rule["thresholds"]["video"])


_OF_DATA = ("videos", "findings", "assignments", "leaks", "ties", "across", "frames", "filled", "samples", "shortcuts")


def same_data(one: Dataset, other: Dataset) -> bool:
    """Return whether everything a report says of the data, and of nothing a model did, is the same."""
    plain = (one.key, one.built_in, one.subset, one.verdict) == (other.key, other.built_in, other.subset, other.verdict)
    return plain and all(
        getattr(one, name).reset_index(drop=True).equals(getattr(other, name).reset_index(drop=True))
        for name in _OF_DATA
    )


def lifted(card: dict[str, Any], datasets: Iterable[Dataset]) -> list[dict[str, Any]]:
    """Return the guards that were lifted, one row per fault: name, what it said, and where (train, evaluation of ...).

    `card` is model.json.
    """
    faults = [(name, said, "train") for name, said in card["guards_lifted"].items()]
    for dataset in datasets:
        faults += [(name, said, f"evaluate {dataset.key}") for name, said in dataset.rule["guards_lifted"].items()]
    places: dict[tuple[str, str], list[str]] = {}
    for name, said, place in faults:
        places.setdefault((name, said), []).append(place)
    return [{"name": name, "said": said, "places": where} for (name, said), where in places.items()]


def counts(dataset: Dataset) -> list[dict[str, Any]]:
    """Return one row per split and class: from the videos in the split down to the frames kept."""
    usable = dataset.assignments[dataset.assignments.status == "ok"]
    failed = dataset.frames[dataset.frames.status == "failed"]
    rows = []
    for split in SPLITS:
        for label, name in CLASSES.items():
            videos = usable[(usable.split == split) & (usable.label == label)]
            filled = dataset.filled[(dataset.filled.split == split) & (dataset.filled.label == label)]
            reasons = failed[(failed.split == split) & (failed.label == label)].reason.value_counts()
            if videos.empty and filled.empty:
                continue
            row = {"split": split, "class": name, "videos": len(videos), "groups": videos.group.nunique()}
            row |= {"official": int((videos.split_by == "official").sum())}
            columns = ("candidates", "quota", "tried", "failed", "surplus", "kept")
            row |= {column: int(filled[column].sum()) for column in columns}
            row |= {"rule": ", ".join(filled.rule), "reasons": sorted(reasons.astype(int).to_dict().items())}
            rows.append(row)
    return rows


def rejected(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the rejected videos as one row per reason: how many, and which."""
    details = dataset.videos.set_index("video").detail
    rows = dataset.assignments[dataset.assignments.status != "ok"]
    named = rows.assign(detail=details.reindex(rows.video).fillna("").to_numpy())
    return [
        {"reason": reason, "count": len(part), "items": _named(part.video, part.detail)}
        for reason, part in named.groupby("reason", sort=True)
    ]


def findings(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the findings as one row per stage, severity and code, errors first: how many, and about what."""
    rows = [
        {"stage": stage, "severity": severity, "code": code}
        | {"count": len(part), "items": _named(part.subject, part.detail)}
        for (stage, severity, code), part in dataset.findings.groupby(["stage", "severity", "code"], sort=True)
    ]
    return sorted(rows, key=lambda row: SEVERITIES.index(str(row["severity"])))


def ties(dataset: Dataset) -> list[dict[str, Any]]:
    """Return what videos of different splits share, one row per kind: how many videos are tied, and by what.

    `test_to_train` = test videos that share at least one recording, person, ... with a train video, and so on.
    """
    rows = []
    for kind, link in provenance.LINKS.items():
        counts = provenance.tied_counts(dataset.ties, kind)
        nodes = dataset.leaks[dataset.leaks.kind == kind]
        tied = [", ".join(f"{row[split]} of {split}" for split in SPLITS if row[split]) for _, row in nodes.iterrows()]
        if any(counts.values()):
            rows.append({"kind": kind, "meaning": link.meaning, **counts, "items": _named(nodes.node, tied)})
    return rows


def ties_across(dataset: Dataset) -> list[dict[str, Any]]:
    """Return what test videos share with train and val of other datasets, one row per dataset and kind."""
    rows = []
    for learned, kind in product(sorted(set(dataset.across.learned)), provenance.LINKS):
        nodes = dataset.across[(dataset.across.learned == learned) & (dataset.across.kind == kind)]
        tied = [f"{row.learned_videos} of {learned}, {row.tested_videos} of test here" for row in nodes.itertuples()]
        if tied:
            row = {"learned": learned, "kind": kind, "meaning": provenance.LINKS[kind].meaning}
            rows.append(row | {"items": _named(nodes.node, tied)})
    return rows


def container(dataset: Dataset) -> dict[str, Any]:
    """Return the figure of the probe `container` in numbers and words, and each fact of the file alone."""
    usable = dataset.assignments[dataset.assignments.status == "ok"]
    probe = _probe(dataset, "container", dataset.videos[dataset.videos.video.isin(usable.video)])
    return probe | {"words": _CONTAINER_WORDS[probe["verdict"]]}


def picture(dataset: Dataset) -> dict[str, Any]:
    """Return the figure of the probe `picture` in numbers and words, and each fact of the crops alone.

    `floor` is what every model must beat: the figure, or chance where it is less; None where there is no figure.
    """
    probe = _probe(dataset, "picture", shortcuts.crops(dataset.frames, dataset.samples))
    floor = None if probe["value"] is None else max(0.5, probe["value"])
    return probe | {"words": _PICTURE_WORDS[probe["verdict"]], "floor": floor}


def unscored(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the test videos without a score, one row per reason: how many, and which."""
    rows = dataset.scores[(dataset.scores.level == "video") & (dataset.scores.status != "scored")]
    return [
        {"reason": reason, "count": len(part), "items": _named(part.video, [""] * len(part))}
        for reason, part in rows.groupby("reason", sort=True)
    ]


def groups_tested(dataset: Dataset) -> int:
    """Return the number of provenance groups behind the video figures."""
    return int(dataset.scores[(dataset.scores.level == "video") & (dataset.scores.status == "scored")].group.nunique())


def subset_in_words(dataset: Dataset) -> str:
    """Return how much of the dataset was taken; empty for all of it."""
    if dataset.subset is None or dataset.subset == 1:
        return ""
    return f"{100 * dataset.subset:g} % of the provenance groups"


def interval(value: Any, lower: Any, upper: Any) -> dict[str, float | None]:
    """Return a figure and the ends of its interval as floats, or None where they are undefined."""
    return {
        name: None if pd.isna(figure) else float(figure)
        for name, figure in (("value", value), ("lower", lower), ("upper", upper))
    }


def _probe(dataset: Dataset, name: str, videos: pd.DataFrame) -> dict[str, Any]:
    """Return a probe's figure and verdict, and each feature alone, worst first: does it tell, and which way it leans.

    `videos` holds the features and `label`: a feature comes with its typical value among reals and among fakes.
    """
    rows = dataset.shortcuts[dataset.shortcuts.probe == name]
    every = rows[rows.feature == "all"].to_dict("records")[0]
    by_class = {word: videos[videos.label == label] for label, word in CLASSES.items()}
    features = []
    for row in rows[rows.feature != "all"].sort_values("auroc", ascending=False, kind="stable").itertuples():
        figure = interval(row.auroc, row.lower, row.upper)
        typical = {word: _typical(part, str(row.feature)) for word, part in by_class.items()}
        features.append({"feature": row.feature, **figure, "tells": _verdict(figure) == "tells", **typical})
    figure = interval(every["auroc"], every["lower"], every["upper"])
    counted = {"videos": int(every["videos"]), "groups": int(every["groups"])}
    return {**figure, "verdict": _verdict(figure), **counted, "features": features}


def _verdict(figure: dict[str, float | None]) -> str:
    """Where the interval lies against chance: above = tells, below, around it = clean; unknown without one."""
    lower, upper = figure["lower"], figure["upper"]
    if lower is None or upper is None:
        return "unknown"
    return "tells" if lower > 0.5 else "below" if upper < 0.5 else "clean"


def _typical(videos: pd.DataFrame, feature: str) -> str:
    """Median of numbers, most frequent of names, as text; none where most videos say nothing."""
    if feature.startswith("encoder."):
        setting = feature.removeprefix("encoder.")
        values = videos.encoder.fillna("").map(lambda text: shortcuts.encoder_settings(text).get(setting))
    else:
        values = videos[feature]
    if pd.api.types.is_numeric_dtype(values) and values.notna().mean() >= 0.5:
        middle = float(values.median())
        return f"{middle:,.0f}" if abs(middle) >= 10_000 else f"{middle:,.6g}"
    said = values.astype("string").fillna("none").value_counts().sort_index()
    return str(said.idxmax()) if len(said) else "none"


def _named(subjects: Iterable[Any], details: Iterable[Any]) -> list[tuple[str, str]]:
    return sorted((str(subject), str(detail or "")) for subject, detail in zip(subjects, details, strict=True))
