"""MATLAB's bicubic `imresize` of whole images of 8 or 16 bits, bit for bit, in both directions.

The algorithm is told in `fastsr_kernels.bicubic`; 16 bits are rounded to 16 bits after either axis.

Axes: H W high resolution, h w low resolution, C channels; any leading axes.
"""

from fractions import Fraction
from functools import cache

import torch
from fastsr_kernels.bicubic import (
    Border,
    border_index,
    filter_axis,
    halo,
    integer_taps,
    keys_kernel,
    round_half_up,
    round_to_uint8,
)
from torch import Tensor

__all__ = ["Border", "downscale", "upscale"]


def pad(x: Tensor, dim: int, amount: int, border: Border) -> Tensor:
    index = torch.arange(-amount, x.shape[dim] + amount, device=x.device)
    return x.index_select(dim, border_index(index, x.shape[dim], border))


def downscale(hr_HWC: Tensor, scale: int, border: Border = "replicate") -> Tensor:
    """MATLAB's `imresize(hr, 1/scale)` of `[..., H, W, C]`, uint8 or uint16; H and W must be multiples of the scale.

    Returns `[..., H/scale, W/scale, C]` of the same type. Raises ValueError for other sizes or dtypes.
    """
    height, width = hr_HWC.shape[-3], hr_HWC.shape[-2]
    if hr_HWC.dtype not in (torch.uint8, torch.uint16) or height % scale or width % scale:
        raise ValueError(
            f"downscale takes uint8 or uint16 images whose sides are multiples of {scale}, got {height}x{width}"
        )
    levels = hr_HWC if hr_HWC.dtype == torch.uint8 else hr_HWC.to(torch.int32)
    rows = filter_axis(pad(levels, -3, halo(scale), border), -3, scale)
    return filter_axis(pad(rows, -2, halo(scale), border), -2, scale).to(hr_HWC.dtype)


@cache
def upscale_taps(scale: int) -> tuple[tuple[int, tuple[int, ...], int], ...]:
    """For each phase: the first of four inputs relative to i // scale, its integer taps, their sum."""
    phases = [Fraction(2 * phase + 1, 2 * scale) - Fraction(1, 2) for phase in range(scale)]
    firsts = [int(position // 1) - 1 for position in phases]
    return tuple(
        (first, *integer_taps([keys_kernel(position - first - t) for t in range(4)]))
        for position, first in zip(phases, firsts, strict=True)
    )


def enlarge_axis(x: Tensor, dim: int, scale: int, border: Border) -> Tensor:
    """Enlarges one dimension of levels by `scale`: each phase by its own four taps, rounded to 8 or 16 bits."""
    length, padded = x.shape[dim], pad(x.to(torch.int32), dim, 2, border)
    phases = [
        rounded(
            torch.stack(
                [tap * padded.narrow(dim, 2 + first + t, length) for t, tap in enumerate(taps)]
            ).sum(0),
            denominator,
            x.dtype,
        )
        for first, taps, denominator in upscale_taps(scale)
    ]
    return torch.stack(phases, dim % x.ndim + 1).flatten(dim % x.ndim, dim % x.ndim + 1)


def rounded(total: Tensor, denominator: int, dtype: torch.dtype) -> Tensor:
    """`total / denominator` rounded half up and clamped to the levels of a type."""
    if dtype == torch.uint8:
        return round_to_uint8(total, denominator)
    return round_half_up(total, denominator).clamp(0, 65535).to(dtype)


def upscale(lr_hwC: Tensor, scale: int, border: Border = "replicate") -> Tensor:
    """MATLAB's `imresize(lr, scale)` of `[..., h, w, C]`, uint8 or uint16: the baseline of every table."""
    return enlarge_axis(enlarge_axis(lr_hwC, -3, scale, border), -2, scale, border)
