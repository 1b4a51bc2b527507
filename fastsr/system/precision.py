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


class Twice(torch.autograd.Function):
    """Tensors for two calls of one network, whose gradients are added by one kernel, or a few where there are many.

    Autograd itself would add them one by one: 27 kernels for each discriminator of SRGAN in every step.
    """

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        return *(x.detach() for x in tensors), *(x.detach() for x in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        count = len(gradients) // 2
        sums: list[Tensor] = list(gradients[:count])
        for dtype in {x.dtype for x in sums}:  # of which each kernel takes one
            places = [k for k, x in enumerate(sums) if x.dtype == dtype]
            first, second = ([gradients[k + offset] for k in places] for offset in (0, count))
            added = torch._foreach_add(first, second)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
            for k, total in zip(places, added, strict=True):
                sums[k] = total
        return tuple(sums)


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
        return partial(functional_call, network, self.cast_weights(network), tie_weights=False)

    def for_two_calls(
        self, network: nn.Module
    ) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """The same for two calls, the gradients of which are added for all weights at once."""
        weights = {**dict(network.named_parameters()), **self.cast_weights(network)}
        both: tuple[Tensor, ...] = Twice.apply(*weights.values())  # pyright: ignore[reportAssignmentType]
        count = len(weights)
        first, second = (
            dict(zip(weights, part, strict=True)) for part in (both[:count], both[count:])
        )
        return (
            partial(functional_call, network, first, tie_weights=False),
            partial(functional_call, network, second, tie_weights=False),
        )

    def cast_weights(self, network: nn.Module) -> dict[str, Tensor]:
        """Those weights that autocast would cast, by name, all cast together; none without autocast."""
        if self.dtype is None:
            return {}
        weights = {
            f"{prefix}.{name}": weight
            for prefix, module in network.named_modules()
            if isinstance(module, CAST)
            for name, weight in module.named_parameters()
        }
        return dict(zip(weights, Cast.apply(self.dtype, *weights.values()), strict=True))  # pyright: ignore

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
