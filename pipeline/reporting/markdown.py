"""The report as Markdown of one screen: what a pull request needs, numbers alone, no picture and no name of a video."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pipeline.cards.markdown import bullets, code, paragraphs, table
from pipeline.reporting import comparison, facts, results
from pipeline.reporting.caveats import caveats
from pipeline.reporting.headline import Figures, headline
from pipeline.reporting.run import Run
from pipeline.tables import CLASSES, SPLITS
from pipeline.wording import printable

CAVEATS = 5  # that are in sight; the others are folded
PARAMETERS = 12  # that are in sight
LONGEST = 60  # characters of a parameter's value
UNKNOWN = "–"
NOTHING = ["0 + 0"] * len(SPLITS)


class Baseline(NamedTuple):
    """What is known of the earlier side of a comparison.

    `figures` is what reports/metrics/eval.json holds; `run` is None where only that and `params` are within reach.
    """

    name: str
    params: dict[str, Any]
    figures: dict[str, Figures]
    run: Run | None


def render_markdown(runs: list[Run], data: str = "") -> str:
    """Return a summary of one run, or of what each later run changes against the first, as GitHub shows it.

    `data` is as for `summarize`.
    """
    first, *later = runs
    return paragraphs(summarize(baseline(first), run, data=data) for run in later) if later else _alone(first)


def baseline(run: Run) -> Baseline:
    """Return all that is known of a run."""
    return Baseline(run.name, run.params, headline(run.datasets), run)


def summarize(before: Baseline, after: Run, unpaired: str = "", data: str = "") -> str:
    """Return what changes from one side to the other.

    `unpaired` says why `before` has no run; `data` is a sentence on what changed in the data.
    """
    figures = headline(after.datasets)
    rows = comparison.differences([before.run, after]) if before.run else _unpaired(before.figures, figures)
    blocks = [
        f"## {_code(before.name)} → {_code(after.name)}",
        _sentences(rows),
        _plain(unpaired),
        _table(after.trained_on, figures, before.figures, rows),
        *_notes(rows),
        _parameters(before.params, after.params),
        *(_data(before.run, after, data) if before.run else []),
        *_limits(after),
        _folded("All figures of the test videos", _all_figures([before.run, after] if before.run else [after])),
        _folded("Differences on the videos that both scored", _all_differences(rows)) if before.run else "",
    ]
    return paragraphs(filter(None, blocks)) + "\n"


def _alone(run: Run) -> str:
    figures = headline(run.datasets)
    said = [f"{_auroc(found)} on {_code(key)}" for key, found in figures.items()]
    blocks = [
        f"## {_code(run.name)}",
        f"{_code(run.card['model'])}, trained on {', '.join(map(_code, run.trained_on))}: AUROC {', '.join(said)}.",
        _table(run.trained_on, figures),
        *_limits(run),
        _folded("All figures of the test videos", _all_figures([run])),
    ]
    return paragraphs(blocks) + "\n"


def _unpaired(before: dict[str, Figures], after: dict[str, Figures]) -> list[comparison.Row]:
    """Return rows like those of comparison.differences where of the first only its own figures are known."""
    rows: list[comparison.Row] = []
    for key in after.keys() & before.keys():
        first, second = before[key].get("auroc"), after[key]["auroc"]
        difference = None if first is None or second is None else second - first
        row = {"dataset": key, "metric": "auroc", "first": first, "second": second, "difference": difference}
        rows.append(row | {"lower": None, "upper": None, "note": ""})
    return sorted(rows, key=lambda row: list(after).index(row["dataset"]))


def _sentences(rows: list[comparison.Row]) -> str:
    """Say of each dataset whether the AUROC changed: what clearly did first."""
    rows = [row for row in rows if row["metric"] == "auroc"]
    said = [_sentence(row) for row in sorted(rows, key=lambda row: not comparison.clear(row))]
    return " ".join(said) or "No dataset is evaluated by both."


def _sentence(row: comparison.Row) -> str:
    said = comparison.in_words(row | {"dataset": _code(row["dataset"])})
    said = said[0].upper() + said[1:]
    return f"**{said}.**" if comparison.clear(row) else f"{said}."


def _table(
    trained_on: list[str],
    after: dict[str, Figures],
    before: dict[str, Figures] | None = None,
    rows: Sequence[comparison.Row] = (),
) -> str:
    """One line per dataset: its figures, before → after where there is a before."""
    changes = {row["dataset"]: row for row in rows if row["metric"] == "auroc"}
    lines = []
    for key in dict.fromkeys([*after, *(before or {})]):
        sides = [side.get(key, {}) for side in (before, after) if side is not None]
        lines.append(
            {
                "Dataset": _code(key) + (" (trained on)" if key in trained_on else ""),
                "AUROC": _arrow([_auroc(side) for side in sides]),
                "Difference": _difference(changes[key]) if key in changes else UNKNOWN,
                "Leak-free AUROC": _arrow([_value(side.get("auroc_leak_free")) for side in sides]),
                "EER": _arrow([_value(side.get("eer")) for side in sides]),
                "Coverage": _arrow([_percent(side.get("coverage")) for side in sides]),
            }
        )
    heads = [head for head in lines[0] if before is not None or head != "Difference"]
    return table(heads, [[line[head] for head in heads] for line in lines])


def _notes(rows: list[comparison.Row]) -> Iterator[str]:
    held: dict[str, list[str]] = {}
    for row in rows:
        for note in filter(None, row["note"].split("; ")):
            keys = held.setdefault(note, [])
            if row["dataset"] not in keys:
                keys.append(row["dataset"])
    if held:
        yield bullets(f"{', '.join(map(_code, keys))}: {_plain(note)}." for note, keys in held.items())


def _parameters(before: dict[str, Any], after: dict[str, Any]) -> str:
    rows = comparison.changed_values([before, after])
    if not rows:
        return "**Parameters**: the same."
    lines = [[_code(row["name"]), *(_code(value[:LONGEST]) for value in row["values"])] for row in rows]
    seen, more = (table(["Parameter", "Before", "After"], part) for part in (lines[:PARAMETERS], lines[PARAMETERS:]))
    return paragraphs([seen, _folded("More parameters", more)] if len(lines) > PARAMETERS else [seen])


def _data(before: Run, after: Run, said: str) -> Iterator[str]:
    """What is `said` of the data, and videos and frames, real + fake, of each dataset and split, where they changed."""
    were, are = _counts(before), _counts(after)
    lines = [
        [f"{_code(key)}, {what}", *map(_arrow, zip(was, now, strict=True))]
        for key, what in dict.fromkeys([*are, *were])
        if (was := were.get((key, what), NOTHING)) != (now := are.get((key, what), NOTHING))
    ]
    same = "As many videos and frames in every split and class."
    yield f"**Data**: {_plain(said) or ('Other counts.' if lines else same)}"
    if lines:
        yield table(["Real + fake", *SPLITS], lines)


def _counts(run: Run) -> dict[tuple[str, str], list[str]]:
    """Return by dataset and what is counted (videos, frames) how many reals and fakes each split has."""
    counts = {}
    for dataset in run.datasets:
        cells = {(row["split"], row["class"]): row for row in facts.counts(dataset)}
        for what, column in (("videos", "videos"), ("frames", "kept")):
            numbers = [[cells.get((split, name), {column: 0})[column] for name in CLASSES.values()] for split in SPLITS]
            counts[dataset.key, what] = [f"{real:,} + {fake:,}" for real, fake in numbers]
    return counts


def _limits(run: Run) -> Iterator[str]:
    """Guards that were lifted, and the caveats; what is particular to these data before what holds for any."""
    lifted = [row["name"] for row in facts.lifted(run.card, run.datasets)]
    said = caveats(run.datasets, run.trained_on, lifted)
    if lifted:
        names = ", ".join(_code(name) for name in dict.fromkeys(lifted))
        yield f"**Guards lifted**: {names}."
    general = caveats([], run.trained_on, [])
    said = [sentence for sentence in said if sentence not in general] + general
    yield "**What may not be concluded**\n\n" + bullets(map(_plain, said[:CAVEATS]))
    if len(said) > CAVEATS:
        yield _folded(f"{len(said) - CAVEATS} more", bullets(map(_plain, said[CAVEATS:])))


def _all_figures(runs: list[Run]) -> str:
    """Every metric of the videos, a line each, a column per dataset."""
    keys = list(dict.fromkeys(dataset.key for run in reversed(runs) for dataset in run.datasets))
    known = [{dataset.key: results.figures(dataset) for dataset in run.datasets} for run in runs]
    lines = [
        [title, *(_arrow([_value(run.get(key, {}).get(name, {}).get("value")) for run in known]) for key in keys)]
        for name, title in results.TITLES.items()
    ]
    return table(["Metric", *map(_code, keys)], lines)


def _all_differences(rows: list[comparison.Row]) -> str:
    lines = [
        [
            _code(row["dataset"]),
            results.TITLES[row["metric"]],
            f"{_value(row['first'])} → {_value(row['second'])}",
            _difference(row),
            _p(row["p"]),
            row["items"],
            row["groups"],
        ]
        for row in rows
    ]
    return table(["Dataset", "Metric", "Before → after", "Difference", "DeLong", "Videos", "Groups"], lines)


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _arrow(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else " → ".join(values)


def _value(figure: float | None) -> str:
    return UNKNOWN if figure is None else f"{figure:.3f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def _auroc(figures: Figures) -> str:
    lower, upper = figures.get("auroc_lo"), figures.get("auroc_hi")
    ends = "" if lower is None or upper is None else f" ({lower:.3f} to {upper:.3f})"
    return _value(figures.get("auroc")) + ends


def _difference(row: comparison.Row) -> str:
    ends = "" if row["lower"] is None else f" ({comparison.signed(row['lower'])} to {comparison.signed(row['upper'])})"
    return comparison.signed(row["difference"]) + ends


def _p(p: float | None) -> str:
    return "" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _code(text: str) -> str:
    return code(printable(text))


def _plain(text: str) -> str:
    """Return text in which nothing is Markdown or HTML. A `_` within a word is none, and stays readable."""
    return re.sub(r"([\\`*<>|~#\[\]&])", r"\\\1", printable(text))
