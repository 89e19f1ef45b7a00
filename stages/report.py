"""report: one page that says what the data was and how good the detector is. `python -m stages.report`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from pipeline import params, tables
from pipeline.errors import UserError, exit_on_user_error
from pipeline.files import folder_of_each, whole_or_absent
from pipeline.reporting import facts, page, pictures, plots
from pipeline.reporting.facts import Dataset

DATA, REPORTS = Path("data"), Path("reports")
CURVES = REPORTS / "train" / "plots" / "metrics"


class Params(params.Section):
    """The section `report` of params.yaml."""

    pictures: bool
    sheet: int = Field(ge=4, le=200)


def main() -> None:
    """Write reports/metrics/eval.json, reports/plots/*.json and reports/index.html."""
    knobs = params.load_section(Params, "report")
    datasets = _read_datasets()
    card = _json(DATA / "train" / "model.json")
    with whole_or_absent(REPORTS / "metrics" / "eval.json") as part:
        part.write_text(json.dumps(facts.headline(datasets), indent=2) + "\n", encoding="utf-8")
    plots.write(REPORTS / "plots", plots.rows_of_plots(datasets))
    sheet = pictures.sheet(datasets, knobs.sheet) if knobs.pictures else None
    html = page.render(datasets, card, _curves(), card["datasets"], sheet)
    with whole_or_absent(REPORTS / "index.html") as part:
        part.write_text(html, encoding="utf-8", newline="\n")


def _read_datasets() -> list[Dataset]:
    entries = params.load_datasets()
    stages = ("index", "split", "extract", "check", "shard", "evaluate")
    folder = {stage: folder_of_each(DATA / stage, entries) for stage in stages}
    shortcuts = tables.read(DATA / "audit" / "shortcuts.parquet", tables.SHORTCUTS)
    across = tables.read(DATA / "audit" / "leaks.parquet", tables.ACROSS)
    lists = ("images", "image_sha256", "pts", "key_frames")
    video_columns = [name for name in tables.VIDEOS.names if name not in lists]
    datasets = []
    for key, entry in entries.items():
        found = [folder[stage][key] / "findings.parquet" for stage in ("index", "check")]
        datasets.append(
            Dataset(
                key=key,
                built_in=entry.built_in,
                subset=entry.subset,
                videos=tables.read(folder["index"][key] / "videos.parquet", tables.VIDEOS, video_columns),
                findings=pd.concat([tables.read(path, tables.FINDINGS) for path in found], ignore_index=True),
                assignments=tables.read(folder["split"][key] / "videos.parquet", tables.ASSIGNMENTS),
                leaks=tables.read(folder["split"][key] / "leaks.parquet", tables.LEAKS),
                ties=tables.read(folder["split"][key] / "ties.parquet", tables.TIES),
                across=across[across.tested == key],
                frames=tables.read(folder["extract"][key] / "frames.parquet", tables.FRAMES, facts.FRAME_COLUMNS),
                filled=tables.read(folder["extract"][key] / "quotas.parquet", tables.FILLED),
                samples=tables.read(folder["shard"][key] / "samples.parquet", tables.SAMPLES),
                shards=folder["shard"][key],
                verdict=_json(folder["check"][key] / "verdict.json"),
                shortcuts=shortcuts[shortcuts.dataset == key],
                scores=tables.read(folder["evaluate"][key] / "scores.parquet", tables.SCORES),
                metrics=tables.read(folder["evaluate"][key] / "metrics.parquet", tables.METRICS),
                rule=_json(folder["evaluate"][key] / "rule.json"),
            )
        )
    return datasets


def _curves() -> page.Curves:
    """Return DVCLive's learning curves by name, `train/loss` -> (step, value) points."""
    curves = {}
    for path in sorted(CURVES.rglob("*.tsv")):
        steps = pd.read_csv(path, sep="\t")
        name = path.relative_to(CURVES).with_suffix("").as_posix()
        curves[name] = list(zip(steps["step"].astype(float), steps.iloc[:, -1].astype(float), strict=True))
    return curves


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro` (or `dvc pull`) first") from None


if __name__ == "__main__":
    exit_on_user_error(main)
