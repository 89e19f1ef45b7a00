"""`veriframe doctor`: what a raw dataset holds, lacks and contradicts."""

import argparse
import json
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError


def add(commands: Subcommands) -> None:
    """Describe `veriframe doctor`."""
    text = "say what a raw dataset holds, lacks and contradicts, without writing anything beside it"
    command = commands.add_parser(
        "doctor",
        help=text,
        description=text.capitalize() + ".",
        epilog="Exit code 0: clean; 1: problems found; 2: there is nothing that could be examined.",
    )
    command.add_argument("layout", metavar="LAYOUT", help="layout as in params.yaml, such as ffpp; see docs/layouts.md")
    command.add_argument("path", metavar="PATH", type=Path, help="folder that holds the dataset")
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.add_argument("--sheet", type=Path, metavar="FILE.jpg", help="write a sheet of frames as well")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline import doctor, machine, scanning
    from pipeline.engines import local_engine

    if arguments.sheet is not None:
        _refuse_sheet(arguments.sheet, arguments.path)
    with local_engine(machine.workers(), scanning.TIMEOUT_S) as run:
        report, rows = doctor.examine(arguments.layout, arguments.path, run, machine.cache_folder() / "index")
        if arguments.sheet is not None:
            from pipeline.contact_sheet import contact_sheet
            from pipeline.files import whole_or_absent

            picture = contact_sheet(rows, arguments.path, run)
            with whole_or_absent(arguments.sheet) as part:
                part.write_bytes(picture)
    print(json.dumps(report, indent=2) if arguments.json else doctor.describe(report))
    if not report["clean"]:
        raise SystemExit(1)


def _refuse_sheet(sheet: Path, root: Path) -> None:
    """Refuse a place for the contact sheet before hours of work: nothing is ever written into a raw tree."""
    if sheet.suffix.lower() not in (".jpg", ".jpeg") or sheet.is_dir():
        raise UsageError(f"--sheet: {sheet} must be a file whose name ends in .jpg")
    if sheet.resolve().is_relative_to(root.resolve()):
        raise UsageError(f"--sheet: {sheet} lies in the dataset itself; write it elsewhere")
