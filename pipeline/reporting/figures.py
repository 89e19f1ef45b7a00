"""Figures as inline SVG text: their colours are CSS classes of the page, so that they follow light, dark and print."""

from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 26, 44

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis: its title, its ends, and how its ticks are written."""

    title: str
    low: float = 0.0
    high: float = 1.0
    form: str = "g"
    ticks: list[float] = field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0])


def fitted_axis(title: str, values: list[float], *, whole: bool = False, from_zero: bool = False) -> Axis:
    """Return an axis that holds all `values`, with three to six ticks at steps of 1, 2 or 5 times a power of ten."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    low = min(low, 0.0) if from_zero else low
    span = high - low or 1.0
    step = 10.0 ** int(f"{span / 3:e}".split("e")[1])
    step *= max(factor for factor in (1, 2, 5) if factor * step <= span / 2.5 or factor == 1)
    step = max(1.0, step) if whole else step
    first, last = int(low // step), -int(-high // step)
    last = max(last, first + 1)
    ticks = [round(index * step, 10) for index in range(first, last + 1)]
    return Axis(title, ticks[0], ticks[-1], "g", ticks)


def lines(
    name: str,
    text: str,
    series: dict[str, list[Point]],
    x: Axis,
    y: Axis,
    *,
    diagonal: bool = False,
    points: bool = False,
    bars: list[tuple[float, float, float]] | None = None,
    level: float | None = None,
) -> Markup:
    """Return a chart of one line per series (title -> points in drawing order), named in a legend when there are more.

    `name` is unique on the page, `text` says in words what is to be seen. `diagonal` draws the line of chance, `points`
    marks every point, `bars` are intervals (x, lower, upper), and `level` is the height of a dashed line.
    """
    parts = [_frame(x, y)]
    if diagonal:
        parts.append(_path([(x.low, y.low), (x.high, y.high)], x, y, "chance"))
    if level is not None:
        parts.append(_path([(x.low, level), (x.high, level)], x, y, "chance"))
    parts += [_path([(at, lower), (at, upper)], x, y, "whisker") for at, lower, upper in bars or []]
    for number, line in enumerate(series.values()):
        parts.append(_path(line, x, y, f"line s{number % 4}"))
        if points:
            parts += [_path([point], x, y, f"s{number % 4}") for point in line if len(line) > 1]
    if len(series) > 1:
        parts += [_legend(number, title, len(series)) for number, title in enumerate(series)]
    return _svg(name, text, Markup("").join(parts), WIDTH, HEIGHT)


def steps(name: str, text: str, series: dict[str, list[float]], x: Axis, y: Axis, mark: float) -> Markup:
    """Return histograms over each other (title -> heights of bins of equal width from x.low to x.high) with a legend.

    A dashed upright line stands at `mark`.
    """
    parts = [_frame(x, y), _path([(mark, y.low), (mark, y.high)], x, y, "chance")]
    for number, heights in enumerate(series.values()):
        width = (x.high - x.low) / len(heights)
        outline = [(x.low, y.low)]
        for index, height in enumerate(heights):
            outline += [(x.low + index * width, height), (x.low + (index + 1) * width, height)]
        parts.append(_path([*outline, (x.high, y.low)], x, y, f"area line s{number % 4}"))
    parts += [_legend(number, title, len(series)) for number, title in enumerate(series)]
    return _svg(name, text, Markup("").join(parts), WIDTH, HEIGHT)


def whiskers(
    name: str,
    text: str,
    rows: list[tuple[str, float, float | None, float | None]],
    floors: list[float | None] | None = None,
) -> Markup:
    """Return a chart of figures from 0 to 1 with their intervals, one row each: (title, value, lower, upper).

    A dashed line marks 0.5, chance; an upright stroke the floor of each row in `floors`, where it has one.
    """
    room, step, top = 164, 26, 8
    height = top + step * len(rows) + 40
    scale = WIDTH - room - 58
    bottom = top + step * len(rows)
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = room + tick * scale
        kind = "chance" if tick == 0.5 else "grid"
        parts.append(Markup('<path class="{}" d="M{:.1f} {}V{}"/>').format(kind, at, top, bottom))
        parts.append(
            Markup('<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{:g}</text>').format(
                at, bottom + 16, tick
            )
        )
    for index, (title, value, lower, upper) in enumerate(rows):
        middle = top + step * (index + 0.5)
        parts.append(_text(room - 10, middle + 4, _shortened(title), "end"))
        if lower is not None and upper is not None:
            d = f"M{room + lower * scale:.1f} {middle:g}H{room + upper * scale:.1f}"
            parts.append(Markup('<path class="whisker" d="{}"/>').format(d))
        parts.append(Markup('<circle class="dot" cx="{:.1f}" cy="{:g}" r="4.5"/>').format(room + value * scale, middle))
        if floors and (floor := floors[index]) is not None:
            d = f"M{room + floor * scale:.1f} {middle - 9:g}v18"
            parts.append(Markup('<path class="floor" d="{}"/>').format(d))
        parts.append(_text(WIDTH, middle + 4, f"{value:.3f}", "end"))
    parts.append(_text(room + scale / 2, bottom + 34, "AUROC", "middle"))
    return _svg(name, text, Markup("").join(parts), WIDTH, height)


def timeline(
    name: str, text: str, points: list[Point], lost: list[float], threshold: float, x: Axis, y: Axis
) -> Markup:
    """Return a chart of one video's frames: (frame, score) `points` on a line, crosses for the frames `lost`.

    A dashed line marks `threshold`; the crosses stand at the foot of the chart. See `lines` for the rest.
    """
    parts = [_frame(x, y), _path([(x.low, threshold), (x.high, threshold)], x, y, "chance")]
    if points:
        parts.append(_path(points, x, y, "line s0"))
    for point in points:
        at, up = _place(point, x, y)
        parts.append(Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(at, up))
    for frame in lost:
        at, up = _place((frame, y.low), x, y)
        parts.append(Markup('<path class="lost" d="M{:.1f} {:.1f}l8 8m0 -8l-8 8"/>').format(at - 4, up - 12))
    return _svg(name, text, Markup("").join(parts), WIDTH, HEIGHT)


def _frame(x: Axis, y: Axis) -> Markup:
    """Grid lines, tick labels and axis titles."""
    parts = []
    for tick in x.ticks:
        at, _ = _place((tick, y.low), x, y)
        parts.append(Markup('<path class="grid" d="M{:.1f} {}V{}"/>').format(at, TOP, HEIGHT - BOTTOM))
        parts.append(_text(at, HEIGHT - BOTTOM + 16, format(tick, x.form), "middle", "tick"))
    for tick in y.ticks:
        _, at = _place((x.low, tick), x, y)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, at, WIDTH - RIGHT))
        parts.append(_text(LEFT - 7, at + 4, format(tick, y.form), "end", "tick"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x.title, "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        Markup('<text transform="translate(13 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>').format(
            middle, y.title
        )
    )
    return Markup("").join(parts)


def _path(points: list[Point], x: Axis, y: Axis, kind: str) -> Markup:
    placed = [_place(point, x, y) for point in points]
    if len(placed) == 1:
        return Markup('<circle class="{} single" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(kind, *placed[0])
    return Markup('<path class="{}" d="{}"/>').format(kind, "M" + "L".join(f"{at:.1f} {up:.1f}" for at, up in placed))


def _place(point: Point, x: Axis, y: Axis) -> Point:
    across = (point[0] - x.low) / (x.high - x.low)
    up = (point[1] - y.low) / (y.high - y.low)
    return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def _legend(number: int, title: str, titles: int) -> Markup:
    """Line sample and title in the strip above the plot, where no line can run through them."""
    x = LEFT + number * (WIDTH - LEFT - RIGHT) / titles
    mark = Markup('<path class="line s{}" d="M{:.1f} 12h24"/>').format(number % 4, x)
    room = int((WIDTH - LEFT - RIGHT) / titles / 6.5) - 5  # letters that fit beside the line sample
    return mark + _text(x + 30, 16, _shortened(title, max(room, 4)), "start")


def _text(x: float, y: float, words: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, words)


def _shortened(words: str, longest: int = 24) -> str:
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def _svg(name: str, text: str, content: Markup, width: int, height: int) -> Markup:
    """Wrap drawing in an SVG that screen readers take as one picture with the description `text`."""
    return Markup(
        '<svg role="img" aria-labelledby="{0}" viewBox="0 0 {1} {2}" style="max-width:{1}px">'
        '<title id="{0}">{3}</title>{4}</svg>'
    ).format(name, width, height, escape(text), content)
