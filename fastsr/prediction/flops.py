"""Floating-point operations, by torch's formulas."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fastsr.models.architecture import GeneratorArchitecture
from fastsr.models.networks import build_generator


class FlopCount(TorchDispatchMode):
    """Sums the operations of convolutions and matrix products, a multiply-add being two; the rest counts nothing.

    torch's own FlopCounterMode hooks into modules, and so fails where a step calls `autograd.grad`.
    """

    total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def upscaling_flop(architecture: GeneratorArchitecture, height: int, width: int) -> int:
    """Operations by which a generator enlarges one image of these low-resolution sides, in a moment."""
    with torch.device("meta"), torch.no_grad(), FlopCount() as count:
        build_generator(architecture).eval()(torch.empty(1, architecture.channels, height, width))
    return count.total
