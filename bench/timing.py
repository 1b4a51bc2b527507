"""Times two functions in turn, in one process, so that a slower machine slows both."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import torch
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 5


class Seconds(NamedTuple):
    """Duration of one call."""

    wall: float
    cpu: float
    """Time of this process on processors. With OMP_NUM_THREADS=1 other processes hardly change it; with more threads it
    includes their waiting for each other."""


def timed(function: Callable[[], Any], seconds: list[Seconds]) -> Callable[[], None]:
    """`function`, which adds its duration to `seconds`, waiting for the GPU where there is one."""

    def call() -> None:
        synchronise()
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        synchronise()
        seconds.append(Seconds(time.perf_counter() - wall, time.process_time() - cpu))

    return call


def synchronise() -> None:
    """Waits for the GPU where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def alternate(
    benchmark: BenchmarkFixture, target: Callable[[], Any], other: Callable[[], Any]
) -> tuple[list[Seconds], list[Seconds]]:
    """Durations of `target`, which pytest-benchmark reports, and of `other`, run before it in every round.

    `ROUNDS` rounds (one with --benchmark-disable) after a warm-up.
    """
    target_seconds: list[Seconds] = []
    other_seconds: list[Seconds] = []
    benchmark.pedantic(
        timed(target, target_seconds),
        setup=timed(other, other_seconds),
        rounds=ROUNDS,
        warmup_rounds=1,
    )
    return target_seconds[-ROUNDS:], other_seconds[-ROUNDS:]


def median_wall(seconds: list[Seconds]) -> float:
    return median(s.wall for s in seconds)


def median_cpu(seconds: list[Seconds]) -> float:
    return median(s.cpu for s in seconds)


def summary(seconds: list[Seconds]) -> dict[str, Any]:
    """Medians in seconds, spread (longest less shortest, over the median: the noise), and wall times of all rounds."""
    walls = [s.wall for s in seconds]
    return {
        "median_s": round(median_wall(seconds), 4),
        "median_cpu_s": round(median_cpu(seconds), 4),
        "spread": round((max(walls) - min(walls)) / median_wall(seconds), 3),
        "rounds_s": [round(wall, 4) for wall in walls],
    }
