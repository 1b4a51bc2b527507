"""Axes of charts: values to pixels, ticks, and the numbers beside them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

WIDTH, HEIGHT = 340, 212
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 22, 38
LOG_SPAN = 100
"""Values that span more than this are drawn on a logarithmic axis."""
LATE = 0.15
"""Of the last step: the part before the first step that is not drawn."""


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
    """From 0, or from the first step where it is so late that much would be empty."""
    finite = [x for x in xs if isfinite(x)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    return Scale(low if low > LATE * high else 0.0, max(high, low + 1), LEFT, WIDTH - RIGHT)


def text(x: float, y: float, content: str, anchor: str = "middle", kind: str = "") -> Markup:
    style = Markup(' class="{}"').format(kind) if kind else ""
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}"{}>{}</text>').format(
        x, y, anchor, style, content
    )


def path(kind: str, commands: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, commands)


def axes(x: Scale, y: Scale, x_label: str, y_label: str = "") -> list[Markup]:
    """Grid lines with their numbers; the upright axis is named above it, where the name can be read unturned."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [text(2, 10, y_label, "start", "name")] if y_label else []
    for tick, label in zip(y.ticks(), labels_of(y.ticks(), y.log), strict=True):
        parts.append(path("grid", f"M{LEFT},{y(tick):.1f}H{right}"))
        parts.append(text(LEFT - 6, y(tick) + 4, label, "end"))
    for tick, label in zip(x.ticks(), labels_of(x.ticks(), x.log), strict=True):
        last = x(tick) > right - 14
        place = min(x(tick), WIDTH - 1) + (10 if last else 0)
        parts.append(path("axis", f"M{x(tick):.1f},{bottom}v4"))
        parts.append(text(place, bottom + 17, label, "end" if last else "middle"))
    parts.append(path("axis", f"M{LEFT},{bottom}H{right}"))
    parts.append(text((LEFT + right) / 2, HEIGHT - 5, x_label, kind="name"))
    return parts
