"""What the machine itself can do, and what a step asks of its host."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from bench.rounds import synchronise
from fastsr.prediction.duration import matrix_speed


@cache
def matrix_peak(device: torch.device, dtype: torch.dtype | None, tf32: bool = True) -> float:
    """TFLOP/s of a large square matrix product in this dtype: the peak that shares refer to."""
    return matrix_speed(device, dtype, tf32) / 1e12


def host_seconds(body: Callable[[], Any]) -> float:
    """How long the host is busy with one call; on a GPU without waiting for it, elsewhere the whole call."""
    times: list[float] = []
    for _ in range(3 if torch.cuda.is_available() else 1):
        synchronise()
        began = time.perf_counter()
        body()
        times.append(time.perf_counter() - began)
    synchronise()
    return min(times)


def kernels_of(body: Callable[[], Any]) -> int | None:
    """Kernels, copies and clears that one call runs on the GPU; None without one."""
    if not torch.cuda.is_available():
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        body()
        synchronise()
    return sum(
        event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
        for event in profile.events()
    )
