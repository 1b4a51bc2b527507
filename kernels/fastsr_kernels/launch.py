"""A kernel with everything it is launched with: what the launchers run is what is compiled ahead of time."""

from dataclasses import dataclass
from typing import Any


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

    def run(self) -> None:
        self.kernel[self.programs](**self.arguments, **self.options)
