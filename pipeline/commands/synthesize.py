"""`veriframe synthesize`: make a raw dataset."""

import argparse
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError


def add(commands: Subcommands) -> None:
    """Describe `veriframe synthesize`."""
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
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
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
