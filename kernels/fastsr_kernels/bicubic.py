"""MATLAB's bicubic shrinking, bit for bit, as benchmarks make their low-resolution images.

On 8-bit images it is an integer algorithm: filter the rows, round half up to 8 bits, filter the columns, round again.
The Keys kernel (a = -1/2), widened by the scale, has rational taps, so int32 sums are exact and every device gives the
same bits. `border` is the rule for pixels beyond the image: "replicate" repeats the edge pixel (older MATLAB releases,
and with them Set5, Set14, BSD100, Urban100), "mirror" reflects the image, edge included (newer releases).

Source: MATLAB's documentation of imresize; Keys, "Cubic convolution interpolation", 1981.
"""

from fractions import Fraction
from functools import cache
from math import lcm
from typing import Literal

import torch
from torch import Tensor

Border = Literal["replicate", "mirror"]


def keys_kernel(x: Fraction) -> Fraction:
    """Keys' cubic convolution kernel with a = -1/2."""
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
    return integer_taps(
        [keys_kernel((t - centre) / scale) for t in range(-halo(scale), scale + halo(scale))]
    )


def halo(scale: int) -> int:
    """Pixels that shrinking by `scale` reads beyond each side of the pixels it covers."""
    return 3 * scale // 2


def filter_axis(x: Tensor, dim: int, scale: int) -> Tensor:
    """Shrinks one axis of `x`, which carries `halo(scale)` extra pixels at both ends of it.

    Takes and returns uint8, or 16-bit levels in int32: the same rule with another greatest level.
    """
    wide = torch.int32 if x.dtype == torch.uint8 else torch.int64  # 16 bits at x8 need 33
    taps, denominator = downscale_taps(scale)
    length = (x.shape[dim] - len(taps)) // scale + 1
    total = torch.zeros(1, dtype=wide, device=x.device)
    for offset, tap in enumerate(taps):
        if tap:
            window = x.narrow(dim, offset, scale * (length - 1) + 1)
            total = total + tap * every(window, dim, scale).to(wide)
    if x.dtype == torch.uint8:
        return round_to_uint8(total, denominator)
    return round_half_up(total, denominator).clamp(0, 65535).to(torch.int32)


def every(x: Tensor, dim: int, step: int) -> Tensor:
    """`x[::step]` along `dim`, as a view."""
    return x[(slice(None),) * (dim % x.ndim) + (slice(None, None, step),)]


def round_to_uint8(total: Tensor, denominator: int) -> Tensor:
    """`total / denominator` rounded half up and clamped to 8 bits, in integers."""
    return round_half_up(total, denominator).clamp(0, 255).to(torch.uint8)


def round_half_up(total: Tensor, denominator: int) -> Tensor:
    return torch.div(2 * total + denominator, 2 * denominator, rounding_mode="floor")


def border_index(index: Tensor, length: Tensor | int, border: Border) -> Tensor:
    """Maps positions, which may lie outside `[0, length)`, to the pixels that the border rule puts there."""
    if border == "replicate":
        return torch.minimum(index.clamp(min=0), torch.as_tensor(length, device=index.device) - 1)
    folded = torch.remainder(index, 2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)
