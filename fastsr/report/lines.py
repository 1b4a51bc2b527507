"""Lines of charts from rows of metrics: thinned to what can be drawn, and smoothed to what can be read."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, nan
from statistics import fmean

from fastsr.report.charts import Series

SMOOTHING, LEAST = 0.08, 5
"""Of a line's points, the part over which each is averaged, and how many at least."""
FEWEST = 20
"""A line of fewer points is drawn as it is."""
MOST_RAW = 2
"""Lines of one chart that are also drawn as they are, faint behind; more hide each other."""
NOTE = (
    f"Lines of {FEWEST} points or more are smoothed: each point is a mean over about {SMOOTHING:.0%} of the steps "
    f"shown, or over {LEAST} points where that is more. Faint lines behind, if any, are as measured."
).replace("%", "\u00a0%")


def known_mean(values: Sequence[float]) -> float:
    """Of those that are finite; NaN where none is."""
    return fmean([value for value in values if isfinite(value)] or [nan])


def thinned(
    xs: Sequence[float], ys: Sequence[float], most: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most `most` points, each the mean of as many neighbours; NaN where none of them is finite."""
    size = -(-len(xs) // most) or 1
    starts = range(0, len(xs), size)
    means = [known_mean(ys[k : k + size]) for k in starts]
    return tuple(fmean(xs[k : k + size]) for k in starts), tuple(means)


def smoothed(ys: Sequence[float]) -> tuple[float, ...]:
    """Moving means: narrow at the start, where losses fall steeply, and at the end over the points before it.

    Gaps stay gaps.
    """
    widest = max(LEAST // 2, round(len(ys) * SMOOTHING / 2)) if len(ys) >= FEWEST else 0
    found: list[float] = []
    for k, y in enumerate(ys):
        half = min(widest, k)
        found.append(known_mean(ys[k - half : k + half + 1]) if isfinite(y) else nan)
    return tuple(found)


def with_smoothing(series: Sequence[Series]) -> list[Series]:
    """Smoothed lines, and faint behind them the unsmoothed, where these are few."""
    lines = [replace(one, ys=smoothed(one.ys)) for one in series]
    pairs = zip(series, lines, strict=True)
    raw = [replace(one, faint=True, dash=0) for one, line in pairs if line.ys != one.ys]
    return [*(raw if len(series) <= MOST_RAW else []), *lines]
