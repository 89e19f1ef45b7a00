"""`veriframe diff`: what changed between two versions of the datasets."""

import argparse
import json
import sys
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError


def add(commands: Subcommands) -> None:
    """Describe `veriframe diff`."""
    text = "say what changed between two versions of the datasets, down to the frame"
    command = commands.add_parser(
        "diff",
        help=text,
        description=text.capitalize() + ". A version is a branch, tag or commit of this project or of another one; "
        "its tables are read from the cache or the remote, and nothing is checked out or run.",
        epilog="Exit code 0: the same; 1: different; 2: they, or a part of them, cannot be compared.",
    )
    command.add_argument("before", metavar="REV_A", help="branch, tag or commit")
    command.add_argument(
        "after", metavar="REV_B", nargs="?", help="another (default: the workspace; of another project its main branch)"
    )
    command.add_argument("--repo-a", metavar="URL", help="project of REV_A: path or Git URL (default: this one)")
    command.add_argument("--repo-b", metavar="URL", help="project of REV_B: path or Git URL (default: this one)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print everything as JSON, with complete lists")
    form.add_argument("--html", type=Path, metavar="FILE", help="write a page with the pictures that changed")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline.comparing import describe, facts, page
    from pipeline.revisions import open_revision

    if arguments.html and arguments.html.is_dir():
        raise UsageError(f"{arguments.html} is a folder; name a file")
    try:
        with (
            open_revision(arguments.before, arguments.repo_a) as before,
            open_revision(arguments.after, arguments.repo_b) as after,
        ):
            found = facts.compare(before, after)
            if arguments.html:
                page.write(arguments.html, found, before, after)
    except UserError as error:  # exit code 1 means that they differ
        raise UsageError(str(error)) from None
    if arguments.json:
        document = {"sentence": describe.sentence(found)} | found
        json.dump(document, sys.stdout, indent=1, default=lambda table: table.to_pylist())
        print()
    else:
        print(describe.sentence(found) if arguments.html else describe.describe(found))
    if found["same"] is not True:
        raise SystemExit(1 if found["same"] is False else 2)
