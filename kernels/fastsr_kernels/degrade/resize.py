"""Resizing by area, bilinear and bicubic weights, each sample to a size of its own.

Axes: N samples, C channels, H W sides of a canvas, O I output and input positions along one of them.
"""

import torch
from torch import Tensor

CUBIC_A = -0.75
"""torch's and OpenCV's bicubic, which does not low-pass when it shrinks; MATLAB's is -0.5."""


def cubic(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.75, at distances from 0 to 2."""
    a, d = CUBIC_A, distance
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return torch.where(d <= 1, near, far)


def weights_along(
    old_N: Tensor, new_N: Tensor, mode_N: Tensor, inputs: int, outputs: int
) -> Tensor:
    """Weights of inputs for each output, `[N, O, I]`; sizes are fp32 and whole.

    Area is the mean of the pixels that an output covers, fully or in part; bilinear and bicubic repeat the edge.
    """
    old, new, mode = old_N[:, None, None], new_N[:, None, None], mode_N[:, None, None]
    o = torch.arange(outputs, device=old_N.device).float()[None, :, None]
    i = torch.arange(inputs, device=old_N.device).float()[None, None, :]
    # Whole numbers below 2^24 in fp32, so both products are exact; the quotient of wholes that divide is, too.
    first, beyond = (o * old / new).floor(), ((o + 1) * old / new).ceil()
    area = ((i >= first) & (i < beyond)).float() / (beyond - first)
    centre = (o + 0.5) * (old / new) - 0.5
    inside = centre.clamp(min=0)
    left, last = inside.floor(), old - 1
    part = inside - left
    bilinear = (1 - part) * (i == torch.minimum(left, last)) + part * (
        i == torch.minimum(left + 1, last)
    )
    left, part = centre.floor(), centre - centre.floor()
    bicubic = torch.zeros_like(area)
    for tap in range(-1, 3):
        place = torch.minimum((left + tap).clamp(min=0), last)
        bicubic = bicubic + cubic((part - tap).abs()) * (i == place)
    return torch.where(mode == 0, area, torch.where(mode == 1, bilinear, bicubic))


def resize(
    x_NCHW: Tensor, size_N2: Tensor, new_N2: Tensor, mode_N: Tensor, canvas: tuple[int, int]
) -> Tensor:
    """Resizes the valid part of each sample from `size_N2` to `new_N2` on a canvas of these sides; zeros beyond."""
    old, new = size_N2.float(), new_N2.float()
    rows_NOI, columns_NOI = (
        weights_along(old[:, k], new[:, k], mode_N, x_NCHW.shape[2 + k], canvas[k])
        * (torch.arange(canvas[k], device=x_NCHW.device) < new[:, k : k + 1])[..., None]
        for k in range(2)
    )
    # Beyond the valid size a canvas may hold anything, and no weight of 0 makes NaN of it.
    return rows_NOI[:, None] @ x_NCHW @ columns_NOI[:, None].mT
