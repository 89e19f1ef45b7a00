"""`veriframe forecast`: what extraction will take on this machine."""

import argparse
import json
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError


def add(commands: Subcommands) -> None:
    """Describe `veriframe forecast`."""
    text = "say what extraction will take on this machine: frames to decode, time, disk"
    command = commands.add_parser(
        "forecast",
        help=text,
        description=text.capitalize() + ". Run it in the project's root folder, after the stage reduce. To measure, it "
        "really extracts some videos; what they give stays in the work cache.",
        epilog="Exit code 0: there is room for everything; 1: there is not; 2: no forecast can be made.",
    )
    command.add_argument("keys", nargs="*", metavar="KEY", help="keys of datasets in params.yaml (default: all)")
    command.add_argument(
        "--seconds", type=float, default=30, metavar="S", help="time for measuring, about, in seconds (default 30)"
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from pipeline import params
    from pipeline.forecasting import forecast

    if not 0 <= arguments.seconds <= 86400:
        raise UsageError(f"--seconds must be 0 to 86400, not {arguments.seconds}")
    try:
        known = params.load_datasets()
        for key in arguments.keys:
            params.load_dataset(key)
        keys = list(dict.fromkeys(arguments.keys)) or list(known)
        report = forecast.forecast(keys, arguments.seconds, *_dvc_cache())
    except UserError as error:  # exit code 1 means that there is no room
        raise UsageError(str(error)) from None
    print(json.dumps(report, indent=2) if arguments.json else forecast.describe(report))
    if not all(disk["fits"] for disk in report["disks"]):
        raise SystemExit(1)


def _dvc_cache() -> tuple[Path | None, bool]:
    """Return the folder of DVC's cache, if there is one, and whether its files are linked into data/, not copied."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_objects.fs.generic import test_links

    try:
        with Repo() as repo:
            cache = repo.cache.local
            # As DVC does, the first kind that works is taken; tried out with a file beside data/extract.
            works = test_links(cache.cache_types, cache.fs, cache.path, repo.fs, str(Path("data/extract").absolute()))
    except DvcException:  # this is no DVC project
        return None, False
    return Path(cache.path), works[:1] != ["copy"]
