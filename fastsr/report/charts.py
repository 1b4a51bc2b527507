"""Charts as inline SVG: readable on a phone, and told apart by colour, marker and dash, never by colour alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

from markupsafe import Markup

from fastsr.console import counted
from fastsr.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    axes,
    path,
    step_scale,
    text,
    value_scale,
)
from fastsr.report.html import grid, missing, typeset

COLOURS, SPARSE = 8, 5
MARKERS = (
    "M-3.4,0a3.4,3.4 0 1,0 6.8,0a3.4,3.4 0 1,0 -6.8,0z",
    "M-3,-3h6v6h-6z",
    "M0,-4L3.9,2.9H-3.9z",
    "M0,-4.3L4.3,0L0,4.3L-4.3,0z",
    "M0,4L3.9,-2.9H-3.9z",
    "M-4,-1.3h2.7v-2.7h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7z",
    "M-3.7,-2L-2,-3.7L0,-1.7L2,-3.7L3.7,-2L1.7,0L3.7,2L2,3.7L0,1.7L-2,3.7L-3.7,2L-1.7,0z",
)
"""Outlines around the origin; as many as is prime to the colours, so that pairs of both repeat late."""


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    label: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    """NaN leaves a gap."""
    style: int = 0
    """Colour and marker."""
    dash: int = 0
    """0 solid, 1 dashed, 2 dotted, 3 dashed and dotted."""
    faint: bool = False
    """Thin, without marker, and not in the legend."""
    key: str = ""
    """The label in the legend that switches it: its own, unless it follows another."""

    @property
    def group(self) -> str:
        return self.key or self.label

    def points(self) -> list[tuple[float, float]]:
        """Those that are finite."""
        pairs = zip(self.xs, self.ys, strict=True)
        return [(step, value) for step, value in pairs if isfinite(value)]


def line(series: Series, x: Scale, y: Scale) -> Markup:
    """One path; points that stand alone between gaps become dots."""
    commands: list[str] = []
    drawing = False
    places = list(zip(series.xs, series.ys, strict=True))
    for index, (step, value) in enumerate(places):
        if not y.shows(value):
            drawing = False
            continue
        alone = not drawing and (index + 1 == len(places) or not y.shows(places[index + 1][1]))
        commands.append(
            f"{'L' if drawing else 'M'}{x(step):.1f},{y(value):.1f}{'h0' if alone else ''}"
        )
        drawing = True
    shape = Markup('<path class="{}" d="{}"><title>{}</title></path>')
    return shape.format(stroke(series), "".join(commands), series.label)


def stroke(series: Series) -> str:
    return f"line c{series.style % COLOURS} dash{series.dash}" + (" faint" if series.faint else "")


def markers(series: Series, x: Scale, y: Scale, sparse: bool) -> list[Markup]:
    """On every point, or on a few of many, shifted from series to series so that they do not cover each other."""
    points = [
        (step, value) for step, value in zip(series.xs, series.ys, strict=True) if y.shows(value)
    ]
    if sparse and len(points) > 4 * SPARSE:
        gap = len(points) / SPARSE
        points = [points[int((k + (series.style % 6 + 0.5) / 6) * gap)] for k in range(SPARSE)]
    return [
        marker(x(step), y(value), series.style, f"{series.label}: {value:.4g} at step {step:,.0f}")
        for step, value in points
    ]


def marker(x: float, y: float, style: int, title: str, size: float = 1) -> Markup:
    place = f"translate({x:.1f},{y:.1f})" + (f" scale({size:.2f})" if size != 1 else "")
    outline = MARKERS[style % len(MARKERS)]
    return Markup('<path class="marker c{}" transform="{}" d="{}"><title>{}</title></path>').format(
        style % COLOURS, place, outline, title
    )


def drawn(series: Series, x: Scale, y: Scale) -> Markup:
    """A line with its markers; a script reads its values and switches it."""
    points = "" if series.faint else " ".join(f"{s:.6g},{v:.4g}" for s, v in series.points())
    marks = [] if series.faint else markers(series, x, y, sparse=True)
    shape = Markup('<g class="series" data-series="{}" data-colour="c{}" data-points="{}">{}</g>')
    content = Markup().join([line(series, x, y), *marks])
    return shape.format(series.group, series.style % COLOURS, points, content)


def line_chart(
    title: str,
    unit: str,
    series: Sequence[Series],
    *,
    meaning: str = "",
    bounds: tuple[float, float] | None = None,
    reference: tuple[float, str] | None = None,
    begins: float = nan,
) -> Markup:
    """Values over steps. `reference` is a level with its name; `begins` a step at which adversarial training begins."""
    level = reference[0] if reference else nan
    y = value_scale([*(value for one in series for value in one.ys), level], bounds)
    if y is None:
        return missing(f"{title}: no finite values.")
    x = step_scale(step for one in series for step in one.xs)
    parts = axes(x, y, "step", "log scale" if y.log else "")
    if x.low < begins < x.high:
        parts.append(path("begin", f"M{x(begins):.1f},{TOP}V{HEIGHT - BOTTOM}"))
    if reference and y.shows(level):
        parts += reference_level(y(level), reference[1])
    # Faint lines lie behind the others.
    parts += [drawn(one, x, y) for one in sorted(series, key=lambda one: not one.faint)]
    spoken = " ".join(spoken_summary(one) for one in series if not one.faint)
    svg = drawing(title, parts, f"{title} over steps, {unit}. {spoken}", x=x)
    return figure(title, svg, unit, meaning)


def reference_level(y: float, name: str) -> list[Markup]:
    """A level across the chart, named above the chart, where no line can cross the name."""
    right = WIDTH - RIGHT
    start = right - 8 - 6.4 * len(name)
    return [
        path("reference", f"M{LEFT},{y:.1f}H{right}"),
        path("reference", f"M{start - 22:.1f},8H{start:.1f}"),
        text(right, 12, name, "end", "name"),
    ]


def spoken_summary(series: Series) -> str:
    points = series.points()
    if not points:
        return f"{series.label}: no finite values."
    values = [value for _, value in points]
    step, last = points[-1]
    return f"{series.label}: {last:.4g} at step {step:,.0f}, from {min(values):.4g} to {max(values):.4g}."


def drawing(
    title: str,
    parts: Sequence[Markup],
    spoken: str,
    height: float = HEIGHT,
    x: Scale | None = None,
) -> Markup:
    """With a scale of steps, a script shows the values at each."""
    steps = f"{x.low:.6g} {x.high:.6g} {x.start:.6g} {x.end:.6g}" if x else ""
    scale = Markup(' data-x="{}"').format(steps) if x else Markup()
    return Markup(
        '<svg viewBox="0 0 {} {:.0f}" role="img" aria-label="{}"{}><title>{}</title>{}</svg>'
    ).format(WIDTH, height, spoken, scale, title, Markup().join(parts))


def figure(title: str, svg: Markup, unit: str = "", meaning: str = "") -> Markup:
    """A chart under its title, with its unit, and smaller what it means."""
    name = Markup('{} <span class="unit">{}</span>').format(title, typeset(unit)) if unit else title
    small = Markup("<small>{}</small>").format(typeset(meaning)) if meaning else Markup()
    return Markup(
        '<figure class="chart"><figcaption>{}{}</figcaption><div class="canvas">{}</div></figure>'
    ).format(name, small, svg)


def reliability_chart(
    title: str, real: Sequence[int], generated: Sequence[int], style: int
) -> Markup:
    """The share of real images in each bin of the predicted probability, as large as the bin has images."""
    x, y = Scale(0, 1, LEFT, WIDTH - RIGHT), Scale(0, 1, HEIGHT - BOTTOM, TOP)
    parts = axes(x, y, "probability of real, as D predicts it", "share that was real")
    parts.append(path("reference", f"M{x(0):.1f},{y(0):.1f}L{x(1):.1f},{y(1):.1f}"))
    totals = [a + b for a, b in zip(real, generated, strict=True)]
    centres = [(k + 0.5) / len(totals) for k in range(len(totals))]
    shares = [a / total if total > 0 else nan for a, total in zip(real, totals, strict=True)]
    points = [(c, s) for c, s in zip(centres, shares, strict=True) if isfinite(s)]
    if points:
        parts.append(line(Series(title, *zip(*points, strict=True), style=style), x, y))
    for centre, share, count, total in zip(centres, shares, real, totals, strict=True):
        if total > 0:
            size = 0.7 + 1.6 * (total / max(totals)) ** 0.5
            tip = f"predicted {centre - 0.05:.1f} to {centre + 0.05:.1f}: {count:,} of {counted(total, 'image')} real"
            parts.append(marker(x(centre), y(share), style, tip, size))
    spoken = "; ".join(f"predicted {c:.2f}, {s:.2f} real" for c, s in points)
    return figure(title, drawing(title, parts, f"{title}. {spoken}."))


def plot(series: Sequence[Series], charts: Sequence[Markup]) -> Markup:
    """Charts under a legend that switches their lines."""
    return Markup('<div class="plot">{}{}</div>').format(legend(series), grid(charts))


def legend(series: Sequence[Series]) -> Markup:
    """The same strokes and markers as in the charts, with their names. A script makes switches of them."""
    swatch = Markup(
        '<li><button type="button" class="key" aria-pressed="true" data-series="{}" disabled>'
        '<svg class="swatch" viewBox="0 0 36 12" aria-hidden="true">{}{}</svg>{}</button></li>'
    )
    items = [
        swatch.format(
            one.group,
            path(stroke(one), "M1,6H35"),
            marker(18, 6, one.style, one.label),
            one.label,
        )
        for one in series
        if not one.faint
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup().join(items)) if items else Markup()
