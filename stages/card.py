"""card: what others need to know before they use a dataset. `python -m stages.card KEY`."""

import sys
from pathlib import Path

from pipeline import params
from pipeline.cards import croissant, facts, huggingface
from pipeline.errors import exit_on_user_error
from pipeline.files import whole_or_absent


def main() -> None:
    """Write data/card/KEY: README.md, a Hugging Face dataset card, and croissant.json, Croissant metadata."""
    key = params.dataset_key(sys.argv)
    out = Path("data/card") / key
    known = facts.gather(key)
    croissant.write(out / "croissant.json", croissant.metadata(known))
    with whole_or_absent(out / "README.md") as part:
        part.write_text(huggingface.card(known), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    exit_on_user_error(main)
