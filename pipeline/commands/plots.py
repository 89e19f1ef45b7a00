"""`veriframe plots`: the named plots of dvc.yaml as pictures, as DVC draws them, without a network."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError
from pipeline.files import whole_or_absent

VEGA_LITE = "5.8"  # of those that vl-convert holds the one nearest to what the page of DVC loads
SCALE = 2.0  # pixels of the picture for one of the page


def add(commands: Subcommands) -> None:
    """Describe `veriframe plots`."""
    text = "write the named plots of dvc.yaml as PNG pictures, without a network"
    command = commands.add_parser(
        "plots",
        help=text,
        description="Write"
        + text.removeprefix("write")
        + ". They are what `dvc plots` draws; its page needs a network.",
    )
    command.add_argument(
        "revisions", metavar="REV", nargs="*", help="branch, tag or commit; one is drawn with the workspace (default)"
    )
    command.add_argument(
        "--out", type=Path, default=Path("dvc_plots"), metavar="DIR", help="folder (default %(default)s)"
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    import vl_convert

    if arguments.out.is_file():
        raise UsageError(f"{arguments.out} is a file; name a folder")
    found = _drawn_by_dvc(arguments.revisions)
    for note in dict.fromkeys(map(_note, found.get("errors", []))):  # DVC says each for the plot and for its file
        print(note, file=sys.stderr)
    # Plots without a name, each output of a stage for itself, are called after their files.
    named = {name: drawings for name, drawings in found.get("data", {}).items() if "/" not in name}
    if not any(named.values()):
        raise UserError("no plot has any data; run `dvc repro`, or restore reports/ from Git")
    for name, drawings in named.items():
        picture = arguments.out / (re.sub(r"\W+", "_", name.lower()) + ".png")
        if not drawings:
            picture.unlink(missing_ok=True)  # of an earlier call
            print(f"{name}: no data")
            continue
        (drawing,) = drawings
        with whole_or_absent(picture) as part:
            part.write_bytes(vl_convert.vegalite_to_png(drawing["content"], vl_version=VEGA_LITE, scale=SCALE))
        print(f"{picture}: {name} of {', '.join(drawing['revisions'])}")


def _drawn_by_dvc(revisions: list[str]) -> dict[str, Any]:
    """Return what `dvc plots --json` says: `data`, by name a list of its drawings or of none, and `errors`."""
    action = ["diff", "--json", "--", *revisions] if revisions else ["show", "--json"]
    command = [sys.executable, "-m", "dvc", "plots", *action]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise UserError(f"DVC cannot draw: {told[0] if told else done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def _note(error: dict[str, str]) -> str:
    what = "is not there" if error["type"] == "FileNotFoundError" else error["msg"]
    return f"note: {error.get('source', 'dvc.yaml')} of {error['rev']}: {what}"
