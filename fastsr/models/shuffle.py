"""Pixel shuffle that keeps the layout in memory.

Axes: N images, C channels, H W sides.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PixelShuffle(nn.PixelShuffle):
    """torch's, `[N, factor^2 C, H, W]` to `[N, C, factor H, factor W]`, channels-last where its input is so.

    On a GPU torch's own returns channels first (`math_pixel_shuffle` in ATen's PixelShuffle.cpp), so that convolutions
    around it copy what they read, forward and twice back: by reading, ten copies for each generator of SRGAN at x4 in a
    step, four of them needed. An H100's step of two peers had 34 copies that change the layout; it was not timed since.
    """

    def forward(self, input: Tensor) -> Tensor:
        return pixel_shuffle(input, self.upscale_factor)


def pixel_shuffle(x_NCHW: Tensor, factor: int) -> Tensor:
    """`[N, factor^2 C, H, W]` to `[N, C, factor H, factor W]` as `PixelShuffle`; equal to torch's bit for bit.

    Compiled code, and a CPU, keep the layout by themselves.
    """
    if x_NCHW.device.type != "cuda" or torch.compiler.is_compiling():
        return functional.pixel_shuffle(x_NCHW, factor)
    return shuffled(x_NCHW, factor)


def shuffled(x_NCHW: Tensor, factor: int) -> Tensor:
    """In the layout that came."""
    if x_NCHW.is_contiguous(memory_format=torch.channels_last):
        return shuffled_last(x_NCHW, factor)
    return functional.pixel_shuffle(x_NCHW, factor)


def shuffled_last(x_NCHW: Tensor, factor: int) -> Tensor:
    """Of a channels-last tensor, by one copy; so is its gradient."""
    images, channels, height, width = x_NCHW.shape
    out = channels // factor**2
    pixels = x_NCHW.permute(0, 2, 3, 1).reshape(images, height, width, out, factor, factor)
    rows = pixels.permute(0, 1, 4, 2, 5, 3).reshape(images, height * factor, width * factor, out)
    return rows.permute(0, 3, 1, 2)
