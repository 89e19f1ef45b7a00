"""The report: one function of runs and form. The stage report, `veriframe compare` and `veriframe summary` call it."""

from typing import Literal, assert_never

from pipeline.reporting import page
from pipeline.reporting.knobs import Knobs
from pipeline.reporting.run import Run

Form = Literal["html", "markdown"]


def render(runs: list[Run], form: Form, knobs: Knobs | None = None, data: str = "") -> str:
    """Return the report of one or several runs as text: `html` a whole page, `markdown` a summary of one screen.

    Of several runs the first is the baseline: differences are the later ones minus the first. `knobs` say what is on
    the page (default: Knobs()); the summary needs none, but repeats `data`, a sentence on what changed in the data.
    Raises UserError where a shard with pictures is missing.
    """
    match form:
        case "html":
            return page.render(runs, knobs or Knobs())
        case "markdown":
            from pipeline.reporting.markdown import render_markdown

            return render_markdown(runs, data)
    assert_never(form)
