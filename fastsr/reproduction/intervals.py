"""A number with its interval, and its place in JSON, where what is not known is null."""

from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from fastsr.evaluation.results import nulled, number


@dataclass(frozen=True)
class Difference:
    """A mean, most often of a variant minus Independent, and its 95 % interval, which one value alone does not give."""

    mean: float = nan
    low: float = nan
    high: float = nan


def difference_to_json(one: Difference) -> dict[str, float | None] | None:
    return nulled(vars(one)) if isfinite(one.mean) else None


def difference_from_json(one: dict[str, Any] | None) -> Difference:
    return (
        Difference(*(number(one.get(key)) for key in ("mean", "low", "high")))
        if one
        else Difference()
    )
