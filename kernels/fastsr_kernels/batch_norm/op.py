"""Batch normalisation as an operator of torch: eager and captured, on CPUs and GPUs, differentiable once.

Axes: N images, C channels, H W their sides, S slopes: one, or one a channel.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fastsr_kernels.backend import backend
from fastsr_kernels.batch_norm import reference

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LAYOUT = torch.channels_last


def batch_norm(
    x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, running_mean_C: Tensor, running_var_C: Tensor, momentum: float,
    eps: float, slope: Tensor | float = 1.0, shortcut_NCHW: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """activation(BN(x)) + shortcut in training mode, in two launches forward and two backward on a GPU.

    BN is by the statistics of the batch, of one row (N*H*W = 1) too, whose variance is 0. Sums are fp32 and always in
    one order. Backward computes the input of the activation anew from x. There is no second derivative.

    Args:
        x_NCHW: fp16, bf16 or fp32, channels-last in memory. fp64 runs in torch.
        weight_C, bias_C: of the affine map after normalisation.
        running_mean_C, running_var_C: fp32, moved in place towards the batch's mean and unbiased variance.
        momentum: the share by which they move, 0 to 1. eps: added to the variance.
        slope: factor of what is not above zero: PReLU's tensor `[1]` or `[C]`, LeakyReLU's number, or 1 for neither.
        shortcut_NCHW: added at last; shape and dtype of x.
    Returns:
        `[N, C, H, W]` in the dtype and layout of x, differentiable with regard to x, weight, bias, slope and shortcut.
    Raises:
        ValueError: for shapes, dtypes, layouts or devices that do not fit.
    Source: README.md, which derives the gradients.
    """
    learnt = slope if isinstance(slope, Tensor) else None
    leak = 1.0 if isinstance(slope, Tensor) else float(slope)
    check(x_NCHW, shortcut_NCHW)
    check_channels(x_NCHW, weight_C, bias_C, running_mean_C, running_var_C, learnt)
    if shortcut_NCHW is not None:
        shortcut_NCHW = shortcut_NCHW.contiguous(memory_format=LAYOUT)
    tensors = x_NCHW, weight_C, bias_C, learnt, shortcut_NCHW, running_mean_C, running_var_C
    return Norm.apply(*tensors, momentum, eps, leak)  # pyright: ignore[reportReturnType]


def check(x_NCHW: Tensor, shortcut_NCHW: Tensor | None) -> None:
    """Raises ValueError for images that do not fit."""
    if x_NCHW.ndim != 4 or not x_NCHW.numel() or x_NCHW.dtype not in FLOATS:
        raise ValueError(
            "x_NCHW must be images of float16, bfloat16, float32 or float64, at least one, got "
            f"{x_NCHW.dtype} {tuple(x_NCHW.shape)}"
        )
    if not x_NCHW.is_contiguous(memory_format=LAYOUT):
        raise ValueError(
            "x_NCHW must be channels-last in memory; call .contiguous(memory_format=torch.channels_last) on it"
        )
    y = x_NCHW if shortcut_NCHW is None else shortcut_NCHW
    if (y.shape, y.dtype, y.device) != (x_NCHW.shape, x_NCHW.dtype, x_NCHW.device):
        raise ValueError(
            f"shortcut_NCHW must be like x_NCHW, {x_NCHW.dtype} {tuple(x_NCHW.shape)} on {x_NCHW.device}, got "
            f"{y.dtype} {tuple(y.shape)} on {y.device}"
        )


def check_channels(
    x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, running_mean_C: Tensor, running_var_C: Tensor,
    slope_S: Tensor | None,
) -> None:  # fmt: skip
    """Raises ValueError, naming the tensor, for what is no number of each channel."""
    channels = x_NCHW.shape[1]
    named = {
        "weight_C": weight_C,
        "bias_C": bias_C,
        "running_mean_C": running_mean_C,
        "running_var_C": running_var_C,
    }
    named |= {} if slope_S is None else {"slope": slope_S}
    for name, x in named.items():
        counts = (1, channels) if name == "slope" else (channels,)
        if x.ndim != 1 or len(x) not in counts or not x.is_floating_point() or x.stride(0) != 1:
            raise ValueError(
                f"{name} must hold {' or '.join(map(str, counts))} floating point numbers, one after the other, got "
                f"{x.dtype} {tuple(x.shape)}"
            )
        if x.device != x_NCHW.device:
            raise ValueError(
                f"{name} is on {x.device} and x_NCHW on {x_NCHW.device}; move it there"
            )


class Norm(torch.autograd.Function):
    """Ties both operators together: torch's registration of derivatives knows no operator that writes its arguments."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slope: Tensor | None, shortcut: Tensor | None,
        running_mean: Tensor, running_var: Tensor, momentum: float, eps: float, leak: float,
    ) -> Tensor:  # fmt: skip
        y, statistics = normalise(
            x, weight, bias, slope, shortcut, running_mean, running_var, momentum, eps, leak
        )
        ctx.save_for_backward(x, weight, bias, slope, statistics)
        ctx.leak, ctx.has_shortcut = leak, shortcut is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, bias, slope, statistics = ctx.saved_tensors
        dense = dy.contiguous(memory_format=LAYOUT)
        dx, dweight, dbias, dslope = differentiate(
            dense, x, weight, bias, slope, statistics, ctx.leak
        )
        others = (None if slope is None else dslope), (dense if ctx.has_shortcut else None)
        return dx, dweight, dbias, *others, None, None, None, None, None


@torch.library.custom_op("fastsr::batch_norm", mutates_args=("running_mean_C", "running_var_C"))
def normalise(
    x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, shortcut_NCHW: Tensor | None,
    running_mean_C: Tensor, running_var_C: Tensor, momentum: float, eps: float, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`reference.forward` by the Triton kernels or as it is, whichever the backend is. Checks no arguments."""
    inputs = x_NCHW, weight_C, bias_C, slope_S, shortcut_NCHW, running_mean_C, running_var_C
    if in_triton(x_NCHW):
        from fastsr_kernels.batch_norm import kernel  # imports triton, which not every system has

        return kernel.forward(*inputs, momentum, eps, leak)
    return reference.forward(*inputs, momentum, eps, leak)


@torch.library.custom_op("fastsr::batch_norm_backward", mutates_args=())
def differentiate(
    dy_NCHW: Tensor, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, statistics_2C: Tensor,
    leak: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """`reference.backward`, likewise."""
    inputs = dy_NCHW, x_NCHW, weight_C, bias_C, slope_S, statistics_2C, leak
    if in_triton(x_NCHW):
        from fastsr_kernels.batch_norm import kernel  # imports triton, which not every system has

        return kernel.backward(*inputs)
    return reference.backward(*inputs)


def in_triton(x_NCHW: Tensor) -> bool:
    return x_NCHW.dtype != torch.float64 and backend(x_NCHW.device.type) == "triton"


@normalise.register_fake
def allocate_outputs(
    x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, shortcut_NCHW: Tensor | None,
    running_mean_C: Tensor, running_var_C: Tensor, momentum: float, eps: float, leak: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Outputs without values."""
    dtype = torch.promote_types(x_NCHW.dtype, torch.float32)
    return torch.empty_like(x_NCHW), x_NCHW.new_empty((2, x_NCHW.shape[1]), dtype=dtype)


@differentiate.register_fake
def allocate_gradients(
    dy_NCHW: Tensor, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, statistics_2C: Tensor,
    leak: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients without values."""
    slope = statistics_2C.new_empty(0) if slope_S is None else torch.empty_like(slope_S)
    return torch.empty_like(x_NCHW), torch.empty_like(weight_C), torch.empty_like(bias_C), slope
