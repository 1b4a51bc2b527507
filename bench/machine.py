"""Peak speed of the machine, and the work of one call: FLOPs, kernels, and seconds of the host."""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from bench.timing import synchronise
from fastsr.prediction.duration import matrix_speed
from fastsr.prediction.flops import FlopCount


@cache
def matrix_peak(device: torch.device, dtype: torch.dtype | None, tf32: bool = True) -> float:
    """TFLOP/s of a large square matrix product in this dtype, the peak that shares refer to."""
    return matrix_speed(device, dtype, tf32) / 1e12


def teraflop(function: Callable[[], Any]) -> float:
    """Floating-point operations of one call, in 10^12; a multiply-add is two."""
    with FlopCount() as count:
        function()
    return round(count.total / 1e12, 4)


def host_seconds(body: Callable[[], Any]) -> float:
    """Seconds that the host is busy with one call: on a GPU without waiting for it, unless the call itself waits, as
    the usual loop does for its losses; elsewhere the whole call."""
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
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True
    ) as profile:
        body()
        synchronise()
    return sum(
        event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
        for event in profile.events()
    )
