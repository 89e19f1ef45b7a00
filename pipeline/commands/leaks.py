"""`veriframe leaks`: audit published split lists."""

import argparse
import json
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError


def add(commands: Subcommands) -> None:
    """Describe `veriframe leaks`."""
    text = "say what ties train, val and test of published split lists, without any media"
    command = commands.add_parser(
        "leaks",
        help=text,
        description=text.capitalize() + ".",
        epilog="Exit code 0: nothing ties the splits; 1: something does; 2: there is nothing that could be audited.",
    )
    command.add_argument("layout", metavar="LAYOUT", help="layout as in params.yaml, such as ffpp or celeb_df_v2")
    command.add_argument("--lists", required=True, type=Path, metavar="DIR", help="folder that holds the lists")
    command.add_argument("--json", action="store_true", help="print the facts as JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline import listed

    try:
        facts = listed.audit(arguments.layout, arguments.lists)
    except UserError as error:  # exit code 1 means leaks
        raise UsageError(str(error)) from None
    print(json.dumps(facts, indent=2) if arguments.json else listed.describe(facts))
    if facts["ties"]:
        raise SystemExit(1)
