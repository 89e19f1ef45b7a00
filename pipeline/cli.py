"""The `veriframe` command. Each subcommand is a function here that reads its arguments and calls the library."""

import argparse
import json
import os
import sys
from pathlib import Path

from pipeline.errors import UsageError, UserError, exit_on_user_error


def main() -> None:
    """Run the subcommand that the command line names."""
    parser = argparse.ArgumentParser(prog="veriframe", description="Audited, reproducible deepfake-detection datasets.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_synthesize(commands)
    _add_leaks(commands)
    _add_doctor(commands)
    _add_trace(commands)
    _add_forecast(commands)
    _add_cache(commands)
    arguments = parser.parse_args()
    try:
        exit_on_user_error(lambda: arguments.run(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def _add_synthesize(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "make a raw dataset: rendered faces, or forgeries of your own clips, in the layout of a real set"
    command = commands.add_parser("synthesize", help=text, description=text.capitalize() + ".")
    command.add_argument("--layout", required=True, help="celeb_df_v2, ffpp or dfdc; with --from-clips: celeb_df_v2")
    command.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder to make; must be absent or empty"
    )
    command.add_argument("--from-clips", type=Path, metavar="DIR", help="folder of video clips that show faces")
    command.add_argument(
        "--seed", type=int, default=1, help="whole number; another seed makes another dataset (default 1)"
    )
    command.add_argument(
        "--scale", type=float, help="number of videos against the built-in size, 0.3 to 20 (default 1)"
    )
    command.set_defaults(run=_synthesize)


def _synthesize(arguments: argparse.Namespace) -> None:
    from pipeline import machine
    from pipeline.synthetic.dataset import write_tree
    from pipeline.synthetic.layouts import LAYOUTS

    layout, out, clips, scale = arguments.layout, arguments.out, arguments.from_clips, arguments.scale
    if layout not in LAYOUTS:
        raise UsageError(f"--layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    if scale is not None and not 0.3 <= scale <= 20:
        raise UsageError(f"--scale must be 0.3 to 20, not {scale}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out: {out} exists and is not an empty folder; name another or remove it")
    if clips is None:
        tree = LAYOUTS[layout](arguments.seed, scale or 1.0)
        write_tree(tree, out, machine.workers())
        print(
            f"{out}: {len(tree.videos)} videos, {sum(video.forgery is not None for video in tree.videos)} of them fakes"
        )
        return
    if layout != "celeb_df_v2":
        raise UsageError(f"--from-clips makes the layout celeb_df_v2 only, not {layout}")
    if scale is not None:
        raise UsageError("--scale does not go with --from-clips: the clips decide how many videos there are")
    from pipeline.synthetic.clips import write_from_clips

    for line in write_from_clips(clips, out, arguments.seed, machine.workers()):
        print(line)


def _add_leaks(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "say what ties train, val and test of published split lists, without any media"
    command = commands.add_parser(
        "leaks",
        help=text,
        description=text.capitalize() + ".",
        epilog="Exit code 0: nothing ties the splits; 1: something does; 2: there is nothing that could be audited.",
    )
    command.add_argument("layout", metavar="LAYOUT", help="layout as in params.yaml, such as ffpp or celeb_df_v2")
    command.add_argument("--lists", required=True, type=Path, metavar="DIR", help="folder that holds the lists")
    command.add_argument("--json", action="store_true", help="print the facts as JSON")
    command.set_defaults(run=_leaks)


def _leaks(arguments: argparse.Namespace) -> None:
    from pipeline import listed

    try:
        facts = listed.audit(arguments.layout, arguments.lists)
    except UserError as error:  # exit code 1 means leaks
        raise UsageError(str(error)) from None
    print(json.dumps(facts, indent=2) if arguments.json else listed.describe(facts))
    if facts["ties"]:
        raise SystemExit(1)


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    command.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
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


def _add_trace(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "say what every stage made of a video or frame"
    command = commands.add_parser("trace", help=text, description=text.capitalize() + ", in the project's root folder.")
    command.add_argument(
        "name",
        metavar="VIDEO|FRAME",
        help="key of a video (dataset/method/compression/name), path below a dataset's root, or flat key of a frame",
    )
    command.set_defaults(run=_trace)


def _trace(arguments: argparse.Namespace) -> None:
    from pipeline import tracing

    print(tracing.trace(arguments.name))


def _add_forecast(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    command.set_defaults(run=_forecast)


def _forecast(arguments: argparse.Namespace) -> None:
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


def _add_cache(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    command.set_defaults(run=_cache)


def _cache(arguments: argparse.Namespace) -> None:
    from pipeline import machine, work_cache

    folder, days = machine.cache_folder(), arguments.prune
    if days is not None and not (days.isdecimal() and int(days) <= work_cache.MOST_DAYS):
        raise UsageError(f"--prune must be a whole number of days, 0 to {work_cache.MOST_DAYS}, not {days!r}")
    pruned = {} if days is None else {"pruned": work_cache.prune(folder, int(days))}
    report = work_cache.look(folder) | pruned
    print(json.dumps(report, indent=2) if arguments.json else work_cache.describe(report))


if __name__ == "__main__":
    main()
