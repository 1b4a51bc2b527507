"""Student's t-test of a mean, and Holm's correction of several tests, without scipy."""

import math
from collections.abc import Sequence
from math import nan
from statistics import fmean, stdev


def central_probability(t: float, degrees: int) -> float:
    """P(|T| < |t|) for a whole number of degrees of freedom: a finite sum.

    Source: Abramowitz and Stegun, "Handbook of mathematical functions", 26.7.3 and 26.7.4.
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    cosine = math.cos(angle)
    first = 1 + degrees % 2  # powers of the cosine go in steps of two, up to degrees - 2
    term, total = (cosine if degrees % 2 else 1.0), 0.0
    for power in range(first, degrees, 2):
        total += term
        term *= cosine**2 * power / (power + 1)
    if degrees % 2:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total


def are_enough(values: Sequence[float]) -> bool:
    """True for two values or more, all of them numbers: `stdev` cannot take NaN."""
    return len(values) > 1 and all(map(math.isfinite, values))


def p_value(values: Sequence[float]) -> float:
    """Two-sided p of the mean's being zero; NaN for fewer than two values, equal ones, or one that is not known."""
    if not are_enough(values) or stdev(values) == 0:
        return nan
    t = fmean(values) / (stdev(values) / math.sqrt(len(values)))
    return max(0.0, 1 - central_probability(t, len(values) - 1))


def quantile(confidence: float, degrees: int) -> float:
    """t with P(|T| < t) = confidence, by bisection."""
    low, high = 0.0, 1.0
    while central_probability(high, degrees) < confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if central_probability(middle, degrees) < confidence else (low, middle)
        )
    return high


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """The interval of a mean; NaN for fewer than two values, or one that is not known."""
    if not are_enough(values):
        return nan, nan
    half = quantile(confidence, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p as corrected for all of them: those at or below a level are significant at that family-wise level.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    corrected, most = [0.0] * len(p_values), 0.0
    for rank, k in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[k]))
        corrected[k] = most
    return corrected
