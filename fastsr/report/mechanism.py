"""The discriminators of each variant, as a table of the page."""

from math import isfinite

from markupsafe import Markup

from fastsr.console import counted
from fastsr.report.html import render
from fastsr.reproduction.intervals import Difference
from fastsr.reproduction.mechanism import STEPS, Mechanism, Opinion
from fastsr.reproduction.paper import BASELINE

DIGITS = 3


def mechanism_table(one: Mechanism) -> Markup:
    """One line per quantity: each variant's, then the differences to Independent, with intervals over seeds."""
    variants = list(one.opinions[0].values)
    taught = [name for name in variants if name != BASELINE]
    over = f"means over peers and {counted(one.seeds, 'seed')}"
    return render(
        "mechanism.html",
        caption=f"x{one.scale}, over the last {STEPS} steps of training; {over}",
        scale=one.scale,
        heads=[*variants, *(f"{name} − {BASELINE}" for name in taught)],
        rows=[(one.name(line.quantity), cells(line, variants, taught)) for line in one.opinions],
    )


def cells(line: Opinion, variants: list[str], taught: list[str]) -> list[tuple[str, str]]:
    """Of each column the mean and its interval, empty where it is not known."""
    values = [texts(line.values[name], "") for name in variants]
    return values + [texts(line.differences.get(name, Difference()), "+") for name in taught]


def texts(one: Difference, sign: str) -> tuple[str, str]:
    mean, low, high = (
        f"{value:{sign}.{DIGITS}f}".replace("-", "−") if isfinite(value) else ""
        for value in (one.mean, one.low, one.high)
    )
    return mean, f"{low} to {high}" if low and high else ""
