"""The page: facts, results and charts of one or several runs laid into page.html.

One file that needs nothing else; the same inputs give the same bytes.
"""

from pathlib import Path
from typing import Any

from pipeline.metrics.bootstrap import FEW_GROUPS
from pipeline.pages import templates
from pipeline.reporting import charts, comparison, facts, failures, pictures, plots, results
from pipeline.reporting.caveats import caveats
from pipeline.reporting.facts import Dataset
from pipeline.reporting.knobs import Knobs
from pipeline.reporting.run import Run

NAMED = 60  # names listed per reason; the tables hold them all


def render(runs: list[Run], knobs: Knobs) -> str:
    """Return the page as HTML text; see report.render."""
    environment = templates(Path(__file__).parent / "templates")
    environment.filters |= {
        "figure": charts.number,
        "count": _count,
        "percent": _percent,
        "signed": comparison.signed,
        "p": _p,
    }
    data = _data(runs)
    keys = list(dict.fromkeys(dataset.key for run in runs for dataset in run.datasets))
    shown = [_result(run, dataset, f"r{i}d{j}") for i, run in enumerate(runs) for j, dataset in enumerate(run.datasets)]
    shown.sort(key=lambda one: keys.index(one["key"]))  # all runs of a dataset together
    compared = _comparison(runs) if len(runs) > 1 else None
    return environment.get_template("page.html").render(
        title=_title(runs),
        headlines=compared["headlines"] if compared else [summary(runs[0])],
        runs=[_run(run) for run in runs],
        several=len(runs) > 1,
        comparison=compared,
        results=shown,
        matrix=comparison.matrix(runs),
        failures=failures.of_runs(runs, knobs),
        auroc_chart=_auroc_chart(shown, len(runs) > 1),
        data=data,
        container_chart=_probe_chart(data, "container", "AUROC of the container alone"),
        picture_chart=_probe_chart(data, "picture", "AUROC of facts of the crops alone, the picture floor"),
        curves=charts.curves(runs),
        pictures=pictures.sheet(runs[0], knobs.sheet) if knobs.pictures else None,
        lifted=_lifted(runs),
        limits=_limits(runs),
        titles=results.TITLES,
        ranking=results.RANKING,
        calling=results.CALLING,
        few=FEW_GROUPS,
        named=NAMED,
    )


def summary(run: Run) -> str:
    """Return one sentence: what was trained on what, and how well it tells real from fake where."""
    known = {dataset.key: results.auroc(dataset) for dataset in run.datasets}
    learned = [f"{_with_interval(known[key])} on test videos of {key}" for key in run.trained_on if key in known]
    foreign = [f"{_with_interval(figure)} on {key}" for key, figure in known.items() if key not in run.trained_on]
    sentence = f"{run.card['model']}, trained on {', '.join(run.trained_on)}, reaches a video AUROC of "
    sentence += "; ".join(learned) or "unknown height on test videos of its own"
    return sentence + (f"; on datasets that it was not trained on, {', '.join(foreign)}." if foreign else ".")


def settings(card: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return model.json as (dotted name, value) rows; lists become one line."""
    rows: list[tuple[str, str]] = []
    for name, value in card.items():
        if isinstance(value, dict):
            rows += settings(value, f"{above}{name}.")
        elif isinstance(value, list):
            rows.append((f"{above}{name}", ", ".join(map(str, value))))
        else:
            shown = f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
            rows.append((f"{above}{name}", shown))
    return rows


def _title(runs: list[Run]) -> str:
    if len(runs) == 1:
        return f"How well {runs[0].card['model']} tells real from fake"
    later = " and ".join(run.name for run in runs[1:])
    return f"{later} against {runs[0].name}: how well each tells real from fake"


def _run(run: Run) -> dict[str, Any]:
    return {
        "name": run.name,
        "commit": run.commit[:10] if run.commit else None,
        "summary": summary(run),
        "settings": settings(run.card),
    }


def _result(run: Run, dataset: Dataset, anchor: str) -> dict[str, Any]:
    """Everything the page shows of how good one run is on one dataset."""
    labels, scores = charts.labels_and_scores(dataset)
    methods, robustness = results.by_method(dataset), results.robustness(dataset)
    return {
        "run": run.name,
        "key": dataset.key,
        "anchor": anchor,
        "trained": dataset.key in run.trained_on,
        "tested": results.tested(dataset),
        "video": results.figures(dataset),
        "frame": results.figures(dataset, "frame"),
        "leak_free": results.figures(dataset, subset="leak_free"),
        "floor": facts.picture(dataset)["floor"],
        "decision": results.decision_in_words(dataset),
        "confusion": plots.confusion(labels, scores, dataset.threshold),
        "unscored": facts.unscored(dataset),
        "rules": results.by_rule(dataset),
        "methods": methods,
        "compressions": results.by_compression(dataset),
        "calibration": results.calibration(dataset),
        "roc": charts.roc(f"roc-{anchor}", {run.name: dataset}),
        "histogram": charts.histogram(f"scores-{anchor}", dataset),
        "reliability": charts.reliability(f"reliability-{anchor}", dataset),
        "methods_chart": charts.methods(f"methods-{anchor}", methods),
        "robustness": charts.robustness(f"robustness-{anchor}", robustness),
    }


def _comparison(runs: list[Run]) -> dict[str, Any]:
    """What the later runs reach beyond the first, ROC curves of all runs by dataset, and the parameters that differ."""
    rows = comparison.differences(runs)
    pairs = dict.fromkeys((row["dataset"], row["run"]) for row in rows)
    keys = dict.fromkeys(dataset.key for run in runs for dataset in run.datasets)
    drawn = [(key, {run.name: one for run in runs for one in run.datasets if one.key == key}) for key in keys]
    return {
        "headlines": [_headline(run.name, [row for row in rows if row["run"] == run.name]) for run in runs[1:]],
        "pairs": [
            {"dataset": key, "run": run, "rows": [row for row in rows if (row["dataset"], row["run"]) == (key, run)]}
            for key, run in pairs
        ],
        "rocs": [
            {"key": key, "chart": charts.roc(f"roc-all-{number}", of_runs)}
            for number, (key, of_runs) in enumerate(drawn)
            if len(of_runs) > 1
        ],
        "params": comparison.changed_params(runs),
    }


def _headline(name: str, rows: list[dict[str, Any]]) -> str:
    """One sentence: what a later run changes in the AUROC of each dataset, what clearly did first."""
    rows = sorted((row for row in rows if row["metric"] == "auroc"), key=lambda row: not comparison.clear(row))
    said = "; ".join(map(comparison.in_words, rows)) or "no dataset was evaluated here and by the baseline"
    return f"{name}: {said}."


def _data(runs: list[Run]) -> list[dict[str, Any]]:
    """Everything the page shows of the data; a dataset that is the same in several runs once, with their names."""
    found: list[tuple[Dataset, list[str]]] = []
    for run in runs:
        for dataset in run.datasets:
            same = next((names for known, names in found if facts.same_data(known, dataset)), None)
            if same is None:
                found.append((dataset, [run.name]))
            else:
                same.append(run.name)
    keys = [dataset.key for run in runs for dataset in run.datasets]
    found.sort(key=lambda entry: keys.index(entry[0].key))
    return [_of_data(dataset, names, f"d{number}", len(runs)) for number, (dataset, names) in enumerate(found)]


def _of_data(dataset: Dataset, names: list[str], anchor: str, runs: int) -> dict[str, Any]:
    whose = "" if runs == 1 else "the same in every run" if len(names) == runs else f"of {', '.join(names)}"
    return {
        "key": dataset.key,
        "anchor": anchor,
        "whose": whose,
        "built_in": dataset.built_in,
        "counts": facts.counts(dataset),
        "rejected": facts.rejected(dataset),
        "findings": facts.findings(dataset),
        "subset": facts.subset_in_words(dataset),
        "ties": facts.ties(dataset),
        "ties_across": facts.ties_across(dataset),
        "verdict": dataset.verdict,
        "container": facts.container(dataset),
        "picture": facts.picture(dataset),
    }


def _probe_chart(data: list[dict[str, Any]], probe: str, what: str) -> Any:
    rows = [(_called(entry, "whose"), *_ends(entry[probe])) for entry in data]
    return charts.aurocs(f"probe-{probe}", what, rows)


def _auroc_chart(shown: list[dict[str, Any]], several: bool) -> Any:
    known = [entry for entry in shown if "auroc" in entry["video"]]
    rows = [(_called(entry, "run") if several else entry["key"], *_ends(entry["video"]["auroc"])) for entry in known]
    return charts.aurocs("aurocs", "Video AUROC on each dataset", rows, [entry["floor"] for entry in known])


def _called(entry: dict[str, Any], beside: str) -> str:
    return f"{entry['key']}, {entry[beside]}" if entry[beside] else str(entry["key"])


def _ends(figure: dict[str, Any]) -> tuple[Any, Any, Any]:
    return figure["value"], figure["lower"], figure["upper"]


def _lifted(runs: list[Run]) -> list[dict[str, Any]]:
    """The guards that were lifted in any run; of several runs each place names its run."""
    rows = []
    for run in runs:
        for row in facts.lifted(run.card, run.datasets):
            rows.append(
                row | {"places": [f"{run.name}: {place}" if len(runs) > 1 else place for place in row["places"]]}
            )
    return rows


def _limits(runs: list[Run]) -> list[dict[str, Any]]:
    """What may not be concluded: what holds for every run first, under no name, then the rest by run."""
    said = {
        run.name: caveats(run.datasets, run.trained_on, [row["name"] for row in facts.lifted(run.card, run.datasets)])
        for run in runs
    }
    first, *others = said.values()
    shared = [sentence for sentence in first if all(sentence in other for other in others)]
    groups = [{"run": "", "sentences": shared}]
    groups += [
        {"run": name, "sentences": [sentence for sentence in sentences if sentence not in shared]}
        for name, sentences in said.items()
    ]
    return [group for group in groups if group["sentences"]]


def _with_interval(figure: dict[str, Any] | None) -> str:
    if not figure or figure["value"] is None:
        return "none, for want of scored videos of both classes,"
    if figure["lower"] is None:
        return f"{charts.number(figure['value'])} (no interval)"
    return f"{figure['value']:.3f} (95 % interval {figure['lower']:.3f} to {figure['upper']:.3f})"


def _count(value: int) -> str:
    return f"{value:,}"


def _percent(value: float | None) -> str:
    """Return a share as a percentage that is 100 only when it is all."""
    if value is None:
        return "–"
    return "100 %" if value == 1 else f"{min(value, 0.999):.1%}".replace("%", " %")


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
