"""`veriframe summary`: what a branch changes, in Markdown of one screen."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.reporting.markdown import Baseline
    from pipeline.revisions import Revision

FIGURES = "reports/metrics/eval.json"


def add(commands: Subcommands) -> None:
    """Describe `veriframe summary`."""
    text = "say in Markdown of one screen what a branch changes: figures, parameters, data"
    command = commands.add_parser(
        "summary",
        help=text,
        description=text.capitalize() + ". Made for pull requests: numbers alone, no picture and no name of a video. "
        "Tables are read from the cache or the remote; nothing is checked out or run.",
    )
    command.add_argument("base", metavar="BASE", help="branch, tag or commit to compare with")
    command.add_argument("rev", metavar="REV", nargs="?", help="branch, tag or commit (default: the workspace)")
    command.add_argument("--out", type=Path, metavar="FILE", help="write it there (default: print it)")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline.files import whole_or_absent

    if arguments.out and arguments.out.is_dir():
        raise UsageError(f"{arguments.out} is a folder; name a file")
    text = _summary(arguments.base, arguments.rev)
    if arguments.out is None:
        print(text, end="")
        return
    try:
        with whole_or_absent(arguments.out) as part:
            part.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{arguments.out} cannot be written: {error.strerror}") from None


def _summary(base: str, rev: str | None) -> str:
    from pipeline.comparing import describe, facts
    from pipeline.reporting import report
    from pipeline.reporting.markdown import summarize
    from pipeline.reporting.run import read_run
    from pipeline.revisions import open_revision

    with open_revision(base) as before, open_revision(rev) as after:
        now = read_run(after)
        try:
            was = read_run(before)
        except UserError as error:
            unpaired = (
                f"The figures of {before.name} are those of {FIGURES}, without an interval of the differences: {error}."
            )
            return summarize(_in_git(before, str(error)), now, unpaired)
        changed = describe.sentence(facts.compare(before, after)).replace("->", "→")
        return report.render([was, now], "markdown", data=changed)


def _in_git(revision: "Revision", why: str) -> "Baseline":
    """Return what Git alone knows of a revision whose tables are out of reach: figures and parameters."""
    from pipeline.reporting.headline import Figures
    from pipeline.reporting.markdown import Baseline

    try:
        document = revision.read_json(FIGURES)
    except UserError as error:
        raise UserError(f"{why}; and there are no figures in Git either: {error}") from None
    entries = document.items() if isinstance(document, dict) else []
    figures: dict[str, Figures] = {
        key: {name: value for name, value in entry.items() if isinstance(value, int | float)}
        for key, entry in entries
        if isinstance(entry, dict)
    }
    if not any("auroc" in entry for entry in figures.values()):
        raise UserError(f"{why}; and {FIGURES} of {revision.name} holds no AUROC that this version of Veriframe finds")
    return Baseline(revision.name, revision.params(), figures, None)
