"""`veriframe preset`: published systems as values for params.yaml."""

import argparse

from pipeline.commands import Subcommands
from pipeline.errors import UsageError


def add(commands: Subcommands) -> None:
    """Describe `veriframe preset`."""
    text = "set params.yaml to what a published system does, as published or corrected"
    command = commands.add_parser(
        "preset",
        help=text,
        description=text.capitalize() + ". Run it in the project's root folder; docs/source_systems.md explains them.",
    )
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="name every preset")
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", help="print a preset with its comments")
    show.add_argument("name", metavar="NAME")
    show.set_defaults(run=_show)
    diff = actions.add_parser("diff", help="print in what a preset differs from params.yaml, or from another preset")
    diff.add_argument("name", metavar="NAME")
    diff.add_argument("other", metavar="NAME2", nargs="?")
    diff.set_defaults(run=_diff)
    apply = actions.add_parser("apply", help="write a preset's values into params.yaml, which keeps its comments")
    apply.add_argument("name", metavar="NAME")
    apply.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="THEIRS=MINE",
        help="use the dataset MINE of params.yaml in place of the preset's THEIRS; may be given several times",
    )
    apply.set_defaults(run=_apply)


def _list(arguments: argparse.Namespace) -> None:
    from pipeline import presets

    for name in presets.names():
        print(f"{name:14} {presets.summary(name)}")


def _show(arguments: argparse.Namespace) -> None:
    from pipeline import presets

    print(presets.text(arguments.name), end="")


def _diff(arguments: argparse.Namespace) -> None:
    from pipeline import presets

    if arguments.other:
        before, after = presets.read(arguments.name), presets.read(arguments.other)
    else:
        before, after = presets.current(), presets.laid_over(arguments.name)
    for line in presets.changes(before, after):
        print(line)


def _apply(arguments: argparse.Namespace) -> None:
    from pipeline import presets

    swaps: dict[str, str] = {}
    for pair in arguments.dataset:
        theirs, equals, mine = pair.partition("=")
        if not (theirs and equals and mine) or theirs in swaps:
            raise UsageError(f"--dataset {pair}: give THEIRS=MINE, each dataset of the preset once")
        swaps[theirs] = mine
    changed = presets.apply(arguments.name, swaps)
    for line in changed:
        print(line)
    print(f"params.yaml is {arguments.name}: {len(changed)} values changed")
