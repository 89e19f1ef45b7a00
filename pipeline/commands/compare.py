"""`veriframe compare`: one page about several runs."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError

WORKSPACE = "workspace"


def add(commands: Subcommands) -> None:
    """Describe `veriframe compare`."""
    text = "write one page about several runs: what differs, and how good each is"
    command = commands.add_parser(
        "compare",
        help=text,
        description=text.capitalize()
        + ". A run is a branch, tag, commit or experiment of this project, or `workspace`; "
        "its tables are read from the cache or the remote, and nothing is checked out or run.",
    )
    command.add_argument(
        "revisions", metavar="REV", nargs="+", help="branch, tag, commit or `workspace`; first the baseline"
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=Path("compare.html"),
        help="page to write (default: %(default)s); a name that ends in .md gets a summary in Markdown",
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from dataclasses import replace

    from pipeline.files import whole_or_absent
    from pipeline.progress import counting
    from pipeline.reporting import report
    from pipeline.reporting.knobs import knobs_of
    from pipeline.reporting.run import read_run
    from pipeline.revisions import open_revision

    names, out = arguments.revisions, arguments.out
    if len(set(names)) < len(names):
        raise UsageError(f"{' '.join(names)}: one revision is named twice; name different ones")
    if out.is_dir():
        raise UsageError(f"{out} is a folder; name a file")
    with ExitStack() as opened, counting("reading runs", len(names), "run") as show:
        runs = []
        for name in names:
            revision = opened.enter_context(open_revision(None if name == WORKSPACE else name))
            runs.append(read_run(revision))
            show(len(runs), "")
        knobs = knobs_of(runs[0].params)
        faces = all(knobs_of(run.params).pictures for run in runs)
        text = report.render(runs, "markdown" if out.suffix == ".md" else "html", replace(knobs, pictures=faces))
    with whole_or_absent(out) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    print(f"{out} compares {', '.join(run.name for run in runs)}")
