"""What extraction is going to do for a dataset: its knobs, its ranked frames and quotas, and where its videos lie."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from pipeline import machine, params, tables
from pipeline.errors import UserError
from pipeline.extracting import footage
from pipeline.extracting.answers import Recipe
from pipeline.extracting.footage import Footage


class Params(params.Section):
    """The section `extract` of params.yaml."""

    faces: Literal["mtcnn", "none"]
    boxes: Literal["per_video", "from_original"]
    detection_side: int = Field(ge=120, le=4096)
    min_face: int = Field(ge=20, le=2000)
    min_probability: float = Field(ge=0, le=1)
    min_sharpness: float = Field(ge=0)
    margin: float = Field(ge=0, le=2)
    crop_quality: Annotated[int, Field(ge=50, le=100)] | None
    on_shortfall: Literal["warn", "fail"]
    tars: int = Field(ge=1, le=4096)
    timeout: float = Field(gt=0)


@dataclass(frozen=True)
class Plan:
    """The ranked frames (tables.RANKED), the quotas (tables.QUOTAS), and how to ask for frames."""

    knobs: Params
    frames: pd.DataFrame
    cells: pd.DataFrame
    footage: Footage


def load(key: str) -> Plan:
    """Read what extraction of the dataset `key` needs; UserError where a table or the raw tree is missing."""
    knobs = params.load_section(Params, "extract", key)
    root = params.load_dataset(key).root
    if not root.is_dir():
        raise UserError(f"datasets.{key}.root: there is no folder {root}; extract needs the raw videos that index saw")
    index = tables.read(Path("data/index") / key / "videos.parquet", tables.VIDEOS, footage.COLUMNS)
    recipe = Recipe(**knobs.model_dump(exclude={"boxes", "on_shortfall", "tars", "timeout"}))
    return Plan(
        knobs=knobs,
        frames=tables.read(Path("data/reduce") / key / "frames.parquet", tables.RANKED, categories=True),
        cells=tables.read(Path("data/reduce") / key / "quotas.parquet", tables.QUOTAS),
        footage=Footage(
            videos=footage.opened(index),
            root=root,
            recipe=recipe,
            from_original=knobs.boxes == "from_original",
            cache=machine.cache_folder() / "extract",
        ),
    )
