"""Charts as inline SVG: readable on a phone, and told apart by colour, marker and dash, never by colour alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10, nan

from markupsafe import Markup

from fastsr.report.html import missing

WIDTH, HEIGHT = 340, 216
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 26, 38
COLOURS, SPARSE = 8, 5
LOG_SPAN = 100
"""Values that span more than this are drawn on a logarithmic axis."""
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
    """0 solid, 1 dashed, 2 dotted."""
    faint: bool = False
    """Thin, without marker, and not in the legend."""


@dataclass(frozen=True)
class Scale:
    """Values to pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (log10(self.low), log10(self.high)) if self.log else (self.low, self.high)
        place = log10(value) if self.log else value
        return self.start + (place - low) / (high - low) * (self.end - self.start)

    def shows(self, value: float) -> bool:
        return isfinite(value) and (value > 0 or not self.log)

    def ticks(self) -> list[float]:
        return log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high)


def linear_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high, at most `most` steps apart."""
    least = (high - low) / most
    magnitude = 10.0 ** floor(log10(least))
    step = next(
        factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= least * 0.999
    )
    return [k * step for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, as many of them as there is room for; with three times each where they are few."""
    first, last = ceil(log10(low) - 1e-9), floor(log10(high) + 1e-9)
    every = max(1, ceil((last - first) / 5))
    ticks = [10.0**k for k in range(first, last + 1, every)]
    if len(ticks) > 2:
        return ticks
    between = [3 * 10.0**k for k in range(first - 1, last + 1)]
    return sorted([*ticks, *(tick for tick in between if low <= tick <= high)])


def tick_text(value: float, step: float) -> str:
    """As short as the distance between ticks allows."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000 and abs(value) < 1e9:
        short, unit = (value / 1e6, "M") if abs(value) >= 1e6 else (value / 1e3, "k")
        return f"{short:.4g}{unit}".replace("-", "−")
    if abs(value) < 1e-3 or abs(value) >= 1e9:
        return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")
    return f"{value:,.{max(0, min(6, -floor(log10(step) + 1e-9)))}f}".replace("-", "−")


def labels_of(ticks: Sequence[float], log: bool) -> list[str]:
    if log or len(ticks) < 2:
        return [f"{tick:g}" if 1e-3 <= tick < 1e3 else tick_text(tick, tick) for tick in ticks]
    return [tick_text(tick, ticks[1] - ticks[0]) for tick in ticks]


def value_scale(values: Iterable[float], bounds: tuple[float, float] | None) -> Scale | None:
    """The upright axis: logarithmic where values span more than two decades. None where nothing is finite."""
    finite = [value for value in values if isfinite(value)]
    bottom, top = HEIGHT - BOTTOM, TOP
    if not finite:
        return None
    if bounds is not None:
        return Scale(*bounds, bottom, top)
    positive = [value for value in finite if value > 0]
    if positive and min(finite) >= 0 and max(positive) > LOG_SPAN * min(positive):
        return Scale(min(positive) * 0.8, max(positive) * 1.25, bottom, top, log=True)
    low, high = min(finite), max(finite)
    room = 0.05 * (high - low) or max(0.05 * abs(high), 1e-6)
    return Scale(low - (room if low < 0 or low > room else low), high + room, bottom, top)


def step_scale(xs: Iterable[float]) -> Scale:
    finite = [x for x in xs if isfinite(x)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    return Scale(min(0.0, low), max(high, low + 1, 1.0), LEFT, WIDTH - RIGHT)


def text(x: float, y: float, content: str, anchor: str = "middle", kind: str = "") -> Markup:
    style = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}"{}>{}</text>').format(
        x, y, anchor, style, content
    )


def path(kind: str, commands: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, commands)


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> list[Markup]:
    """Grid lines with their numbers; the upright axis is named above it, where the name can be read unturned."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [text(2, 13, y_label + (", log scale" if y.log else ""), "start", "name")]
    for tick, label in zip(y.ticks(), labels_of(y.ticks(), y.log), strict=True):
        parts.append(path("grid", f"M{LEFT},{y(tick):.1f}H{right}"))
        parts.append(text(LEFT - 6, y(tick) + 4, label, "end"))
    for tick, label in zip(x.ticks(), labels_of(x.ticks(), x.log), strict=True):
        anchor = "end" if x(tick) > right - 14 else "middle"
        parts.append(path("axis", f"M{x(tick):.1f},{bottom}v4"))
        parts.append(
            text(
                min(x(tick), WIDTH - 1) + (10 if anchor == "end" else 0), bottom + 17, label, anchor
            )
        )
    parts.append(path("axis", f"M{LEFT},{bottom}H{right}"))
    parts.append(text((LEFT + right) / 2, HEIGHT - 5, x_label, kind="name"))
    return parts


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


def line_chart(
    title: str,
    y_label: str,
    series: Sequence[Series],
    *,
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
    parts = axes(x, y, "step", y_label)
    if 0 < begins < x.high:
        parts.append(path("begin", f"M{x(begins):.1f},{TOP}V{HEIGHT - BOTTOM}"))
    if reference and y.shows(level):
        parts.append(path("reference", f"M{LEFT},{y(level):.1f}H{WIDTH - RIGHT}"))
        above = y(level) > TOP + 18
        parts.append(
            text(WIDTH - RIGHT, y(level) + (-5 if above else 14), reference[1], "end", "name halo")
        )
    parts += [line(one, x, y) for one in series]
    parts += [mark for one in series if not one.faint for mark in markers(one, x, y, sparse=True)]
    spoken = " ".join(spoken_summary(one) for one in series if not one.faint)
    return figure(title, parts, f"{title} over steps, {y_label}. {spoken}")


def spoken_summary(series: Series) -> str:
    """A sentence for those who cannot see the line: its last, least and greatest value."""
    finite = [
        (step, value) for step, value in zip(series.xs, series.ys, strict=True) if isfinite(value)
    ]
    if not finite:
        return f"{series.label}: no finite values."
    values = [value for _, value in finite]
    step, last = finite[-1]
    return f"{series.label}: {last:.4g} at step {step:,.0f}, from {min(values):.4g} to {max(values):.4g}."


def figure(title: str, parts: Sequence[Markup], spoken: str, height: float = HEIGHT) -> Markup:
    svg = Markup(
        '<svg viewBox="0 0 {} {:.0f}" role="img" aria-label="{}"><title>{}</title>{}</svg>'
    ).format(WIDTH, height, spoken, title, Markup().join(parts))
    return Markup('<figure class="chart"><figcaption>{}</figcaption>{}</figure>').format(title, svg)


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
            tip = f"predicted {centre - 0.05:.1f} to {centre + 0.05:.1f}: {count:,} of {total:,} images were real"
            parts.append(marker(x(centre), y(share), style, tip, size))
    spoken = "; ".join(f"predicted {c:.2f}, {s:.2f} real" for c, s in points)
    return figure(title, parts, f"{title}. {spoken}.")


def legend(series: Sequence[Series]) -> Markup:
    """The same strokes and markers as in the charts, with their names."""
    swatch = Markup(
        '<li><svg class="swatch" viewBox="0 0 36 12" aria-hidden="true">{}{}</svg>{}</li>'
    )
    items = [
        swatch.format(path(stroke(one), "M1,6H35"), marker(18, 6, one.style, one.label), one.label)
        for one in series
        if not one.faint
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup().join(items)) if items else Markup()
