"""The precision of training: fp32, bf16 where the hardware multiplies it, else fp16 with loss scaling."""

import platform
from dataclasses import dataclass
from pathlib import Path

import torch


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

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(device.type, enabled=self.scaled)


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
