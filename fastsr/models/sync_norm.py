"""Batch normalisation over a batch of which every process has a slice of the same size.

torch's SyncBatchNorm runs on GPUs alone. This is the same in plain torch, for any device: one exchange of two numbers a
channel going forward, and one going backward.

Axes: D slices, N images of a slice, C channels, H W their sides.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

Gather = Callable[[Tensor], Tensor]
"""From a tensor of this process to those of all slices, stacked before it."""
NHW = (0, 2, 3)


class SynchronisedNorm(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps), with the mean and variance of all slices."""

    @staticmethod
    def forward(ctx: Any, x_NCHW: Tensor, eps: float, gather: Gather) -> tuple[Tensor, Tensor]:
        x = at_least_fp32(x_NCHW)
        variance_C, mean_C = torch.var_mean(x, NHW, correction=0)
        of_slices_D2C = gather(torch.stack([mean_C, variance_C]))
        means_DC, variances_DC = of_slices_D2C.unbind(1)
        mean_C = means_DC.mean(0)
        # The sum of what slices vary within and between: no difference of large numbers.
        variance_C = (variances_DC + (means_DC - mean_C).square()).mean(0)
        inverse_C = (variance_C + eps).rsqrt()
        normal_NCHW = (x - broadcast(mean_C)) * broadcast(inverse_C)
        ctx.save_for_backward(normal_NCHW, inverse_C)
        ctx.gather, ctx.dtype = gather, x_NCHW.dtype
        statistics_2C = torch.stack([mean_C, variance_C])
        ctx.mark_non_differentiable(statistics_2C)
        return normal_NCHW.to(x_NCHW.dtype), statistics_2C

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        normal_NCHW, inverse_C = ctx.saved_tensors
        gradient_NCHW = at_least_fp32(gradients[0])
        means_2C = torch.stack([gradient_NCHW.mean(NHW), (gradient_NCHW * normal_NCHW).mean(NHW)])
        mean_C, along_C = ctx.gather(means_2C).mean(0)
        rest = gradient_NCHW - broadcast(mean_C) - normal_NCHW * broadcast(along_C)
        return (rest * broadcast(inverse_C)).to(ctx.dtype), None, None


def at_least_fp32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def broadcast(x_C: Tensor) -> Tensor:
    return x_C[:, None, None]


def synchronised_norm(x_NCHW: Tensor, eps: float, gather: Gather) -> tuple[Tensor, Tensor]:
    """Normalised images, and the mean and (biased) variance `[2, C]` of all slices."""
    return cast("tuple[Tensor, Tensor]", SynchronisedNorm.apply(x_NCHW, eps, gather))  # pyright: ignore
