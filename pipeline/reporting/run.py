"""A run: one training with its data and its evaluations, read from a source."""

import io
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline import params, tables
from pipeline.errors import UserError
from pipeline.reporting.facts import FRAME_COLUMNS, Dataset
from pipeline.reporting.source import Source, read_json, read_table

Curves = dict[str, list[tuple[float, float]]]
CURVES = "reports/train/plots/metrics"
DRAWN = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/auroc")  # what training may have drawn
VIDEO_LISTS = ("images", "image_sha256", "pts", "key_frames")


@dataclass(frozen=True)
class Run:
    """What a report is made of.

    `name` is what the page calls it; `card` is model.json; `params` is params.yaml; `curves` maps a training figure
    (`train/loss`) to its (epoch, value) points; `datasets` are in the order of params.yaml.
    """

    name: str
    commit: str | None
    source: Source
    params: dict[str, Any]
    card: dict[str, Any]
    curves: Curves
    datasets: list[Dataset]

    @property
    def trained_on(self) -> list[str]:
        """The keys of the datasets learned from."""
        return list(self.card["datasets"])


def read_run(source: Source) -> Run:
    """Read a project's tables, all but pictures. Raises UserError where something is missing."""
    document = _read_params(source)
    shortcuts = read_table(source, "data/audit/shortcuts.parquet", tables.SHORTCUTS)
    across = read_table(source, "data/audit/leaks.parquet", tables.ACROSS)
    datasets = [
        _read_dataset(source, key, entry, shortcuts[shortcuts.dataset == key], across[across.tested == key])
        for key, entry in _entries(document, source.name).items()
    ]
    card = read_json(source, "data/train/model.json")
    return Run(source.name, source.commit, source, document, card, _read_curves(source), datasets)


def _read_params(source: Source) -> dict[str, Any]:
    try:
        document = YAML(typ="safe", pure=True).load(io.BytesIO(source.read(params.PARAMS_FILE.name)))
    except YAMLError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("datasets"), dict):
        raise UserError(f"{params.PARAMS_FILE.name} of {source.name} names no datasets")
    return document


def _entries(document: dict[str, Any], name: str) -> dict[str, params.Dataset]:
    entries = {}
    for key, entry in document["datasets"].items():
        try:
            entries[key] = params.Dataset.model_validate(entry)
        except ValidationError as error:
            where = f"{params.PARAMS_FILE.name} of {name}"
            raise UserError(f"{where}: {params.in_words(error, f'datasets.{key}')}") from None
    return entries


def _read_dataset(
    source: Source, key: str, entry: params.Dataset, shortcuts: pd.DataFrame, across: pd.DataFrame
) -> Dataset:
    video_columns = [name for name in tables.VIDEOS.names if name not in VIDEO_LISTS]
    findings = [
        read_table(source, f"data/{stage}/{key}/findings.parquet", tables.FINDINGS) for stage in ("index", "check")
    ]
    return Dataset(
        key=key,
        built_in=entry.built_in,
        subset=entry.subset,
        videos=read_table(source, f"data/index/{key}/videos.parquet", tables.VIDEOS, video_columns),
        findings=pd.concat(findings, ignore_index=True),
        assignments=read_table(source, f"data/split/{key}/videos.parquet", tables.ASSIGNMENTS),
        leaks=read_table(source, f"data/split/{key}/leaks.parquet", tables.LEAKS),
        ties=read_table(source, f"data/split/{key}/ties.parquet", tables.TIES),
        across=across,
        frames=read_table(source, f"data/extract/{key}/frames.parquet", tables.FRAMES, FRAME_COLUMNS),
        filled=read_table(source, f"data/extract/{key}/quotas.parquet", tables.FILLED),
        samples=read_table(source, f"data/shard/{key}/samples.parquet", tables.SAMPLES),
        verdict=read_json(source, f"data/check/{key}/verdict.json"),
        shortcuts=shortcuts,
        scores=read_table(source, f"data/evaluate/{key}/scores.parquet", tables.SCORES),
        metrics=read_table(source, f"data/evaluate/{key}/metrics.parquet", tables.METRICS),
        robustness=read_table(source, f"data/evaluate/{key}/robustness.parquet", tables.ROBUSTNESS),
        heatmaps=read_table(source, f"data/evaluate/{key}/heatmaps.parquet", tables.HEATMAPS),
        rule=read_json(source, f"data/evaluate/{key}/rule.json"),
    )


def _read_curves(source: Source) -> Curves:
    curves = {}
    for name in DRAWN:
        path = f"{CURVES}/{name}.tsv"
        if source.has(path):
            steps = pd.read_csv(io.BytesIO(source.read(path)), sep="\t")
            curves[name] = list(zip(steps["step"].astype(float), steps.iloc[:, -1].astype(float), strict=True))
    return curves
