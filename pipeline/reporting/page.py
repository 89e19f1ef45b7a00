"""The page: facts laid into page.html. One file that needs nothing else; the same inputs give the same bytes."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.pages import templates
from pipeline.reporting import facts, figures, plots
from pipeline.reporting.caveats import caveats
from pipeline.reporting.facts import Dataset

NAMED = 60  # names listed per reason; the tables hold them all
Curves = dict[str, list[tuple[float, float]]]

METRIC_TITLES = {
    "auroc": "AUROC",
    "ap": "AP",
    "eer": "EER",
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "log_loss": "Log loss",
    "coverage": "Coverage",
}
RULES = {
    "mean": "the mean of its frames'",
    "vote": "the share of its frames that are called fake",
    "reversed_vote": "a vote of its frames in which a small lead decides against itself",
}


def render(
    datasets: list[Dataset],
    card: dict[str, Any],
    curves: Curves,
    trained_on: list[str],
    pictures: dict[str, list[dict[str, Any]]] | None,
) -> str:
    """Return the page as HTML text.

    `card` is model.json; `curves` maps a training figure (`train/loss`) to its (epoch, value) points; `trained_on` are
    the keys of the datasets learned from; `pictures` is what pictures.sheet returns, or None for a page without faces.
    """
    environment = templates(Path(__file__).parent / "templates")
    environment.filters |= {"figure": _figure, "count": _count}
    lifted = facts.lifted(card, datasets)
    shown = [_dataset(dataset, number, trained_on) for number, dataset in enumerate(datasets)]
    return environment.get_template("page.html").render(
        summary=_summary(datasets, card, trained_on),
        model=card["model"],
        datasets=shown,
        trained_on=trained_on,
        container_chart=_probe_chart(shown, "container", "AUROC of the container alone"),
        picture_chart=_probe_chart(shown, "picture", "AUROC of facts of the crops alone, the picture floor"),
        auroc_chart=_auroc_chart(shown),
        settings=settings(card),
        curves=_curve_charts(curves),
        pictures=pictures,
        caveats=caveats(datasets, trained_on, [row["name"] for row in lifted]),
        lifted=lifted,
        rules=_rules(datasets, card),
        metric_titles=METRIC_TITLES,
        named=NAMED,
    )


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


def _dataset(dataset: Dataset, number: int, trained_on: list[str]) -> dict[str, Any]:
    """Everything the page shows of one dataset."""
    videos = plots.scored_videos(dataset)
    labels, scores = videos.label.to_numpy("int64"), videos.score.to_numpy("float64")
    points = [(point["fpr"], point["tpr"]) for point in plots.thinned(plots.curve(labels, scores))]
    levels = facts.results(dataset)
    auroc = levels.get("video", {}).get("all", {}).get("auroc", {})
    return {
        "key": dataset.key,
        "anchor": f"d{number}",
        "trained": dataset.key in trained_on,
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
        "levels": levels,
        "methods": [row["method"] for row in plots.methods(dataset)],
        "methods_chart": _methods_chart(dataset, number),
        "unscored": facts.unscored(dataset),
        "groups": facts.groups_tested(dataset),
        "confusion": plots.confusion(labels, scores, dataset.threshold),
        "roc": _roc_chart(dataset.key, number, points, auroc),
    }


def _roc_chart(key: str, number: int, points: list[tuple[float, float]], auroc: dict[str, Any]) -> Markup | None:
    if not points:
        return None
    text = f"ROC curve of the test videos of {key}: AUROC {_figure(auroc.get('value'))}; the dashed diagonal is chance."
    x, y = figures.Axis("False positive rate"), figures.Axis("True positive rate")
    return figures.lines(f"roc-{number}", text, {key: points}, x, y, diagonal=True)


def _methods_chart(dataset: Dataset, number: int) -> Markup | None:
    rows = [(row["method"], row["auroc"], row["lower"], row["upper"]) for row in plots.methods(dataset)]
    if not rows:
        return None
    text = f"Video AUROC of each forgery method of {dataset.key} with 95 % interval: " + _spoken(rows)
    return figures.whiskers(f"methods-{number}", text, rows)


def _probe_chart(shown: list[dict[str, Any]], probe: str, what: str) -> Markup | None:
    rows = [_row(dataset["key"], dataset[probe]["value"], dataset[probe]) for dataset in shown]
    rows = [row for row in rows if row[1] is not None]
    text = f"{what}, with 95 % interval: {_spoken(rows)}"
    return figures.whiskers(f"probe-{probe}", text, rows) if rows else None


def _auroc_chart(shown: list[dict[str, Any]]) -> Markup | None:
    rows, floors = [], []
    for dataset in shown:
        figure = dataset["levels"].get("video", {}).get("all", {}).get("auroc")
        if figure and figure["value"] is not None:
            rows.append(_row(dataset["key"], figure["value"], figure))
            floors.append(dataset["picture"]["floor"])
    known = [f"{row[0]} {floor:.3f}" for row, floor in zip(rows, floors, strict=True) if floor is not None]
    text = f"Video AUROC on each dataset with 95 % interval: {_spoken(rows)}. Picture floors: {'; '.join(known)}"
    return figures.whiskers("aurocs", text, rows, floors) if rows else None


def _curve_charts(curves: Curves) -> list[dict[str, Any]]:
    """One chart per figure: `train/loss` and `val/loss` share the chart `loss`."""
    charts: dict[str, Curves] = {}
    for name, points in sorted(curves.items()):
        part, _, title = name.rpartition("/")
        charts.setdefault(title, {})[part or title] = points
    drawn = []
    for title, series in charts.items():
        points = [point for line in series.values() for point in line]
        x = figures.fitted_axis("Epoch", [epoch for epoch, _ in points], whole=True)
        words = METRIC_TITLES.get(title, title.replace("_", " ").capitalize())
        y = figures.fitted_axis(words, [value for _, value in points], from_zero=title == "loss")
        ends = ", ".join(f"{part} ends at {line[-1][1]:.3f}" for part, line in series.items() if line)
        chart = figures.lines(f"curve-{title}", f"{words} by epoch: {ends}.", series, x, y)
        drawn.append({"title": words, "parts": list(series), "chart": chart})
    return drawn


def _summary(datasets: list[Dataset], card: dict[str, Any], trained_on: list[str]) -> str:
    """One sentence: what was trained on what, and how well it tells real from fake where."""
    known = {
        dataset.key: facts.results(dataset).get("video", {}).get("all", {}).get("auroc", {}) for dataset in datasets
    }
    learned = [f"{_with_interval(known[key])} on test videos of {key}" for key in trained_on if key in known]
    foreign = [f"{_figure(known[key].get('value'))} on {key}" for key in known if key not in trained_on]
    sentence = f"{card['model']}, trained on {', '.join(trained_on)}, reaches a video AUROC of {'; '.join(learned)}"
    return sentence + (f"; on datasets that it was not trained on, {', '.join(foreign)}." if foreign else ".")


def _rules(datasets: list[Dataset], card: dict[str, Any]) -> list[str]:
    """Return sentences: what a video's score is, above which threshold it is called fake, and where that comes from."""
    held: dict[str, list[str]] = {}
    for dataset in datasets:
        chosen = "is a majority" if dataset.rule["videos"] != "mean" else "is chosen on validation"
        if card.get("threshold_rule") == "given" and dataset.rule["videos"] == "mean":
            chosen = "is a parameter"
        said = f"A video's score is {RULES[dataset.rule['videos']]}. The threshold, {dataset.threshold:.3f}, {chosen}"
        held.setdefault(said, []).append(dataset.key)
    return [f"{said}." if len(held) == 1 else f"{said} ({', '.join(keys)})." for said, keys in held.items()]


def _row(title: str, value: Any, figure: dict[str, Any]) -> tuple[str, Any, Any, Any]:
    return title, value, figure["lower"], figure["upper"]


def _spoken(rows: list[tuple[str, Any, Any, Any]]) -> str:
    return "; ".join(
        f"{title} {value:.3f}" + ("" if lower is None else f" ({lower:.3f} to {upper:.3f})")
        for title, value, lower, upper in rows
    )


def _with_interval(figure: dict[str, Any]) -> str:
    if figure.get("lower") is None:
        return _figure(figure.get("value"))
    return f"{_figure(figure['value'])} (95 % interval {_figure(figure['lower'])} to {_figure(figure['upper'])})"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _count(value: int) -> str:
    return f"{value:,}"
