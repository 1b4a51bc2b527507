"""HTML from templates, and the few elements that stand everywhere. Whatever is not Markup yet is escaped."""

from collections.abc import Sequence
from functools import cache
from math import isfinite

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fastsr.console import counted
from fastsr.evaluation.metrics import (
    MEASURES,
    better_direction,
    metric_name,
    metric_text,
    metric_title,
)


@cache
def environment() -> Environment:
    return Environment(
        loader=PackageLoader("fastsr.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: object) -> Markup:
    """A file of `templates` with these values, and with the functions that write numbers and nouns."""
    functions = {
        "better_direction": better_direction,
        "counted": counted,
        "metric_name": metric_name,
        "metric_title": metric_title,
        "metric_unit": metric_unit,
        "number": number,
    }
    return Markup(environment().get_template(template, globals=functions).render(values))


def metric_unit(metric: str) -> str:
    return MEASURES[metric].unit if metric in MEASURES else ""


def number(metric: str, value: float, sign: bool = False) -> str:
    """A value of a metric; empty where there is none."""
    return metric_text(metric, value, sign) if isfinite(value) else ""


def typeset(words: str) -> str:
    """Minus signs and squares as printed."""
    return words.replace("-ln", "−ln").replace(" - ", " − ").replace("^2", "²")


def grid(charts: Sequence[Markup]) -> Markup:
    return Markup('<div class="charts">{}</div>').format(Markup().join(charts))


def missing(sentence: str) -> Markup:
    """A sentence in the place of what cannot be shown."""
    return Markup('<p class="missing">{}</p>').format(sentence)
