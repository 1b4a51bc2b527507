"""The precision of training: fp32, bf16 where the hardware multiplies it, else fp16 with loss scaling."""

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

CAST = (nn.Conv2d, nn.Linear, nn.PReLU)
"""Modules whose weights autocast casts, each in a kernel of its own."""


class Cast(torch.autograd.Function):
    """Tensors in another dtype, all by one kernel, or a few where there are many. So are their gradients cast back."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *tensors: Tensor) -> tuple[Tensor, ...]:
        return cast(tensors, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *cast(gradients, torch.float32)


def cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    torch._foreach_copy_(copies, list(tensors))  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
    return tuple(copies)


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Autocast's dtype, whether losses are scaled, and a line for the user.

    None is fp32, in which torch lets convolutions on NVIDIA GPUs since Ampere multiply in TF32.
    """

    dtype: torch.dtype | None = None
    scaled: bool = False
    note: str = ""

    def autocast(self, device: torch.device) -> torch.autocast:
        # The cache holds casted weights across calls within one step: D runs twice on the same ones.
        return torch.autocast(
            device.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None
        )

    def with_cast_weights(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """The network, its weights cast once for all calls to what autocast would cast them to; their gradients are
        fp32. Without autocast it is the network itself."""
        if self.dtype is None:
            return network
        weights = {
            f"{prefix}.{name}": weight
            for prefix, module in network.named_modules()
            if isinstance(module, CAST)
            for name, weight in module.named_parameters()
        }
        copies = dict(zip(weights, Cast.apply(self.dtype, *weights.values()), strict=True))  # pyright: ignore
        return partial(functional_call, network, copies, tie_weights=False)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(device.type, enabled=self.scaled)


def exactly(device: torch.device) -> AbstractContextManager[Any]:
    """Within, autocast lowers no precision. Tensors without contents (meta) know no autocast."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def choose_precision(
    amp: bool, device: torch.device, cpu_flags: frozenset[str] | None = None
) -> Precision:
    """The precision of `--amp` on this device; `cpu_flags` are the processor's features, by default its own."""
    if not amp:
        return Precision()
    if device.type == "cpu":
        flags = processor_flags() if cpu_flags is None else cpu_flags
        if flags & {"avx512_bf16", "amx_bf16", "bf16"}:
            return Precision(dtype=torch.bfloat16, note="--amp: bf16 on this processor")
        return Precision(
            note="--amp: this processor has no bf16 units (avx512_bf16, amx_bf16) and would train slower; fp32"
        )
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision(dtype=torch.bfloat16, note="--amp: bf16 on this GPU")
    return Precision(
        dtype=torch.float16,
        scaled=True,
        note="--amp: fp16 with loss scaling, as this GPU has no bf16",
    )


def processor_flags() -> frozenset[str]:
    """Feature names of the processor as Linux gives them; empty where they cannot be read."""
    if platform.system() != "Linux":
        return frozenset()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    line = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return frozenset(line.partition(":")[2].split())
