"""Steps per second of each technique, from the usual loop to one graph launch, and of one to eight peers.

On a GPU this is the paper's recipe at x4 and x2; elsewhere a small one, whose ratios mean little.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.basicsr import has_basicsr
from bench.ladder import (
    BASICSR,
    CURRENT_TRAINER,
    Contestant,
    Rung,
    autotuned,
    rungs,
    uncompiled,
    with_peers,
)
from bench.machine import host_seconds, kernels_of, matrix_peak, teraflop
from bench.setups import paper_recipe, small_recipe
from bench.timing import synchronise
from fastsr.config.settings import TrainConfig
from fastsr.system.device import free_unused

GPU = torch.cuda.is_available()
ROUNDS, WARM_UP, LONGEST_BLOCK = (3, 3, 100) if GPU else (1, 1, 1)
SCALES = (4, 2) if GPU else (4,)
PEERS = (1, 2, 4, 6, 8) if GPU else (1, 2)
STREAMS = (1, 2, 4)


def recipe_at(scale: int, is_paper: bool) -> TrainConfig:
    """The paper's recipe, on a GPU always, or the small one, at this scale."""
    config = paper_recipe() if is_paper or GPU else small_recipe()
    return replace(config, model=replace(config.model, scale=scale))


def measure(contestant: Contestant, benchmark: BenchmarkFixture) -> dict[str, Any]:
    """Warms up, then times blocks of steps that the host queues without waiting in between."""
    for _ in range(WARM_UP):
        contestant()
    synchronise()
    steps = block_size(contestant)
    seconds: list[float] = []

    def block() -> None:
        began = time.perf_counter()
        for _ in range(steps):
            contestant()
        synchronise()
        seconds.append((time.perf_counter() - began) / steps)

    benchmark.pedantic(block, rounds=ROUNDS)
    step = median(seconds[-ROUNDS:])
    config = contestant.config
    return {
        "steps_per_second": round(1 / step, 3),
        "images_per_second": round(config.images.batch / step, 2),
        "milliseconds": round(1e3 * step, 3),
        "spread": round((max(seconds) - min(seconds)) / step, 3),
        "host_milliseconds": round(1e3 * host_seconds(contestant), 3),
        "kernels": kernels_of(contestant),
        "seconds_to_prepare": round(contestant.seconds_to_prepare, 1),
    }


def block_size(contestant: Contestant) -> int:
    """Steps that take about half a second, within limits."""
    began = time.perf_counter()
    contestant()
    synchronise()
    return max(1, min(LONGEST_BLOCK, round(0.5 / (time.perf_counter() - began))))


def row_of(
    rung: Rung, config: TrainConfig, device: torch.device, benchmark: BenchmarkFixture
) -> dict[str, Any]:
    """One row: speed, memory, FLOPs, and their rate as a share of the peak of matrix products."""
    free_unused()
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    with Contestant(rung, config, device) as contestant:
        row = measure(contestant, benchmark)
        memory = round(torch.cuda.max_memory_allocated() / 2**30, 3) if GPU else None
        dtype = contestant.precision.dtype
    work = work_of(rung, config, device)
    speed = work * row["steps_per_second"]
    peak = matrix_peak(device, dtype, rung.tf32)
    return {
        "recipe": config.recipe, "rung": rung.name, "scale": config.model.scale, "peers": config.cohort.peers,
        "batch": config.images.batch, **row,
        "peak_memory_gib": memory, "teraflop": work, "teraflops_per_second": round(speed, 3),
        "share_of_matrix_peak": round(speed / peak, 3),
    }  # fmt: skip


def work_of(rung: Rung, config: TrainConfig, device: torch.device) -> float:
    """TFLOP of a step, counted on an eager one: operations of compiled or captured ones cannot be seen."""
    eager = replace(rung, graph=False, compiled=(), streams=1)
    with Contestant(eager, config, device) as contestant:
        return teraflop(contestant)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rung", rungs(), ids=lambda rung: rung.name)
@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"x{scale}")
def test_ladder(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    is_paper: bool,
    rung: Rung,
    scale: int,
) -> None:
    if rung.graph and not GPU:
        pytest.skip("needs an NVIDIA GPU")
    report({"name": "ladder", **row_of(rung, recipe_at(scale, is_paper), device, benchmark)})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: f"x{scale}")
def test_uncompiled(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    is_paper: bool,
    scale: int,
) -> None:
    """The top of the ladder with the kernels of batch normalisation instead of torch.compile."""
    if not GPU:
        pytest.skip("needs an NVIDIA GPU")
    report(
        {
            "name": "uncompiled",
            **row_of(uncompiled(), recipe_at(scale, is_paper), device, benchmark),
        }
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("peers", PEERS, ids=lambda peers: f"{peers} peers")
def test_peers(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    is_paper: bool,
    peers: int,
) -> None:
    """More and more peers, not compiled, which is no slower (test_uncompiled); steps times peers is the throughput."""
    row = row_of(uncompiled(), with_peers(recipe_at(4, is_paper), peers), device, benchmark)
    report(
        {"name": "peers", "peer_steps_per_second": round(peers * row["steps_per_second"], 3), **row}
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("streams", STREAMS, ids=lambda streams: f"{streams} streams")
def test_streams(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    is_paper: bool,
    streams: int,
) -> None:
    """Four peers on this many CUDA streams, not compiled."""
    if not GPU:
        pytest.skip("needs an NVIDIA GPU")
    rung = replace(uncompiled(), streams=streams)
    row = row_of(rung, with_peers(recipe_at(4, is_paper), 4), device, benchmark)
    report({"name": "streams", "streams": streams, **row})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("rung", [CURRENT_TRAINER, BASICSR], ids=lambda rung: rung.name)
def test_other_trainers(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    is_paper: bool,
    rung: Rung,
) -> None:
    """The settings of current trainers, and BasicSR itself.

    Patches are drawn one step ahead by a thread, where theirs come from worker processes.
    """
    if rung.basicsr and not has_basicsr():
        pytest.skip("BasicSR is not installed")
    report({"name": "field", **row_of(rung, recipe_at(4, is_paper), device, benchmark)})


@pytest.mark.timeout(900)
def test_autotune(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    device: torch.device,
    is_paper: bool,
) -> None:
    """The top of the ladder with the fastest template for each convolution. Last, as blocks compiled later share it."""
    if not GPU:
        pytest.skip("needs an NVIDIA GPU")
    report({"name": "autotune", **row_of(autotuned(), recipe_at(4, is_paper), device, benchmark)})
