"""Which pictures are learned from and which are validated on; how published systems dealt them out frame by frame."""

from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, model_validator

from pipeline.errors import UserError
from pipeline.files import sha256_of_text
from pipeline.params import Section


class Deal(Section):
    """Dealing single pictures out, whatever video they are of: `train.deal` of params.yaml explains each knob."""

    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(ge=0, lt=1)]
    copies: Annotated[int, Field(ge=1, le=10)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _something_is_left(self) -> "Deal":
        if self.val + self.test >= 1:
            raise ValueError("val and test together must leave something to learn from: less than 1")
        return self


def parts(samples: pd.DataFrame, deal: Deal | None, validate_on: Literal["val", "test"]) -> pd.DataFrame:
    """Return the rows of `samples` (tables.SAMPLES) that a training uses, with two more columns `part` and `copy`.

    `part` is train, val or test. Without `deal` it is the split, of train and of `validate_on`, which becomes the part
    val. With `deal` the pictures of train and val (where `deal.test` > 0: of all three splits), each `copies` times
    (`copy` = 0, 1, ...), are shuffled by their keys and the seed and dealt out: `val` and `test` are shares.

    Rows come by dataset, key and copy, whatever the order of `samples`. Raises UserError where both `deal` and
    `validate_on: test` are asked for, or where a share is too small for a picture.
    """
    if deal is None:
        chosen = samples[samples["split"].isin(["train", validate_on])]
        part = chosen["split"].where(chosen["split"] == "train", "val")
        return _ordered(chosen.assign(part=part, copy=0))
    if validate_on == "test":
        raise UserError("params.yaml: train.deal deals out its own validation pictures; set train.validate_on to val")
    dealt = ["train", "val", "test"] if deal.test else ["train", "val"]
    pool = samples[samples["split"].isin(dealt)]
    pool = pd.concat([pool.assign(copy=copy) for copy in range(deal.copies)], ignore_index=True)
    chance = [sha256_of_text("deal", deal.seed, *place) for place in zip(pool["key"], pool["copy"], strict=True)]
    shuffled = pool.iloc[pd.Series(chance).argsort()]
    shares = {"train": 1 - deal.val - deal.test, "val": deal.val, "test": deal.test}
    counts = _counts(len(pool), shares)
    if empty := [name for name, count in counts.items() if shares[name] and not count]:
        raise UserError(f"params.yaml: train.deal leaves no picture of {len(pool)} for {empty[0]}; set a larger share")
    return _ordered(shuffled.assign(part=[name for name, count in counts.items() for _ in range(count)]))


def _counts(total: int, shares: dict[str, float]) -> dict[str, int]:
    """Return how many of `total` each share gets, by the largest remainder: all of them, none off by one or more."""
    exact = {name: total * share for name, share in shares.items()}
    # 0.2 x 5 is 1, but 5 x (1 - 0.8) a little less in binary numbers.
    counts = {name: int(number + 1e-9) for name, number in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["dataset", "key", "copy"], ignore_index=True)
