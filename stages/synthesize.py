"""Make a built-in raw dataset: rendered faces and forgeries in the layout of a real set. Argument: the layout."""

import sys
from pathlib import Path

from pydantic import Field

from pipeline import machine, params
from pipeline.errors import UserError, exit_on_user_error
from pipeline.synthetic.dataset import write_tree
from pipeline.synthetic.layouts import LAYOUTS


class Params(params.Section):
    """Section `synthesize` of params.yaml."""

    seed: int
    scale: float = Field(ge=0.3, le=20)


def main() -> None:
    """Write data/synthesize/<layout>/."""
    layout = sys.argv[1] if len(sys.argv) == 2 else ""
    if layout not in LAYOUTS:
        raise UserError(f"synthesize needs one layout out of {', '.join(LAYOUTS)}, not {sys.argv[1:]}")
    settings = params.load_section(Params, "synthesize")
    tree = LAYOUTS[layout](settings.seed, settings.scale)
    write_tree(tree, Path("data/synthesize") / layout, machine.workers())


if __name__ == "__main__":
    exit_on_user_error(main)
