"""`veriframe cache`: show and prune the work cache."""

import argparse
import json

from pipeline.commands import Subcommands
from pipeline.errors import UsageError


def add(commands: Subcommands) -> None:
    """Describe `veriframe cache`."""
    text = "say what the work cache holds, and remove what was not used for long"
    command = commands.add_parser(
        "cache",
        help=text,
        description=text.capitalize() + ". What is removed is made again when it is needed: it costs time and changes "
        "no result. Do not prune while extract or train is running: it may still need what would go.",
    )
    command.add_argument(
        "--prune",
        metavar="DAYS",
        help="remove crops and epochs that no run has used for so many days, a whole number; 0 removes them all. "
        "The facts of raw files are small and stay",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline import machine, work_cache

    folder, days = machine.cache_folder(), arguments.prune
    if days is not None and not (days.isdecimal() and int(days) <= work_cache.MOST_DAYS):
        raise UsageError(f"--prune must be a whole number of days, 0 to {work_cache.MOST_DAYS}, not {days!r}")
    pruned = {} if days is None else {"pruned": work_cache.prune(folder, int(days))}
    report = work_cache.look(folder) | pruned
    print(json.dumps(report, indent=2) if arguments.json else work_cache.describe(report))
