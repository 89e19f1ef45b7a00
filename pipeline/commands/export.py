"""`veriframe export`: a dataset in the forms that other tools read."""

import argparse
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError

FORMATS = {
    "imagefolder": "class folders for torchvision's ImageFolder: by video, flat, reduced",
    "deepfakebench": "frames and JSON for DeepfakeBench",
    "manifest": "pictures and one table of them, to be read again with the layout `manifest`",
    "huggingface": "shards and cards for Hugging Face's datasets",
}
TABLES = ("csv", "parquet")


def add(commands: Subcommands) -> None:
    """Describe `veriframe export`."""
    text = "write a dataset in a form that other tools read"
    command = commands.add_parser(
        "export",
        help=text,
        description=text.capitalize()
        + ". Run it in the project's root folder, after the stage shard; the shards alone "
        "are enough. The pictures keep their bytes. docs/exports.md says what each form carries.",
        epilog="FORMAT is one of: " + "; ".join(f"{name}: {meaning}" for name, meaning in FORMATS.items()) + ".",
    )
    command.add_argument("format", metavar="FORMAT", help=", ".join(FORMATS))
    command.add_argument("key", metavar="KEY", help="key of a dataset in params.yaml")
    command.add_argument("out", metavar="OUT", type=Path, help="folder to make; must be absent or empty")
    command.add_argument(
        "--table",
        metavar="KIND",
        help="manifest of loose pictures as csv or parquet (default csv); not with huggingface",
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    form, out, table = arguments.format, arguments.out, arguments.table
    if form not in FORMATS:
        raise UsageError(f"FORMAT must be one of {', '.join(FORMATS)}, not {form!r}")
    if table is not None and table not in TABLES:
        raise UsageError(f"--table must be one of {', '.join(TABLES)}, not {table!r}")
    if table is not None and form == "huggingface":
        raise UsageError("--table does not go with huggingface: it has samples.parquet")

    from pipeline import machine
    from pipeline.engines import local_engine
    from pipeline.exporting import deepfakebench, huggingface, imagefolder, manifest
    from pipeline.exporting.source import open_source, refuse_out
    from pipeline.files import whole_folder

    refuse_out(out)
    source = open_source(arguments.key)
    try:
        with whole_folder(out) as part, local_engine(machine.workers()) as run:
            if form == "huggingface":
                huggingface.export(source, part, run)
            else:
                loose = {"imagefolder": imagefolder, "deepfakebench": deepfakebench, "manifest": manifest}[form]
                loose.export(source, part, run, table or "csv")
            refuse_out(out)  # again: what somebody put there meanwhile would be gone
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from None
    print(f"{out}: {len(source.samples):,} pictures of {source.samples.video.nunique():,} videos as {form}")
    if form != "huggingface" and source.videos is None:
        print(f"data/index/{source.key} is not here: the manifest says nothing of recordings, persons and originals")
    if form == "deepfakebench" and source.layout is None:
        print("params.yaml is not here: the labels have the names of no published dataset")
