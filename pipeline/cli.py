"""The `veriframe` command; its subcommands are in pipeline/commands."""

import argparse
import os
import sys

from pipeline.commands import (
    cache,
    compare,
    diff,
    doctor,
    evaluate,
    export,
    forecast,
    leaks,
    plots,
    preset,
    summary,
    synthesize,
    trace,
    verify,
)
from pipeline.errors import exit_on_user_error

COMMANDS = (
    synthesize,
    preset,
    doctor,
    leaks,
    trace,
    forecast,
    export,
    verify,
    evaluate,
    diff,
    compare,
    summary,
    plots,
    cache,
)


def main() -> None:
    """Run the subcommand that the command line names."""
    parser = argparse.ArgumentParser(prog="veriframe", description="Audited, reproducible deepfake-detection datasets.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args()
    try:
        exit_on_user_error(lambda: arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


if __name__ == "__main__":
    main()
