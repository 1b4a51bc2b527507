"""Lists the kernels of a captured step by their time: `python -m bench.profile_step --scale 4`."""

import argparse
import sys
from collections import defaultdict
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from bench.ladder import Contestant, rungs, uncompiled
from bench.setups import paper_recipe
from bench.timing import synchronise
from fastsr.system.device import choose_device

REPLAYS = 10
SHOWN = 40
LONGEST_NAME = 150


def kernel_times(contestant: Contestant) -> dict[str, list[float]]:
    """Microseconds of every kernel of `REPLAYS` steps, by name."""
    for _ in range(3):
        contestant()
    synchronise()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True
    ) as profile:
        for _ in range(REPLAYS):
            contestant()
        synchronise()
    times: dict[str, list[float]] = defaultdict(list)
    for event in profile.events():
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation:
            times[event.name].append(event.device_time)
    return times


def table(times: dict[str, list[float]]) -> Table:
    """The `SHOWN` kernels that take longest."""
    total = sum(map(sum, times.values()))
    table = Table(
        title=f"{total / REPLAYS / 1e3:.3f} ms of kernels a step, those that ran beside others counted fully"
    )
    for heading in ("share", "us a step", "times a step", "kernel"):
        table.add_column(heading, justify="left" if heading == "kernel" else "right")
    for name, each in sorted(times.items(), key=lambda item: -sum(item[1]))[:SHOWN]:
        share, time = sum(each) / total, sum(each) / REPLAYS
        times_a_step = f"{len(each) / REPLAYS:.1f}"
        table.add_row(f"{share:.1%}", f"{time:.1f}", times_a_step, plain(name)[:LONGEST_NAME])
    return table


def plain(name: str) -> str:
    """A kernel's name without what all of torch's share, so that what it computes comes early."""
    for common in (
        "void ",
        "at::native::",
        "(anonymous namespace)::",
        "c10::",
        "cudnn::",
        "_kernel_impl_nocast",
    ):
        name = name.replace(common, "")
    return name


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, choices=(2, 4), default=4)
    parser.add_argument(
        "--no-compile", action="store_true", help="fused norms instead of torch.compile"
    )
    options = parser.parse_args(arguments)
    device = choose_device("auto")
    if device.type != "cuda":
        print("needs an NVIDIA GPU")
        return 2
    paper = paper_recipe()
    config = replace(paper, model=replace(paper.model, scale=options.scale))
    rung = uncompiled() if options.no_compile else rungs()[-1]
    with Contestant(rung, config, device) as contestant:
        Console(width=190).print(table(kernel_times(contestant)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
