"""Hold a raw tree against what was published: `index` without writing, and then counts and lists.

This is `veriframe doctor`: `examine` makes the report, a document of plain values, and `describe` puts it into words.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline import indexing, recognition
from pipeline.datasets import Layout, load_layout, natural_order
from pipeline.engines import Run
from pipeline.errors import UsageError, UserError
from pipeline.files import sha256_of_bytes
from pipeline.params import Dataset
from pipeline.recognition import Row, Tree
from pipeline.tables import CLASSES, NO_VIDEO, SEVERITIES
from pipeline.wording import printable

MIN_FRAMES = 2  # a video of one frame is worth a word
SOURCES_DISAGREE = 0.05  # share by which published figures of doubt differ at most
SHOWN = 3  # subjects of each kind of finding in the words
LONGEST = 60  # rows of a table in the words
LISTS = 8  # lists in the words that are known from nowhere: every part of DFDC has one
KIND = ("split", "label", "method", "compression")


def examine(name: str, root: Path, run: Run, cache: Path) -> tuple[Row, list[Row]]:
    """Return the report on the tree at `root` as layout `name`, and the rows of its index (tables.VIDEOS).

    `run` is an engine of pipeline.engines, `cache` the folder of index in the work cache. The report holds `layout`,
    `title`, `path` as given, `rearranged` (files that lie elsewhere), `lists`, `counts` (each published count and what
    was found), `videos` (what was found, by split, label, method and compression), `findings` (severity, code, subject,
    detail; the worst first), `problems` (how many of them are errors or warnings) and `clean` (there are none).
    Raises UsageError for an unknown layout, no folder at `root`, and nothing of the layout in it.
    """
    layout = load_layout(name)
    report: Row = {"layout": name, "title": layout.title, "path": str(root)}
    try:
        tree = recognition.recognise(name, Dataset(layout=name, root=root))
    except UsageError:
        raise
    except UserError as error:  # a malformed list, or two files for one video: a fault of the tree
        refusal = {"severity": "error", "code": "not_recognised", "subject": ".", "detail": str(error)}
        return report | {"rearranged": [], "lists": [], "counts": [], "videos": []} | _verdict([refusal]), []
    rows = indexing.index(tree, MIN_FRAMES, run, cache, f"doctor {name}")
    parts = {
        "rearranged": [{"found": at, "published": place, "files": n} for (at, place), n in tree.rearranged.items()],
        "lists": _lists(layout, tree),
        "counts": _counts(layout, rows),
        "videos": _videos(rows),
    }
    findings = [
        *_list_findings(layout, tree, parts["lists"]),
        *_count_findings(parts["counts"]),
        *indexing.findings(name, rows, tree),
    ]
    return report | parts | _verdict(findings), rows


def _verdict(findings: list[Row]) -> Row:
    columns = ("severity", "code", "subject", "detail")
    findings = [{column: finding[column] for column in columns} for finding in findings]
    findings.sort(key=lambda row: (SEVERITIES.index(row["severity"]), row["code"], natural_order(row["subject"])))
    problems = sum(finding["severity"] != "note" for finding in findings)
    return {"findings": findings, "problems": problems, "clean": problems == 0}


# --- lists -----------------------------------------------------------------------------------------------------------


def _lists(layout: Layout, tree: Tree) -> list[Row]:
    """Return each published list that is there or known: path, lines, SHA-256, and whether it is as published.

    `as_published` is None where no published SHA-256 is known, or the list is not there.
    """
    absent = layout.known_lists.keys() - tree.lists.files
    rows: list[Row] = [{"path": path, "lines": None, "sha256": None, "as_published": None} for path in absent]
    for path in tree.lists.files:
        content = (tree.root / tree.files[path]).read_bytes()
        known, sha256 = layout.known_lists.get(path), sha256_of_bytes(content)
        as_published = sha256 == known.sha256 if known else None
        rows.append({"path": path, "lines": len(content.splitlines()), "sha256": sha256, "as_published": as_published})
    return sorted(rows, key=lambda row: natural_order(row["path"]))


def _list_findings(layout: Layout, tree: Tree, lists: list[Row]) -> Iterator[Row]:
    for missing in tree.lists.missing:
        what, _, remedy = missing.partition("; ")
        detail = f"not there; {remedy}" if remedy else "not there"
        yield {"severity": "warning", "code": "list_missing", "subject": what, "detail": detail}
    for row in lists:
        if row["as_published"] is False:
            known = layout.known_lists[row["path"]]
            detail = f"not the published list: {row['lines']:,} lines, published {known.lines:,}"
            if row["lines"] in known.altered:
                detail += f": {known.altered[row['lines']]}"
            yield {"severity": "warning", "code": "list_differs", "subject": row["path"], "detail": detail}


# --- counts ----------------------------------------------------------------------------------------------------------


def _counts(layout: Layout, rows: list[Row]) -> list[Row]:
    """Return each published count with the number of videos that are there, damaged ones among them.

    Not `compared` are those of a compression level of which not one video was downloaded.
    """
    there = Counter(_kind(row) for row in rows if row["reason"] not in NO_VIDEO)
    levels = {None, *(compression for *_, compression in there)}
    counts = []
    for count in layout.counts:
        kind = (count.split, count.label, count.method, count.compression)
        counts.append(
            {
                **dict(zip(KIND, kind, strict=True)),
                "published": count.videos,
                "certain": count.certain,
                "found": sum(number for other, number in there.items() if _is_of(other, kind)),
                "compared": count.compression in levels,
            }
        )
    return counts


def _kind(row: Row) -> tuple[Any, ...]:
    return row["official_split"], row["label"], row["method"], row["compression"]


def _is_of(kind: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    return all(asked in (None, has) for has, asked in zip(kind, wanted, strict=True))


def _videos(rows: list[Row]) -> list[Row]:
    """Return how many videos are there and how many of them can be used, by split, label, method and compression."""
    found = [row for row in rows if row["reason"] not in NO_VIDEO]
    there, usable = Counter(map(_kind, found)), Counter(_kind(row) for row in found if row["status"] == "ok")
    kinds = sorted(there, key=lambda kind: ["" if part is None else str(part) for part in (kind[3], *kind[:3])])
    return [dict(zip(KIND, kind, strict=True)) | {"found": there[kind], "usable": usable[kind]} for kind in kinds]


def _count_findings(counts: list[Row]) -> Iterator[Row]:
    for level in sorted({count["compression"] for count in counts if not count["compared"]}):
        detail = "published, and not one video of it is here; its counts are not compared"
        yield {"severity": "note", "code": "compression_absent", "subject": level, "detail": detail}
    for count in counts:
        if count["compared"] and count["found"] != count["published"]:
            doubt = "" if count["certain"] else " (sources disagree on the published figure)"
            near = abs(count["found"] - count["published"]) <= SOURCES_DISAGREE * count["published"]
            yield {
                "severity": "note" if near and not count["certain"] else "warning",
                "code": "count_differs",
                "subject": _in_words(count),
                "detail": f"published {count['published']:,}, found {count['found']:,}{doubt}",
            }


def _in_words(kind: Row) -> str:
    words = [kind["split"], CLASSES.get(kind["label"], ""), kind["method"], kind["compression"]]
    return " ".join(word for word in words if word) or "all"


# --- in words --------------------------------------------------------------------------------------------------------


def describe(report: Row) -> str:
    """Return the report as text for people; its last line is `clean`, or how many problems there are."""
    head = f"{report['title']} (layout {report['layout']}) at {report['path']}"
    sections = [
        [printable(head)],
        _rearranged(report["rearranged"]),
        _lists_in_words(report["lists"]),
        _section("published counts", [row for row in report["counts"] if row["compared"]], _count_cells),
        _section("videos", report["videos"], _video_cells),
        *_findings_in_words(report["findings"]),
        [_last_line(report)],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section)


def _rearranged(moved: list[Row]) -> list[str]:
    lines = [f"  {recognition.rearrangement_in_words(**row)}" for row in moved]
    return ["rearranged", *map(printable, lines)] if lines else []


def _lists_in_words(lists: list[Row]) -> list[str]:
    unknown = [row for row in lists if row["lines"] is not None and row["as_published"] is None]
    told = [row for row in lists if row not in unknown[LISTS:]]
    more = [f"  and {len(lists) - len(told):,} more"] if len(told) < len(lists) else []
    return [*_section("published lists", told, _list_cells), *more]


def _list_cells(row: Row | None) -> list[str]:
    if row is None:
        return ["list", "lines", ""]
    words = {True: "as published", False: "differs", None: ""}
    if row["lines"] is None:
        return [row["path"], "", "not there"]
    return [row["path"], f"{row['lines']:,}", words[row["as_published"]]]


def _count_cells(row: Row | None) -> list[str]:
    if row is None:
        return [*KIND, "published", "found", ""]
    mark = "" if row["found"] == row["published"] else "differs" if row["certain"] else "differs (uncertain)"
    return [*_kind_cells(row), f"{row['published']:,}", f"{row['found']:,}", mark]


def _video_cells(row: Row | None) -> list[str]:
    return [*_kind_cells(row), f"{row['found']:,}", f"{row['usable']:,}"] if row else [*KIND, "found", "usable"]


def _kind_cells(row: Row) -> list[str]:
    return [row["split"] or "-", CLASSES.get(row["label"], "-"), row["method"] or "-", row["compression"] or "-"]


def _section(title: str, rows: list[Row], cells: Any) -> list[str]:
    """Return a title and aligned columns; `cells` gives the cells of a row, or of the head for None."""
    more = [f"  and {len(rows) - LONGEST:,} more"] if len(rows) > LONGEST else []
    return [title, *_aligned([cells(None), *map(cells, rows[:LONGEST])]), *more] if rows else []


def _aligned(table: list[list[str]]) -> list[str]:
    """Return the rows of a table with a head as lines of columns; columns of numbers to the right."""
    columns = [[printable(cell) for cell in column] for column in zip(*table, strict=True)]
    padded = []
    for column in columns:
        width = max(map(len, column))
        numbers = all(cell.replace(",", "").isdecimal() for cell in column[1:] if cell) and any(column[1:])
        padded.append([cell.rjust(width) if numbers else cell.ljust(width) for cell in column])
    return [f"  {'  '.join(row)}".rstrip() for row in zip(*padded, strict=True)]


def _findings_in_words(findings: list[Row]) -> Iterator[list[str]]:
    """One section per severity and code: how many, and the first of them, each on its line."""
    told = [finding for finding in findings if finding["code"] != "rearranged"]  # in words above
    for (severity, code), group in groupby(told, lambda finding: (finding["severity"], finding["code"])):
        rows = list(group)
        lines = [f"  {row['subject']}: {row['detail']}" for row in rows[:SHOWN]]
        more = [f"  and {len(rows) - SHOWN:,} more"] if len(rows) > SHOWN else []
        yield [f"{severity} {code}: {len(rows):,}", *map(printable, lines), *more]


def _last_line(report: Row) -> str:
    if report["clean"]:
        return "clean"
    counts = Counter(finding["severity"] for finding in report["findings"])
    parts = [f"{counts[severity]:,} {_plural(severity, counts[severity])}" for severity in SEVERITIES[:2]]
    parts = [part for part, severity in zip(parts, SEVERITIES, strict=False) if counts[severity]]
    return f"{report['problems']:,} {_plural('problem', report['problems'])} ({', '.join(parts)})"


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
