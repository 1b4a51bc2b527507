"""Charts of differences with their intervals."""

from collections.abc import Sequence
from math import isfinite

from markupsafe import Markup

from fastsr.report.axes import RIGHT, TOP, WIDTH, Scale, labels_of, path, text
from fastsr.report.charts import drawing, figure, marker
from fastsr.report.html import missing


def interval_chart(
    title: str, x_label: str, rows: Sequence[tuple[str, float, float, float, int]]
) -> Markup:
    """Differences with their intervals, one line each: label, mean, low, high, style. Zero is drawn as a line."""
    ends = [end for _, *values, _ in rows for end in values if isfinite(end)]
    if not ends:
        return missing(f"{title}: no finite values.")
    left, row_height = 112, 24
    bottom = TOP + row_height * len(rows)
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.06 * (high - low) or 1.0
    x = Scale(low - room, high + room, left, WIDTH - RIGHT)
    parts = interval_axis(x, x_label, left, bottom)
    for index, (label, mean, start, end, style) in enumerate(rows):
        y = TOP + row_height * (index + 0.5)
        parts.append(text(left - 8, y + 4, label, "end"))
        if isfinite(start) and isfinite(end):
            parts.append(path(f"line c{style}", f"M{x(start):.1f},{y:.1f}H{x(end):.1f}"))
        if isfinite(mean):
            parts.append(marker(x(mean), y, style, interval_words(label, mean, start, end), 1.2))
    spoken = "; ".join(
        interval_words(label, mean, start, end) for label, mean, start, end, _ in rows
    )
    svg = drawing(title, parts, f"{title}, {x_label}. {spoken}.", bottom + 40)
    return figure(title, svg, meaning="Means over images, with 95\u00a0% intervals over images")


def interval_axis(x: Scale, x_label: str, left: float, bottom: float) -> list[Markup]:
    ticks = x.ticks()
    parts = [path("axis", f"M{left},{bottom}H{WIDTH - RIGHT}")]
    parts.append(path("reference", f"M{x(0):.1f},{TOP - 8}V{bottom}"))
    for tick, label in zip(ticks, labels_of(ticks, log=False), strict=True):
        parts += [path("axis", f"M{x(tick):.1f},{bottom}v4"), text(x(tick), bottom + 17, label)]
    return [*parts, text(WIDTH - RIGHT, bottom + 34, x_label, "end", "name")]


def interval_words(label: str, mean: float, low: float, high: float) -> str:
    interval = (
        f", 95\u00a0% interval {low:.3g} to {high:.3g}"
        if isfinite(low) and isfinite(high)
        else ", no interval"
    )
    return f"{label}: {mean:+.3g}{interval}" if isfinite(mean) else f"{label}: not measured"
