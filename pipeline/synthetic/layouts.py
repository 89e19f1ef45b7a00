"""The layouts in which synthetic raw datasets are made, by name: (seed, scale) -> everything the dataset holds."""

from collections.abc import Callable

from pipeline.synthetic import celeb_df, dfdc, ffpp
from pipeline.synthetic.dataset import Tree

LAYOUTS: dict[str, Callable[[int, float], Tree]] = {
    "celeb_df_v2": celeb_df.plan,
    "ffpp": ffpp.plan,
    "dfdc": dfdc.plan,
}
