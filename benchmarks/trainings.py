"""What the benchmarks of training share: projects without git and DVC, whose stages run one after the other."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
DATA_STAGES = ("index", "split", "sample", "flatten", "reduce", "extract", "check", "shard")

Params = dict[str, Any]


def read_params(folder: Path) -> Params:
    """Return the params.yaml of `folder`."""
    found: Params = YAML(typ="safe", pure=True).load(folder / "params.yaml")
    return found


def write_params(folder: Path, params: Params) -> None:
    """Write params.yaml into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    YAML(typ="safe", pure=True).dump(params, folder / "params.yaml")


def change(params: Params, values: Mapping[str, Any]) -> None:
    """Set values by dotted name."""
    for name, value in values.items():
        *parents, last = name.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value


def run(project: Path, cache: Path, *command: str) -> str:
    """Run `python COMMAND` in `project`, the work cache at `cache`; return what it printed.

    Ends this process with what it said when it fails.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VERIFRAME_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed in {project}\n{done.stdout}{done.stderr}")
    return done.stdout


def make_shards(project: Path, cache: Path, keys: Sequence[str]) -> None:
    """Run the stages from index to shard for each of `keys` that has no shards yet."""
    for key in keys:
        if not (project / "data/shard" / key / "manifest.json").exists():
            for stage in DATA_STAGES:
                run(project, cache, "-m", f"stages.{stage}", key)


def train_and_evaluate(project: Path, cache: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Run `train`, then `evaluate` for each of `keys`, in this process: a new one would load torch each time.

    Returns `validation`, the frame accuracy on what training validated on, at the model's threshold; `test`, by key and
    level (frame, video) the figures of method `all`, for auroc with lower and upper, None where undefined; `lifted`,
    the guards; `epochs`, how many were trained. What the stages say goes to log.txt in `project`. Raises UserError as
    they do.
    """
    with _inside(project, cache):
        _main("train")
        for key in keys:
            _main("evaluate", key)
        card = json.loads(Path("data/train/model.json").read_text(encoding="utf-8"))
        rules = [json.loads(Path(f"data/evaluate/{key}/rule.json").read_text(encoding="utf-8")) for key in keys]
        return {
            "validation": _validation_accuracy(),
            "test": {key: _figures(Path("data/evaluate") / key) for key in keys},
            "lifted": sorted({*card["guards_lifted"]}.union(*(rule["guards_lifted"] for rule in rules))),
            "epochs": len(pd.read_csv("data/train/epochs.csv")),
        }


@contextmanager
def _inside(project: Path, cache: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(project)
    try:
        with (
            Path("log.txt").open("a", encoding="utf-8") as log,
            redirect_stderr(log),
            mock.patch.dict(os.environ, {"VERIFRAME_CACHE": str(cache)}),
        ):
            yield
    finally:
        os.chdir(before)


def _main(stage: str, *arguments: str) -> None:
    with mock.patch.object(sys, "argv", [stage, *arguments]):
        main: Callable[[], None] = importlib.import_module(f"stages.{stage}").main
        main()


def _validation_accuracy() -> float:
    from pipeline import tables

    validated = pd.read_parquet("data/train/validation.parquet")
    threshold = json.loads(Path("data/train/model.json").read_text(encoding="utf-8"))["thresholds"]["frame"]
    return float(((validated["score"] > threshold) == (validated["label"] == tables.FAKE)).mean())


def _figures(folder: Path) -> dict[str, dict[str, Any]]:
    rows = pd.read_parquet(folder / "metrics.parquet")
    rows = rows.astype(dict.fromkeys(("value", "lower", "upper"), object)).replace(np.nan, None)
    overall = (rows[["subset", "method", "compression"]] == "all").all(axis=1)
    rule = json.loads((folder / "rule.json").read_text(encoding="utf-8"))["videos"]
    found: dict[str, dict[str, Any]] = {}
    for row in rows[overall & rows["rule"].isin(["", rule])].itertuples():
        level = found.setdefault(str(row.level), {"real": row.real, "fake": row.fake})
        level[str(row.metric)] = row.value
        if row.metric == "auroc":
            level |= {"lower": row.lower, "upper": row.upper}
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of independent runs and half the width of its 95 % interval by Student's t; NaN for one run."""
    from scipy import stats

    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(half)


def with_interval(values: Sequence[float]) -> str:
    """Return `mean ± half width` of `interval` to three digits."""
    mean, half = interval(values)
    return f"{mean:.3f} ± {half:.3f}"


def with_bounds(figures: Mapping[str, Any]) -> str:
    """Return the AUROC of a level (see `train_and_evaluate`) with its interval, where it has one."""
    bounds = "no interval" if figures["lower"] is None else f"{figures['lower']:.3f} to {figures['upper']:.3f}"
    return f"{figures['auroc']:.3f} ({bounds})"
