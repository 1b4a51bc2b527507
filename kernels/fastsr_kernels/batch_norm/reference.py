"""Definition of batch normalisation and what follows it, in plain torch: values and gradients. README.md derives them.

Axes: N images, C channels, H W their sides, S slopes: one, or one a channel. Statistics are fp32 (fp64 of fp64).
"""

from typing import NamedTuple

import torch
from torch import Tensor

NHW = (0, 2, 3)


class Gradients(NamedTuple):
    """Gradients of all that is differentiated but the shortcut, whose gradient is that of the result."""

    x_NCHW: Tensor
    weight_C: Tensor
    bias_C: Tensor
    slope_S: Tensor
    """Empty where no slope is learnt."""


def forward(
    x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, shortcut_NCHW: Tensor | None,
    running_mean_C: Tensor, running_var_C: Tensor, momentum: float, eps: float, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """activation(weight * (x - mean) / sqrt(variance + eps) + bias) + shortcut, by the statistics of the batch.

    The activation multiplies what is not above zero by the slope. The running statistics move towards those of the
    batch in place, by the share `momentum`; the variance that they follow is the unbiased one.

    Args:
        slope_S: learnt slope, one or one a channel; None: `leak` is the slope. A leak of 1 is no activation.
        shortcut_NCHW: added at last; None: nothing is.
    Returns:
        `[N, C, H, W]` in the dtype and layout of x, and `[2, C]`: mean and 1 / sqrt(variance + eps).
    Source: Ioffe and Szegedy, "Batch normalization", ICML 2015; He et al., PReLU, ICCV 2015.
    """
    x = at_least_fp32(x_NCHW)
    variance_C, mean_C = torch.var_mean(x, NHW, correction=0)
    count = x.numel() // x.shape[1]
    follow(running_mean_C, mean_C, momentum)
    follow(running_var_C, variance_C * (count / max(count - 1, 1)), momentum)
    statistics_2C = torch.stack([mean_C, (variance_C + eps).rsqrt()])
    before = affine(normal(x, statistics_2C), weight_C, bias_C)
    y = torch.where(before > 0, before, before * slope_of(slope_S, leak, x))
    y = y if shortcut_NCHW is None else y + at_least_fp32(shortcut_NCHW)
    return torch.empty_like(x_NCHW).copy_(y), statistics_2C


def backward(
    dy_NCHW: Tensor, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, statistics_2C: Tensor,
    leak: float,
) -> Gradients:  # fmt: skip
    """Gradients from that of the result, each in the dtype of what it belongs to. Arguments as in `forward`."""
    x, dy = at_least_fp32(x_NCHW), at_least_fp32(dy_NCHW)
    normal_NCHW = normal(x, statistics_2C)
    before = affine(normal_NCHW, weight_C, bias_C)
    passed = torch.where(before > 0, dy, dy * slope_of(slope_S, leak, x))
    bias, weight = passed.sum(NHW), (passed * normal_NCHW).sum(NHW)
    count = x.numel() // x.shape[1]
    rest = passed - channels(bias / count) - normal_NCHW * channels(weight / count)
    dx = rest * channels(statistics_2C[1] * weight_C.to(x.dtype))
    return Gradients(
        torch.empty_like(x_NCHW).copy_(dx),
        weight.to(weight_C.dtype),
        bias.to(bias_C.dtype),
        slope_gradient(dy, before, slope_S),
    )


def slope_gradient(dy_NCHW: Tensor, before_NCHW: Tensor, slope_S: Tensor | None) -> Tensor:
    """That of a learnt slope, one or one a channel."""
    if slope_S is None:
        return dy_NCHW.new_empty(0)
    share_NCHW = torch.where(before_NCHW > 0, 0, dy_NCHW * before_NCHW)
    of_channels_C = share_NCHW.sum(NHW)
    return (of_channels_C if slope_S.numel() > 1 else of_channels_C.sum(0, True)).to(slope_S.dtype)


def normal(x_NCHW: Tensor, statistics_2C: Tensor) -> Tensor:
    mean_C, inverse_C = statistics_2C
    return (x_NCHW - channels(mean_C)) * channels(inverse_C)


def affine(x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor) -> Tensor:
    return x_NCHW * channels(weight_C.to(x_NCHW.dtype)) + channels(bias_C.to(x_NCHW.dtype))


def slope_of(slope_S: Tensor | None, leak: float, x_NCHW: Tensor) -> Tensor | float:
    return leak if slope_S is None else channels(slope_S.to(x_NCHW.dtype))


def channels(x_C: Tensor) -> Tensor:
    """One number a channel, to be broadcast over images."""
    return x_C[:, None, None]


def follow(running_C: Tensor, value_C: Tensor, momentum: float) -> None:
    """Moves a running statistic towards that of a batch by the share `momentum`, in place."""
    running_C.mul_(1 - momentum).add_(value_C.to(running_C.dtype), alpha=momentum)


def at_least_fp32(x: Tensor) -> Tensor:
    """fp16 and bf16 as fp32, wider dtypes unchanged."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
