"""`veriframe evaluate`: judge scores that others made."""

import argparse
import json
from pathlib import Path

from pipeline.commands import Subcommands
from pipeline.errors import UsageError, UserError


def add(commands: Subcommands) -> None:
    """Describe `veriframe evaluate`."""
    text = "judge scores that another detector gave a dataset's test videos, as this project judges its own"
    command = commands.add_parser(
        "evaluate",
        help=text,
        description=text.capitalize() + ". Run it in the project's root folder; the tables of the stages index and "
        "split are enough. FILE has the columns video (key, or path below the dataset's root) and score (probability "
        "of fake), and for scores of frames frame (index) or key. Test videos it lacks lower the coverage; its "
        "scores of val videos choose the thresholds. docs/evaluation.md says more.",
        epilog="Exit code 0: judged; 1: the file or the tables do not allow it; 2: the command cannot be meant.",
    )
    command.add_argument("key", metavar="KEY", help="key of the dataset")
    command.add_argument("--scores", required=True, type=Path, metavar="FILE", help="CSV, or Parquet by its suffix")
    command.add_argument("--logits", action="store_true", help="the scores are logits: take their sigmoid")
    command.add_argument(
        "--threshold", metavar="T", help="call a probability above T fake, 0 to 1 (default: chosen on val, else 0.5)"
    )
    command.add_argument(
        "--trained-on", metavar="KEY,KEY", help="datasets whose train and val were learned from (default: KEY's own)"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help="write the tables of the stage evaluate as well")
    command.add_argument("--json", action="store_true", help="print everything as JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    threshold = _threshold(arguments.threshold)
    trained_on = None if arguments.trained_on is None else _keys("--trained-on", arguments.trained_on)
    _keys("KEY", arguments.key)
    if not arguments.scores.is_file():
        raise UsageError(f"--scores: there is no file {arguments.scores}")

    from pipeline.evaluation import described, judging
    from pipeline.evaluation.evaluate import write
    from pipeline.exporting.source import refuse_out
    from pipeline.files import whole_folder

    if arguments.out:
        refuse_out(arguments.out)
    found = judging.judge(
        arguments.scores, arguments.key, logits=arguments.logits, threshold=threshold, trained_on=trained_on
    )
    if arguments.out:
        try:
            with whole_folder(arguments.out) as part:
                write(part, found.dataset, found.evaluation, found.guards_lifted)
                refuse_out(arguments.out)  # again: what somebody put there meanwhile would be gone
        except OSError as error:
            raise UserError(f"{arguments.out} cannot be written: {error.strerror or error}") from None
    print(json.dumps(described.as_json(found), indent=1) if arguments.json else described.in_words(found))


def _threshold(text: str | None) -> float | None:
    try:
        value = None if text is None else float(text)
    except ValueError:
        value = -1.0
    if value is not None and not 0 <= value <= 1:
        raise UsageError(f"--threshold must be a number from 0 to 1, not {text!r}")
    return value


def _keys(what: str, text: str) -> list[str]:
    """Return the dataset keys in `text`; UsageError unless the tables of each are here."""
    keys = list(dict.fromkeys(text.split(","))) if what != "KEY" else [text]
    for key in keys:
        for folder in (Path("data/index"), Path("data/split")):
            if not key or not (folder / key / "videos.parquet").is_file():
                raise UsageError(
                    f"{what}: there is no {folder / key / 'videos.parquet'}; name a dataset whose tables are here, or "
                    "pull them"
                )
    return keys
