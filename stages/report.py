"""report: one page that says what the data was and how good the detector is. `python -m stages.report`."""

import json
from pathlib import Path

from pydantic import Field

from pipeline import params
from pipeline.errors import exit_on_user_error
from pipeline.files import folder_of_each, whole_or_absent
from pipeline.reporting import plots, report
from pipeline.reporting.headline import headline
from pipeline.reporting.knobs import Knobs
from pipeline.reporting.run import read_run
from pipeline.reporting.source import Workspace

DATA, REPORTS = Path("data"), Path("reports")


class Params(params.Section):
    """The section `report` of params.yaml."""

    pictures: bool
    sheet: int = Field(ge=4, le=200)
    errors: int = Field(ge=0, le=100)
    timelines: int = Field(ge=0, le=20)


def main() -> None:
    """Write reports/metrics/eval.json, reports/plots/*.json and reports/index.html."""
    section = params.load_section(Params, "report")
    datasets = params.load_datasets()
    for stage in ("index", "split", "extract", "check", "shard", "evaluate"):
        folder_of_each(DATA / stage, datasets)
    run = read_run(Workspace())
    html = report.render([run], "html", Knobs(**section.model_dump()))
    with whole_or_absent(REPORTS / "metrics" / "eval.json") as part:
        part.write_text(json.dumps(headline(run.datasets), indent=2) + "\n", encoding="utf-8")
    plots.write(REPORTS / "plots", plots.rows_of_plots(run.datasets))
    with whole_or_absent(REPORTS / "index.html") as part:
        part.write_text(html, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    exit_on_user_error(main)
