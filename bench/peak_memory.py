"""Measures the peak memory of training in its own process: `python -m bench.peak_memory cohort [--paper]`.

Prints bytes as JSON: on a CPU the process's resident set, Python and torch's libraries ("imported") included; on a GPU
the memory that torch has allocated.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.setups import (
    make_baseline,
    make_sampler,
    make_step,
    paper_recipe,
    sample_store,
    small_recipe,
)
from fastsr.system.device import choose_device

STEPS = 2  # Adam's states come with the first


def resident(field: str) -> int:
    """VmRSS (now) or VmHWM (the most so far) of this process in bytes, on Linux.

    Not getrusage's ru_maxrss: a child begins with that of the process that started it, here the test session's.
    """
    match = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def make_body(contestant: str, paper: bool) -> Callable[[], Any]:
    """One training step of the cohort or of the baseline."""
    config = paper_recipe() if paper else small_recipe()
    device = choose_device("auto")
    sampler = make_sampler(config, sample_store(device))
    if contestant == "cohort":
        return make_step(config, sampler)
    baseline = make_baseline(config, device)
    lr_NChw, hr_NCHW = (
        x.contiguous() for x in sampler.draw(torch.zeros((), dtype=torch.int64, device=device))
    )
    return lambda: baseline.step(lr_NChw, hr_NCHW)


def measure(contestant: str, paper: bool) -> dict[str, int]:
    """Bytes at import, and at the peak of `STEPS` steps."""
    imported = 0 if torch.cuda.is_available() else resident("VmRSS")
    body = make_body(contestant, paper)
    for _ in range(STEPS):
        body()
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else resident("VmHWM")
    return {"imported": imported, "peak": peak}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contestant", choices=("cohort", "baseline"))
    parser.add_argument("--paper", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.contestant, arguments.paper)))
