"""Floating-point operations of whatever is measured."""

from collections.abc import Callable
from typing import Any

from fastsr.prediction.flops import FlopCount


def teraflop(function: Callable[[], Any]) -> float:
    """Floating-point operations of one call, in 10^12; a multiply-add is two."""
    with FlopCount() as count:
        function()
    return round(count.total / 1e12, 4)
