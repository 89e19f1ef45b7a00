"""`veriframe verify`: re-hash workspace, cache and remote."""

import argparse
import json

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError


def add(commands: Subcommands) -> None:
    """Describe `veriframe verify`."""
    text = "re-hash what dvc.lock and .dvc files record, and name every file that is missing, altered or extra"
    command = commands.add_parser(
        "verify",
        help=text,
        description=text.capitalize() + ". Run it anywhere in a DVC project. Workspace and cache are read to the last "
        "byte, whatever DVC remembers of them; shards are compared with their manifest.json and, sample by sample, "
        "with samples.parquet. Nothing is changed or fetched. An output that was never pulled is no problem.",
        epilog="Exit code 0: everything that is here is right; 1: problems found; 2: there is nothing that could be "
        "verified.",
    )
    command.add_argument(
        "--remote", metavar="NAME", help="read every object on this DVC remote as well; what it lacks is a problem"
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline.verification import verify

    try:
        report = verify.verify(arguments.remote)
    except UserError as error:  # exit code 1 means problems
        raise UsageError(str(error)) from None
    print(json.dumps(report, indent=2) if arguments.json else verify.describe(report))
    if report["findings"]:
        raise SystemExit(1)
