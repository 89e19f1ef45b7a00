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


if __name__ == "__main__":
    main()
