"""Which pictures are learned from and which are validated on; how published systems dealt them out frame by frame."""

from typing import Annotated, Literal

import pandas as pd
from pydantic import Field

from pipeline.params import Section


class Deal(Section):
    """Dealing single pictures out, whatever video they are of: `train.deal` of params.yaml explains each knob."""

    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(ge=0, lt=1)]
    copies: Annotated[int, Field(ge=1, le=10)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


def parts(samples: pd.DataFrame, deal: Deal | None, validate_on: Literal["val", "test"]) -> pd.DataFrame:
    """Return the rows of `samples` (tables.SAMPLES) that a training uses, with two more columns `part` and `copy`.

    `part` is train, val or test. Without `deal` it is the split, of train and of `validate_on`, which becomes the part
    val. With `deal` the pictures of train and val (where `deal.test` > 0: of all three splits), each `copies` times
    (`copy` = 0, 1, ...), are shuffled by their keys and the seed and dealt out: `val` and `test` are shares.
    """
    raise NotImplementedError
