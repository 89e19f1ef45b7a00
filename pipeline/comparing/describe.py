"""Tell what changed between two versions: one sentence, then what it is made of."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.comparing.facts import Facts, changes
from pipeline.comparing.parameters import shown
from pipeline.tables import CLASSES
from pipeline.wording import in_words, printable

EXAMPLES = 10  # rows of each list that the text shows; --json has them all
NAMED = 3  # parameters that the sentence names

# Each list of changes: part, name, its title, how the sentence counts it, and its columns: what a reader sees -> which.
_VIDEO = {"video": "video", "split": "split", "class": "label", "status": "status", "reason": "reason"}
_FROM_TO = {"video": "video", "before": "before", "after": "after"}
_SAMPLE = {"sample": "key", "split": "split", "class": "label"}
_SAMPLE_FROM_TO = {"sample": "key", "split": "split", "class": "label", "before": "before", "after": "after"}
LISTS: list[tuple[str, str, str, str, dict[str, str]]] = [
    ("videos", "added", "Videos added", "added", _VIDEO),
    ("videos", "removed", "Videos removed", "removed", _VIDEO),
    ("videos", "replaced", "Videos whose file changed (SHA-256)", "whose file changed", _FROM_TO),
    ("videos", "rejected", "Videos no longer usable", "no longer usable", {"video": "video", "reason": "reason"}),
    ("videos", "accepted", "Videos newly usable", "newly usable", {"video": "video", "reason before": "reason"}),
    ("videos", "rejected_otherwise", "Videos rejected for another reason", "rejected for another reason", _FROM_TO),
    ("videos", "relabelled", "Videos relabelled", "relabelled", _FROM_TO),
    ("videos", "resplit", "Videos re-split", "re-split", _FROM_TO),
    ("videos", "regrouped", "Videos re-grouped", "re-grouped", _FROM_TO),
    ("videos", "described", "Videos otherwise described", "otherwise described", {**_FROM_TO, "fact": "fact"}),
    ("videos", "other_files_added", "Other files added", "", {"path": "path"}),
    ("videos", "other_files_removed", "Other files removed", "", {"path": "path"}),
    ("samples", "added", "Samples added", "added", {**_SAMPLE, "before": "why"}),
    ("samples", "removed", "Samples removed", "removed", {**_SAMPLE, "now": "why"}),
    ("samples", "replaced", "Samples replaced: another picture", "replaced", _SAMPLE),
    ("samples", "relabelled", "Samples relabelled", "relabelled", _SAMPLE_FROM_TO),
    ("samples", "resplit", "Samples re-split", "re-split", _SAMPLE_FROM_TO),
]


class Listed(NamedTuple):
    """A list of changes, ready to be shown: a title, the number of entries, why they changed, and some of them."""

    title: str
    entries: int
    reasons: str
    columns: list[str]
    rows: list[list[str]]


def sentence(facts: Facts) -> str:
    """Return in one sentence what changed."""
    before, after = (printable(facts[side]["name"]) for side in ("before", "after"))
    told = {printable(key): _summary(dataset) for key, dataset in facts["datasets"].items()}
    if facts["same"]:
        return f"{before} and {after} have the same datasets: {', '.join(told)}."
    if facts["same"] is None:
        return f"Nothing differs between {before} and {after} in what could be compared, which is not everything."
    return f"From {before} to {after}, {'; '.join(f'{key}: {summary}' for key, summary in told.items())}."


def describe(facts: Facts) -> str:
    """Return what changed as text: the sentence, and for each dataset that is not the same its changes."""
    blocks = [sentence(facts)]
    for key, dataset in facts["datasets"].items():
        if lines := _details(dataset):
            blocks.append("\n".join([printable(key), *lines]))
    return "\n\n".join(blocks)


def listed(dataset: Facts, examples: int) -> list[Listed]:
    """Return the lists of changes of a dataset that are not empty, with at most `examples` rows each."""
    found = []
    for part, name, title, _, columns in LISTS:
        table = (dataset.get(part) or {}).get(name)
        if table is None or not len(table):
            continue
        columns = {head: column for head, column in columns.items() if column in table.column_names}
        reasons = next((column for column in ("why", "reason") if column in columns.values()), None)
        rows = table.slice(0, examples).select(list(columns.values())).to_pylist()
        shown = [[_value(name, column, row[column]) for column in columns.values()] for row in rows]
        told = _tally(table, reasons) if reasons else ""
        told = f"{list(columns)[-1]}: {told}" if reasons == "why" else told
        found.append(Listed(title, len(table), told, list(columns), shown))
    return found


def figures(dataset: Facts) -> Iterator[tuple[str, str]]:
    """Yield what changed beside the lists: (what, from what to what)."""
    for knob in dataset.get("params", []):
        yield printable(knob["name"]), f"{shown(knob['before'])} -> {shown(knob['after'])}"
    cells_of_quotas: dict[str, list[str]] = {}
    for row in (dataset.get("quotas") or {}).get("changed", []):
        what = {"quota": "frames"}.get(row["what"], row["what"].replace("_", " "))
        change = f"{what} {shown(row['before'])} -> {shown(row['after'])}"
        cells_of_quotas.setdefault(f"quota of {row['split']} {CLASSES[row['label']]}", []).append(change)
    for cell, told in cells_of_quotas.items():
        yield cell, ", ".join(told)
    for what in ("removed", "added"):
        for recipe in (dataset.get("recipe") or {}).get(what, []):
            yield f"recipe {what}", printable(recipe)
    shards = dataset.get("shards")
    if shards and (differ := _different_shards(shards)):
        yield "shards", f"{differ} of {shards['before'] + len(shards['added'])} differ"
        for what in ("changed", "added", "removed"):
            if shards[what]:
                yield f"shards {what}", _some(shards[what])
        yield "to fetch anew", in_words(shards["bytes_to_fetch"])


def counts(dataset: Facts) -> list[tuple[str, str, str]]:
    """Return how many videos and samples there were and are: (what, before, after)."""
    found = []
    if videos := dataset.get("videos"):
        found += [(f"videos {what}", videos["before"][what], videos["after"][what]) for what in ("listed", "usable")]
    if samples := dataset.get("samples"):
        found.append(("samples", samples["before"], samples["after"]))
    return [(what, f"{was:,}", f"{now:,}") for what, was, now in found]


def _summary(dataset: Facts) -> str:
    """Return what happened to one dataset, for the sentence."""
    if dataset["state"] == "same":
        return "the same in what could be compared" if dataset["not_compared"] else "the same"
    if dataset["state"] != "changed":
        side = "after" if dataset["state"] == "added" else "before"
        videos, samples = dataset["videos"], dataset["samples"]
        held = [_number(videos[side]["usable"], "usable video")] if videos else []
        held += [_number(samples[side], "sample")] if samples else []
        return f"{dataset['state']} as a whole" + (f" ({', '.join(held)})" if held else "")
    told = [*_counted(dataset, "videos", "video"), *_counted(dataset, "samples", "sample")]
    params = dataset["params"]
    told += [f"{printable(knob['name'])} {shown(knob['before'])} -> {shown(knob['after'])}" for knob in params[:NAMED]]
    if len(params) > NAMED:
        told.append(f"{_number(len(params) - NAMED, 'other parameter')} changed")
    if quotas := (dataset["quotas"] or {}).get("changed"):
        number = sum(row["what"] == "quota" for row in quotas)
        told.append(f"{_number(number, 'quota')} changed" if number else "counts behind the quotas changed")
    if dataset["recipe"] and changes(dataset["recipe"]):
        told.append("another recipe")
    if (shards := dataset["shards"]) and (differ := _different_shards(shards)):
        told.append(f"{differ} of {_number(shards['before'] + len(shards['added']), 'shard')} differ")
    if dataset["not_compared"]:
        told.append("not everything could be compared")
    return ", ".join(told)


def _counted(dataset: Facts, part: str, noun: str) -> list[str]:
    """Return `1 video added`, `2 re-split`, and so on: the noun stands once."""
    told = []
    for of, name, title, words, _ in LISTS:
        table = (dataset[part] or {}).get(name) if of == part else None
        if table is None or not len(table):
            continue
        if not words:
            told.append(f"{_number(len(table), 'other file')} {title.rpartition(' ')[2]}")
            continue
        number = pc.count_distinct(table["video"]).as_py() if name == "described" else len(table)
        reasons = f" ({_tally(table, 'reason')})" if name in ("rejected", "accepted") else ""
        told.append(f"{f'{number:,}' if told else _number(number, noun)} {words}{reasons}")
    return told


def _details(dataset: Facts) -> list[str]:
    lines = [f"  not compared: {printable(reason)}" for reason in dataset["not_compared"]]
    lines += [f"  note: {printable(note)}" for note in dataset["notes"]]
    if dataset["state"] == "same":
        return lines
    lines += [f"  {what}: {was} -> {now}" for what, was, now in counts(dataset)]
    if dataset["samples"] and (dataset["state"] != "changed" or changes(dataset["samples"])):
        lines += ["    " + line for line in _aligned(*cells(dataset["samples"]))]
    lines += ["  " + line for line in _aligned([], [list(pair) for pair in figures(dataset)])]
    for kind in listed(dataset, EXAMPLES):
        lines.append(f"  {kind.title}: {kind.entries:,}" + (f" ({kind.reasons})" if kind.reasons else ""))
        lines += ["    " + line for line in _aligned(kind.columns, kind.rows)]
        if kind.entries > len(kind.rows):
            lines.append(f"    and {kind.entries - len(kind.rows):,} more; --json lists them all")
    return lines


def cells(samples: Facts) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table of samples per split and class; columns of zeros are left out."""
    names = ["before", "after", "added", "removed", "replaced", "moved_in", "moved_out"]
    names = [name for name in names if name in ("before", "after") or any(cell.get(name) for cell in samples["cells"])]
    rows = [
        [cell["split"], CLASSES[cell["label"]], *(f"{cell[name]:,}" for name in names)] for cell in samples["cells"]
    ]
    return ["split", "class", *(name.replace("_", " ") for name in names)], rows


def _aligned(heads: list[str], rows: list[list[str]]) -> list[str]:
    rows = [heads, *rows] if heads else rows
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _value(name: str, column: str, value: Any) -> str:
    of_side = column in ("before", "after")
    if column.startswith("label") or (name == "relabelled" and of_side):
        return CLASSES.get(value, "")
    if name == "replaced" and of_side:
        return str(value)[:12]  # of a SHA-256
    return "" if value is None else printable(str(value))


def _tally(table: pa.Table, column: str) -> str:
    """Return how often each value of a column occurs, as text, the most frequent first."""
    counts = pc.value_counts(table[column].cast(pa.string())).to_pylist()
    known = [("not known" if row["values"] is None else row["values"], row["counts"]) for row in counts]
    told = sorted((pair for pair in known if pair[0]), key=lambda pair: (-pair[1], pair[0]))
    if len(told) == 1 and told[0][1] == len(table):
        return printable(told[0][0])
    return ", ".join(f"{printable(value)} {count:,}" for value, count in told)


def _different_shards(shards: Facts) -> int:
    return sum(len(shards[name]) for name in ("changed", "added", "removed"))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - EXAMPLES:,} more" if len(names) > EXAMPLES else ""
    return ", ".join(names[:EXAMPLES]) + more


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
