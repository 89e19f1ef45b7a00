"""What a report says, as plain values out of the tables: the page, plots and metrics files only arrange it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.tables import FAKE, REAL, SPLITS

CLASSES = {REAL: "real", FAKE: "fake"}
FEW_GROUPS = 30  # below this many provenance groups a bootstrap interval is a rough guess

_VIDEO_FIGURES = ("auroc", "eer", "ap", "accuracy", "f1", "coverage")
_FRAME_FIGURES = ("auroc",)


@dataclass(frozen=True)
class Dataset:
    """The tables of one dataset, as `tables.read` gives them, and what the page needs to know about it."""

    key: str
    built_in: bool  # rendered by `synthesize`, not real footage
    videos: pd.DataFrame  # tables.VIDEOS, without the lists of time stamps
    findings: pd.DataFrame  # tables.FINDINGS of index and check
    assignments: pd.DataFrame  # tables.ASSIGNMENTS
    leaks: pd.DataFrame  # tables.LEAKS
    frames: pd.DataFrame  # tables.FRAMES, columns split, label, status, reason
    filled: pd.DataFrame  # tables.FILLED
    samples: pd.DataFrame  # tables.SAMPLES
    shards: Path  # folder with the tars that `samples` points into
    verdict: dict[str, Any]  # verdict.json of check
    shortcuts: pd.DataFrame  # tables.SHORTCUTS, this dataset's rows
    scores: pd.DataFrame  # tables.SCORES
    metrics: pd.DataFrame  # tables.METRICS


def counts(dataset: Dataset) -> list[dict[str, Any]]:
    """Return one row per split and class: from the videos in the split down to the frames kept."""
    usable = dataset.assignments[dataset.assignments.status == "ok"]
    official = dataset.videos.set_index("video").official_split
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
            row |= {"official": int((official.reindex(videos.video) == split).sum())}
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
    grave = {"error": 0, "warning": 1, "note": 2}
    rows = [
        {"stage": stage, "severity": severity, "code": code}
        | {"count": len(part), "items": _named(part.subject, part.detail)}
        for (stage, severity, code), part in dataset.findings.groupby(["stage", "severity", "code"], sort=True)
    ]
    return sorted(rows, key=lambda row: grave.get(str(row["severity"]), 3))


def leaks(dataset: Dataset) -> list[dict[str, Any]]:
    """Return what videos of different splits share, one row per kind: how many nodes tie which splits, and which."""
    rows = []
    for kind, part in dataset.leaks.groupby("kind", sort=True):
        between = {
            f"{one}_{other}": int(((part[one] > 0) & (part[other] > 0)).sum())
            for one, other in (("train", "test"), ("val", "test"), ("train", "val"))
        }
        between["with_test"] = int(((part.test > 0) & ((part.train > 0) | (part.val > 0))).sum())
        tied = [", ".join(f"{row[split]} of {split}" for split in SPLITS if row[split]) for _, row in part.iterrows()]
        rows.append({"kind": kind, **between, "items": _named(part.node, tied)})
    return rows


def container(dataset: Dataset) -> dict[str, Any]:
    """Return the container audit: the figure on all facts, what it says in words, and each fact alone, worst first.

    A fact comes with its typical value (median or most frequent) among reals and fakes: which way it leans.
    """
    every = dataset.shortcuts[dataset.shortcuts.feature == "all"].to_dict("records")[0]
    alone = dataset.shortcuts[dataset.shortcuts.feature != "all"].sort_values("auroc", ascending=False, kind="stable")
    labels = dataset.assignments[dataset.assignments.status == "ok"].set_index("video").label
    videos = dataset.videos[dataset.videos.video.isin(labels.index)]
    by_class = {name: videos[videos.video.map(labels) == label] for label, name in CLASSES.items()}
    features = []
    for row in alone.itertuples():
        typical = {name: _typical(part, str(row.feature)) for name, part in by_class.items()}
        features.append({"feature": row.feature, **interval(row.auroc, row.lower, row.upper), **typical})
    figure = interval(every["auroc"], every["lower"], every["upper"])
    told = _verdict_on_container(figure)
    return {**figure, **told, "videos": int(every["videos"]), "groups": int(every["groups"]), "features": features}


def results(dataset: Dataset) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the figures as `[level][method][metric]` = value, lower, upper, real, fake (None where undefined)."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in dataset.metrics.to_dict("records"):
        figure = interval(row["value"], row["lower"], row["upper"])
        items = {"real": int(row["real"]), "fake": int(row["fake"])}
        found.setdefault(row["level"], {}).setdefault(row["method"], {})[row["metric"]] = figure | items
    return found


def headline(datasets: Iterable[Dataset]) -> dict[str, Any]:
    """Return reports/metrics/eval.json: a few figures per dataset and level, 4 digits, None where undefined."""
    summary: dict[str, Any] = {}
    for dataset in datasets:
        levels = results(dataset)
        summary[dataset.key] = {}
        for level, wanted in (("video", _VIDEO_FIGURES), ("frame", _FRAME_FIGURES)):
            known = levels.get(level, {}).get("all", {})
            figures = {}
            for metric in wanted:
                if metric in known:
                    figures[metric] = _rounded(known[metric]["value"])
                if metric == "auroc" and metric in known:
                    figures |= {f"auroc_{end}": _rounded(known[metric][bound]) for end, bound in _ENDS}
            summary[dataset.key][level] = figures
    return summary


_ENDS = (("lo", "lower"), ("hi", "upper"))


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


def interval(value: Any, lower: Any, upper: Any) -> dict[str, float | None]:
    """Return a figure and the ends of its interval as floats, or None where they are undefined."""
    return {
        name: None if pd.isna(figure) else float(figure)
        for name, figure in (("value", value), ("lower", lower), ("upper", upper))
    }


def _verdict_on_container(figure: dict[str, float | None]) -> dict[str, str]:
    lower, upper = figure["lower"], figure["upper"]
    if lower is None or upper is None:
        return {"verdict": "unknown", "words": "There are too few videos to say whether the container tells the label."}
    if lower > 0.5:
        return {"verdict": "tells", "words": "The container alone tells the label: a detector may learn it instead."}
    if upper < 0.5:
        return {"verdict": "below", "words": "Below chance: the container does not tell the label."}
    return {
        "verdict": "clean",
        "words": "As far as these videos show, the container alone does not tell the label: 0.5 is within.",
    }


def _typical(videos: pd.DataFrame, feature: str) -> str:
    """Median of numbers, most frequent of names, as text."""
    if feature.startswith("encoder."):
        values = videos.encoder.str.extract(
            rf"(?:^|\s){re.escape(feature.removeprefix('encoder.'))}=(\S+)", expand=False
        ).dropna()
    else:
        values = videos[feature].dropna()
    if values.empty:
        return "none"
    if pd.api.types.is_numeric_dtype(values):
        return f"{float(values.median()):,.6g}"
    return str(values.value_counts().sort_index().idxmax())


def _named(subjects: Iterable[Any], details: Iterable[Any]) -> list[tuple[str, str]]:
    return sorted((str(subject), str(detail or "")) for subject, detail in zip(subjects, details, strict=True))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
