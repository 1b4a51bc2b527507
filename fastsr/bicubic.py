"""MATLAB's bicubic `imresize`, bit for bit: how super-resolution benchmarks make their low-resolution images.

On 8-bit images it is an integer algorithm: filter the rows, round half up to 8 bits, filter the columns, round again.
The Keys kernel (a = -1/2), widened by the scale when shrinking, has rational taps, so int32 sums are exact and every
device gives the same bits. `border` is what lies beyond the image: "replicate" repeats the edge pixel (older MATLAB
releases, and with them Set5, Set14, BSD100, Urban100), "mirror" reflects the image, edge included (newer releases).

Axes: H W high resolution, h w low resolution, C channels; any leading axes. Source: MATLAB's documentation of imresize;
Keys, "Cubic convolution interpolation", 1981.
"""

from fractions import Fraction
from functools import cache
from math import lcm
from typing import Literal

import torch
from torch import Tensor

Border = Literal["replicate", "mirror"]


def keys_kernel(x: Fraction) -> Fraction:
    x = abs(x)
    if x < 1:
        return (3 * x**3 - 5 * x**2 + 2) / 2
    return (-(x**3) + 5 * x**2 - 8 * x + 4) / 2 if x < 2 else Fraction(0)


def integer_taps(weights: list[Fraction]) -> tuple[tuple[int, ...], int]:
    """Weights that sum to one, as integers over their common denominator."""
    weights = [w / sum(weights) for w in weights]
    denominator = lcm(*(w.denominator for w in weights))
    return tuple(int(w * denominator) for w in weights), denominator


@cache
def downscale_taps(scale: int) -> tuple[tuple[int, ...], int]:
    """Integer taps and their sum. Output i reads inputs `scale*i - halo(scale)` onwards."""
    centre = Fraction(scale - 1, 2)
    return integer_taps([keys_kernel((t - centre) / scale) for t in range(-halo(scale), scale + halo(scale))])


def halo(scale: int) -> int:
    """Pixels that shrinking by `scale` reads beyond each side of the pixels it covers."""
    return 3 * scale // 2


def filter_axis(x: Tensor, dim: int, scale: int) -> Tensor:
    """Shrinks one axis of uint8 `x`, which carries `halo(scale)` extra pixels at both ends of it. Returns uint8."""
    taps, denominator = downscale_taps(scale)
    length = (x.shape[dim] - len(taps)) // scale + 1
    total = torch.zeros(1, dtype=torch.int32, device=x.device)
    for offset, tap in enumerate(taps):
        if tap:
            window = x.narrow(dim, offset, scale * (length - 1) + 1)
            total = total + tap * every(window, dim, scale).to(torch.int32)
    return round_to_uint8(total, denominator)


def every(x: Tensor, dim: int, step: int) -> Tensor:
    """`x[::step]` along `dim`, as a view."""
    return x[(slice(None),) * (dim % x.ndim) + (slice(None, None, step),)]


def round_to_uint8(total: Tensor, denominator: int) -> Tensor:
    """`total / denominator` rounded half up and clamped to 8 bits, in integers."""
    rounded = torch.div(2 * total + denominator, 2 * denominator, rounding_mode="floor")
    return rounded.clamp(0, 255).to(torch.uint8)


def border_index(index: Tensor, length: Tensor | int, border: Border) -> Tensor:
    """Maps positions, which may lie outside `[0, length)`, to the pixels that the border rule puts there."""
    if border == "replicate":
        return torch.minimum(index.clamp(min=0), torch.as_tensor(length, device=index.device) - 1)
    folded = torch.remainder(index, 2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)


def pad(x: Tensor, dim: int, amount: int, border: Border) -> Tensor:
    index = torch.arange(-amount, x.shape[dim] + amount, device=x.device)
    return x.index_select(dim, border_index(index, x.shape[dim], border))


def downscale(hr_HWC: Tensor, scale: int, border: Border = "replicate") -> Tensor:
    """MATLAB's `imresize(hr, 1/scale)` of uint8 `[..., H, W, C]`; H and W must be multiples of the scale.

    Returns uint8 `[..., H/scale, W/scale, C]`. Raises ValueError for other sizes or dtypes.
    """
    height, width = hr_HWC.shape[-3], hr_HWC.shape[-2]
    if hr_HWC.dtype != torch.uint8 or height % scale or width % scale:
        raise ValueError(f"downscale takes uint8 images whose sides are multiples of {scale}, got {height}x{width}")
    rows = filter_axis(pad(hr_HWC, -3, halo(scale), border), -3, scale)
    return filter_axis(pad(rows, -2, halo(scale), border), -2, scale)


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
    length, padded = x.shape[dim], pad(x.to(torch.int32), dim, 2, border)
    phases = [
        round_to_uint8(
            torch.stack([tap * padded.narrow(dim, 2 + first + t, length) for t, tap in enumerate(taps)]).sum(0),
            denominator,
        )
        for first, taps, denominator in upscale_taps(scale)
    ]
    return torch.stack(phases, dim % x.ndim + 1).flatten(dim % x.ndim, dim % x.ndim + 1)


def upscale(lr_hwC: Tensor, scale: int, border: Border = "replicate") -> Tensor:
    """MATLAB's `imresize(lr, scale)` of uint8 `[..., h, w, C]`: the baseline of every table. Returns uint8."""
    return enlarge_axis(enlarge_axis(lr_hwC, -3, scale, border), -2, scale, border)
