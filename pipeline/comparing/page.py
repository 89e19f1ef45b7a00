"""What changed as one HTML page that needs nothing else: no network, no script."""

from pathlib import Path

from pipeline.comparing import describe
from pipeline.comparing.facts import Facts, changes
from pipeline.comparing.pictures import changed_pictures
from pipeline.errors import UserError
from pipeline.files import whole_or_absent
from pipeline.pages import templates
from pipeline.revisions import Revision
from pipeline.tables import CLASSES

NAMED = 200  # rows of each list


def write(path: Path, facts: Facts, before: Revision, after: Revision) -> None:
    """Write the page of `facts`, as facts.compare returned them, to `path`, with the pictures that changed.

    Pictures are left out where `report.pictures` is false at one of the revisions. Raises UserError when the file
    cannot be written.
    """
    shown = all(_shows_pictures(revision) for revision in (before, after))
    datasets = [
        {
            "key": key,
            "anchor": f"d{number}",
            "state": dataset["state"],
            "not_compared": dataset["not_compared"],
            "notes": dataset["notes"],
            "counts": describe.counts(dataset),
            "cells": describe.cells(dataset["samples"]) if dataset.get("samples") else None,
            "figures": list(describe.figures(dataset)),
            "lists": describe.listed(dataset, NAMED),
            "pictures": changed_pictures(key, dataset, before, after) if shown else {},
            "changed": changes(dataset["samples"]) if dataset.get("samples") else {},
        }
        for number, (key, dataset) in enumerate(facts["datasets"].items())
    ]
    environment = templates(Path(__file__).parent)
    page = environment.get_template("page.html").render(
        facts=facts, sentence=describe.sentence(facts), datasets=datasets, pictures=shown, classes=CLASSES
    )
    try:
        with whole_or_absent(path) as part:
            part.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


def _shows_pictures(revision: Revision) -> bool:
    report = revision.params().get("report")
    return not isinstance(report, dict) or report.get("pictures") is not False
