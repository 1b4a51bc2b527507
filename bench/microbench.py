"""Times functions of microseconds: many calls at once, launched one by one or replayed from a CUDA graph."""

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import pytest
import torch
from fastsr_kernels.backend import backend
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from bench.rows import gpu_name
from bench.timing import ROUNDS, Seconds, timed
from fastsr.cohort.capture import capture

ROUND_SECONDS = 0.05  # of one contender: beside it, waiting for the GPU at both ends is nothing

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
LAUNCHES = ["launched", pytest.param("replayed", marks=needs_gpu)]


class Contender(NamedTuple):
    """A function to time, and the calls of it to time together."""

    function: Callable[[], Any]
    calls: int = 20
    """Consecutive calls. A captured graph holds this many, so that its launch is shared between them."""
    state: tuple[Tensor, ...] = ()
    """Every tensor that the function changes and later reads."""


def measure(
    benchmark: BenchmarkFixture, contenders: dict[str, Contender], replayed: bool
) -> dict[str, list[float]]:
    """Seconds of one call, for each of `ROUNDS` rounds, by contender. Every round runs them all.

    Replayed, the host does nothing but launch graphs; else its launching of every kernel counts where the GPU waits for
    it. pytest-benchmark reports the first contender: all of its calls in a round, some `ROUND_SECONDS`.
    """
    calls: dict[str, int] = {}
    seconds: dict[str, list[Seconds]] = {name: [] for name in contenders}
    runs: list[Callable[[], None]] = []
    for name, contender in contenders.items():
        row = repeat(contender.function, contender.calls)
        once = capture(row, contender.state) if replayed else row
        times = repetitions(once)
        calls[name] = times * contender.calls
        runs.append(timed(repeat(once, times), seconds[name]))

    def others() -> None:
        for run in runs[1:]:
            run()

    benchmark.pedantic(runs[0], setup=others, rounds=ROUNDS, warmup_rounds=1)
    return {name: [s.wall / calls[name] for s in rows[-ROUNDS:]] for name, rows in seconds.items()}


def repeat(function: Callable[[], Any], times: int) -> Callable[[], None]:
    """A function that makes this many calls."""

    def row() -> None:
        for _ in range(times):
            function()

    return row


def repetitions(function: Callable[[], None]) -> int:
    """Number of calls that take `ROUND_SECONDS`, at least one."""
    function()  # compiles what has to be
    seconds: list[Seconds] = []
    timed(function, seconds)()
    return max(1, round(ROUND_SECONDS / seconds[0].wall))


def microseconds(seconds: list[float]) -> dict[str, Any]:
    """Median, spread (longest less shortest, over the median: the noise) and all rounds."""
    return {
        "median_us": round(median(seconds) * 1e6, 3),
        "spread": round((max(seconds) - min(seconds)) / median(seconds), 3),
        "rounds_us": [round(s * 1e6, 3) for s in seconds],
    }


def ratio(slow: list[float], fast: list[float]) -> float:
    """Median of the first over median of the second."""
    return round(median(slow) / median(fast), 2)


def has_targets() -> bool:
    """True on an H200 that runs the Triton kernels, for which targets are stated."""
    return "H200" in (gpu_name() or "") and backend("cuda") == "triton"
