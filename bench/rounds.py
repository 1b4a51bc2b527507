"""Two functions timed in turn, in one process: what slows the machine down slows both."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 5


def timed(function: Callable[[], Any], seconds: list[float]) -> Callable[[], None]:
    """`function`, which adds its duration to `seconds`, waiting for the GPU where there is one."""

    def call() -> None:
        synchronise()
        begin = time.perf_counter()
        function()
        synchronise()
        seconds.append(time.perf_counter() - begin)

    return call


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def alternate(
    benchmark: BenchmarkFixture, target: Callable[[], Any], other: Callable[[], Any]
) -> tuple[list[float], list[float]]:
    """Seconds of `target`, which pytest-benchmark reports, and of `other`, run before it in every round.

    `ROUNDS` rounds (one with --benchmark-disable) after a warm-up.
    """
    target_seconds: list[float] = []
    other_seconds: list[float] = []
    benchmark.pedantic(timed(target, target_seconds), setup=timed(other, other_seconds), rounds=ROUNDS, warmup_rounds=1)
    return target_seconds[-ROUNDS:], other_seconds[-ROUNDS:]


def summary(seconds: list[float]) -> dict[str, Any]:
    """Median in seconds, spread (largest less smallest, over the median: the noise), and all rounds."""
    middle = median(seconds)
    spread = (max(seconds) - min(seconds)) / middle
    return {"median_s": round(middle, 4), "spread": round(spread, 3), "rounds_s": [round(s, 4) for s in seconds]}
