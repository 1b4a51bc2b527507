"""A Triton kernel with its arguments and options, to be launched or compiled ahead of time."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Launch:
    """One launch of a Triton kernel."""

    kernel: Any
    """A `triton.jit` function, compiled or interpreted."""
    programs: tuple[int, ...]
    arguments: dict[str, Any]
    """By name: tensors, numbers and compile-time constants."""
    options: dict[str, int]
    """Of the compiler: num_warps, maxnreg."""

    device: torch.device

    def run(self) -> None:
        """Launches on the current stream of the device, which need not be the current device."""
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            self.kernel[self.programs](**self.arguments, **self.options)
