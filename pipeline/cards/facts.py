"""What cards say of a dataset, as plain values out of tables and parameters; the cards only put it into words."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import ConfigDict, Field, field_validator

from pipeline import guard_names, params, provenance, tables
from pipeline.cards.licences import Licence, licence_of
from pipeline.cards.sources import Source, source_of
from pipeline.errors import UserError
from pipeline.files import sha256_of_file
from pipeline.sharding import manifests
from pipeline.tables import CLASSES, NO_VIDEO, NOT_ASKED_FOR, SPLITS

Text = Annotated[str, Field(min_length=1)]
Row = dict[str, Any]


class Params(params.Section):
    """The section `card` of params.yaml."""

    version: str = Field(pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$")
    date_published: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    license: Text | None
    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None
    creators: list[Text] = Field(min_length=1)
    cite_as: Text | None

    @field_validator("date_published")
    @classmethod
    def _is_a_date(cls, text: str) -> str:
        date.fromisoformat(text)
        return text


class _Partly(params.Section):
    """What cards need to know of another stage's section."""

    model_config = ConfigDict(extra="ignore")


class Sample(_Partly):
    """Of `sample`."""

    every: int | None
    count: int | None


class Reduce(_Partly):
    """Of `reduce`."""

    paired: bool


class Extract(_Partly):
    """Of `extract`."""

    faces: str
    boxes: str
    detection_side: int
    min_face: int
    min_probability: float


class Shard(_Partly):
    """Of `shard`."""

    size: int
    alignment: str
    margin: float
    jpeg_quality: int


@dataclass(frozen=True)
class Facts:
    """One dataset: what the cards say about it. Counts are of this version; order is fixed."""

    key: str
    source: Source
    entry: params.Dataset
    published: Params
    licence: Licence
    sample: Sample
    reduce: Reduce
    extract: Extract
    shard: Shard
    files: dict[str, Row]  # of the manifest: bytes and sha256 by name
    manifest_sha256: str
    samples: int
    cells: list[Row]  # per split and class: samples, videos, groups, and the columns of tables.FILLED
    methods: list[Row]  # per method and class: samples of each split
    compressions: list[tuple[str, int]]  # samples by compression level
    splits: list[Row]  # per split: usable videos, of them official and carved; tars, of them filled; bytes
    files_found: int  # rows of the index
    rejected: list[tuple[str, int]]  # videos of the dataset that are not usable, by reason
    without_picture: list[tuple[str, int]]  # usable videos that gave none, by reason in words
    left_out: list[tuple[str, int]]  # of the others: no videos of it, or not asked for
    failed: list[tuple[str, int]]  # frames that were decoded and are not usable, by reason
    decoded: int
    recipes: list[str]  # versions of decoder and detector
    leaks: list[Row]  # per kind: videos of which it is known, test_to_train, test_to_val, val_to_train
    across: list[Row]  # per other dataset and kind: shared things
    shortcuts: dict[str, Row]  # per probe: auroc, lower, upper (None without), videos, groups
    verdict: Row
    warnings: list[tuple[str, int]]  # findings of `check` that are warnings, by code
    guards_allowed: list[str]  # guards of training and evaluation that may be lifted, by name


def gather(key: str, data: Path = Path("data")) -> Facts:
    """Return the facts of the dataset `key` from params.yaml and the tables below `data`.

    Raises UserError for tables that are missing or of another version, for bad parameters, and for a licence that the
    source does not allow.
    """
    entry = params.load_dataset(key)
    published = params.load_section(Params, "card", key)
    source = source_of(entry.layout, built_in=entry.built_in)
    manifest = data / "shard" / key / manifests.NAME
    files = manifests.read(manifest)["files"]
    columns = ["video", "split", "label", "method", "group", "shard"]
    samples = tables.read(data / "shard" / key / "samples.parquet", tables.SAMPLES, columns, categories=True)
    columns = ["video", "status", "reason", "recipe"]
    frames = tables.read(data / "extract" / key / "frames.parquet", tables.FRAMES, columns, categories=True)
    assignments = tables.read(data / "split" / key / "videos.parquet", tables.ASSIGNMENTS)
    rejected = _counted(assignments[assignments.status != "ok"].reason)
    checked = tables.read(data / "check" / key / "findings.parquet", tables.FINDINGS)
    return Facts(
        key=key,
        source=source,
        entry=entry,
        published=published,
        licence=licence_of(published.license, source, f"{params.PARAMS_FILE}: card.license"),
        sample=params.load_section(Sample, "sample", key),
        reduce=params.load_section(Reduce, "reduce", key),
        extract=params.load_section(Extract, "extract", key),
        shard=params.load_section(Shard, "shard", key),
        files=files,
        manifest_sha256=sha256_of_file(manifest),
        samples=len(samples),
        cells=_cells(samples, tables.read(data / "extract" / key / "quotas.parquet", tables.FILLED)),
        methods=_methods(samples),
        compressions=_compressions(samples),
        splits=_splits(samples, assignments, files),
        files_found=len(assignments),
        rejected=[row for row in rejected if row[0] not in (*NO_VIDEO, *NOT_ASKED_FOR)],
        left_out=[row for row in rejected if row[0] in (*NO_VIDEO, *NOT_ASKED_FOR)],
        without_picture=_without_picture(samples, frames, assignments),
        failed=_counted(frames[frames.status == "failed"].reason),
        decoded=int((frames.status != "unused").sum()),
        recipes=sorted(set(frames.recipe[frames.recipe != ""])),
        leaks=_leaks(data, key, assignments),
        across=_across(tables.read(data / "audit" / "leaks.parquet", tables.ACROSS), key),
        shortcuts=_shortcuts(tables.read(data / "audit" / "shortcuts.parquet", tables.SHORTCUTS), key),
        verdict=_verdict(data / "check" / key / "verdict.json"),
        warnings=_counted(checked[checked.severity == "warning"].code),
        guards_allowed=list(params.load_section(guard_names.Params, "guards").allow),
    )


def _counted(values: pd.Series) -> list[tuple[str, int]]:
    """Return each value and how often it occurs, the most frequent first."""
    counts = values.astype("str").value_counts()
    return sorted(((str(value), int(count)) for value, count in counts.items()), key=lambda row: (-row[1], row[0]))


def _cells(samples: pd.DataFrame, filled: pd.DataFrame) -> list[Row]:
    grouped = samples.groupby(["split", "label"], observed=True)
    counts = pd.DataFrame(
        {"samples": grouped.size(), "videos": grouped.video.nunique(), "groups": grouped.group.nunique()}
    )
    quotas = filled.drop(columns=["videos"]).set_index(["split", "label"])
    rows = quotas.join(counts).fillna({"samples": 0, "videos": 0, "groups": 0}).reset_index().to_dict("records")
    rows.sort(key=lambda row: (SPLITS.index(row["split"]), row["label"]))
    words = ("split", "rule")
    return [
        {str(name): str(value) if name in words else int(value) for name, value in row.items()}
        | {"class": CLASSES[row["label"]]}
        for row in rows
    ]


def _methods(samples: pd.DataFrame) -> list[Row]:
    counts = samples.groupby(["label", "method", "split"], observed=True).size().unstack("split", fill_value=0)
    rows = counts.reindex(columns=list(SPLITS), fill_value=0).sort_index().reset_index().to_dict("records")
    return [
        {"method": str(row["method"]), "class": CLASSES[row["label"]], **{split: int(row[split]) for split in SPLITS}}
        for row in rows
    ]


def _compressions(samples: pd.DataFrame) -> list[tuple[str, int]]:
    counts = samples.video.astype("category").cat.remove_unused_categories().value_counts()
    by_level = counts.groupby(counts.index.astype("str").str.split("/").str[2]).sum()
    return [(str(level), int(count)) for level, count in by_level.sort_index().items()]


def _without_picture(samples: pd.DataFrame, frames: pd.DataFrame, assignments: pd.DataFrame) -> list[tuple[str, int]]:
    """Return how many usable videos gave no picture, by reason: every such video counts once."""
    none = set(assignments.video[assignments.status == "ok"]) - set(samples.video.unique())
    spare = none & set(frames.video[frames.status.isin(["surplus", "unused"])].unique())
    failed = none & set(frames.video[frames.status == "failed"].unique()) - spare
    counts = {
        "not needed for the quota": len(spare),
        "without a usable frame": len(failed),
        "without a candidate frame": len(none - spare - failed),
    }
    return [(reason, count) for reason, count in counts.items() if count]


def _splits(samples: pd.DataFrame, assignments: pd.DataFrame, files: dict[str, Row]) -> list[Row]:
    usable = assignments[assignments.status == "ok"]
    filled = set(samples.shard.unique())
    rows = []
    for split in SPLITS:
        videos = usable[usable.split == split]
        names = sorted(name for name in files if name.startswith(f"{split}/"))
        rows.append(
            {"split": split, "videos": len(videos), "samples": int((samples.split == split).sum())}
            | {by: int((videos.split_by == by).sum()) for by in ("official", "carved")}
            | {"tars": names, "filled": [name for name in names if name in filled]}
            | {"bytes": sum(files[name]["bytes"] for name in names)}
        )
    return rows


def _leaks(data: Path, key: str, assignments: pd.DataFrame) -> list[Row]:
    ties = tables.read(data / "split" / key / "ties.parquet", tables.TIES)
    videos = tables.read(data / "index" / key / "videos.parquet", tables.VIDEOS, ["video", *provenance.COLUMNS])
    usable = videos[videos.video.isin(assignments.video[assignments.status == "ok"])]
    return [
        {"kind": kind, "known": int(usable[list(link.columns)].notna().any(axis=1).sum()), "usable": len(usable)}
        | provenance.tied_counts(ties, kind)
        for kind, link in provenance.LINKS.items()
    ]


def _across(across: pd.DataFrame, key: str) -> list[Row]:
    counts = across[across.tested == key].groupby(["learned", "kind"]).size().reset_index(name="shared")
    return [
        {"learned": str(row["learned"]), "kind": str(row["kind"]), "shared": int(row["shared"])}
        for row in counts.to_dict("records")
    ]


def _shortcuts(shortcuts: pd.DataFrame, key: str) -> dict[str, Row]:
    rows = shortcuts[(shortcuts.dataset == key) & (shortcuts.feature == "all")].sort_values("probe").to_dict("records")
    if not rows:
        raise UserError(f"data/audit/shortcuts.parquet says nothing of {key}; run `dvc repro audit`")
    ends = ("auroc", "lower", "upper")
    return {
        str(row["probe"]): {end: None if pd.isna(row[end]) else float(row[end]) for end in ends}
        | {counted: int(row[counted]) for counted in ("videos", "groups")}
        for row in rows
    }


def _verdict(path: Path) -> Row:
    try:
        verdict: Row = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first") from None
    except ValueError:
        raise UserError(f"{path} is damaged; run `dvc repro` to rebuild it") from None
    return verdict
