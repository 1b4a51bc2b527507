"""Which precision this machine trains in: fp32, bf16 where the hardware multiplies it, else fp16 with loss scaling."""

import platform
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError

import torch
from fastsr_kernels.backend import backend
from fastsr_kernels.cohort_loss import cohort_loss

from fastsr.errors import UserError


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
        return torch.autocast(device.type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        return torch.amp.GradScaler(device.type, enabled=self.scaled)


def choose_precision(amp: bool, device: torch.device, cpu_flags: frozenset[str] | None = None) -> Precision:
    """What `--amp` means on this device; `cpu_flags` are the processor's features, read from the system by default."""
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
    return Precision(dtype=torch.float16, scaled=True, note="--amp: fp16 with loss scaling, as this GPU has no bf16")


def processor_flags() -> frozenset[str]:
    """Feature names of the processor as Linux gives them; empty where they cannot be read."""
    if platform.system() != "Linux":
        return frozenset()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    line = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return frozenset(line.partition(":")[2].split())


def kernels(device: torch.device) -> str:
    """What losses on logits and patches run in on this device, "triton" or "torch".

    Raises UserError where FASTSR_KERNELS asks for what cannot be done.
    """
    try:
        return backend(device.type)
    except ValueError as error:
        raise UserError(str(error)) from None


def check_triton(device: torch.device) -> None:
    """Launches a kernel. Raises UserError where Triton cannot build its launcher, for which it needs a C compiler."""
    logits, one = torch.zeros((1, 1), device=device), torch.ones(1, device=device)
    try:
        cohort_loss(logits, logits, logits, one, one)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, OSError, ImportError, CalledProcessError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"Triton cannot run here ({reason}); install gcc and the headers of Python, or train with --no-fused"
        ) from error


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU, else the CPU. Raises UserError where it does not exist."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name} is no device; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(
            f"--device {name} does not exist: torch sees {count} GPUs; use --device cpu, or mend the driver"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device
