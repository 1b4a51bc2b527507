"""Batch normalisation in training mode, with the activation and the sum that follow it, forward and backward."""

from fastsr_kernels.batch_norm import reference
from fastsr_kernels.batch_norm.op import batch_norm

__all__ = ["batch_norm", "reference"]
