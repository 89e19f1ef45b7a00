"""`veriframe trace`: what every stage made of a video or frame."""

import argparse

from pipeline.commands import Subcommands


def add(commands: Subcommands) -> None:
    """Describe `veriframe trace`."""
    text = "say what every stage made of a video or frame"
    command = commands.add_parser("trace", help=text, description=text.capitalize() + ", in the project's root folder.")
    command.add_argument(
        "name",
        metavar="VIDEO|FRAME",
        help="key of a video (dataset/method/compression/name), path below a dataset's root, or flat key of a frame",
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline import tracing

    print(tracing.trace(arguments.name))
