"""Triton kernels or plain torch: which one computes on a device."""

from subprocess import CalledProcessError

import torch
from fastsr_kernels.backend import backend
from fastsr_kernels.cohort_loss import cohort_loss

from fastsr.errors import UserError


def kernels(device: torch.device) -> str:
    """The implementation of losses on logits, norms and patches on this device, "triton" or "torch".

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
