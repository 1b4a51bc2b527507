"""Enlarging by a fixed filter, inside a network: what a generator with a global skip adds its details to.

Axes: N images, C channels, h w low resolution.
"""

from fractions import Fraction
from typing import Literal

import torch
from fastsr_kernels.bicubic import keys_kernel
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad, pixel_shuffle

from fastsr.system.precision import exactly

REACH = 2
"""Pixels that bicubic reads on each side of the one that it enlarges."""


class Enlarge(nn.Module):
    """`[N, C, h, w]` to fp32 `[N, C, scale*h, scale*w]`, without anything to learn, not clamped to [0, 1].

    Args:
        skip: nearest, or bicubic: MATLAB's imresize (Keys kernel, a = -1/2, edges repeated) before it rounds.
            `torch.nn.functional.interpolate` has another kernel (a = -3/4).
        channels: C.
    """

    kernel: Tensor

    def __init__(self, scale: int, skip: Literal["nearest", "bicubic"], channels: int = 3) -> None:
        super().__init__()
        self.scale, self.skip, self.channels = scale, skip, channels
        # A constant: in no weight file.
        self.register_buffer("kernel", bicubic_kernel(scale, channels), persistent=False)

    def forward(self, lr_NChw: Tensor) -> Tensor:
        if self.skip == "nearest":
            return interpolate(lr_NChw.float(), scale_factor=self.scale, mode="nearest")
        # 8 bits of bf16 are fewer than those of an image.
        with exactly(lr_NChw.device):
            padded = pad(lr_NChw.float(), (REACH,) * 4, mode="replicate")
            return pixel_shuffle(conv2d(padded, self.kernel, groups=self.channels), self.scale)


def bicubic_kernel(scale: int, channels: int) -> Tensor:
    """fp32 `[C * scale^2, 1, 5, 5]`: a filter for each channel and each pixel that one low-resolution pixel becomes."""
    taps = torch.tensor([phase_taps(scale, phase) for phase in range(scale)])
    kernel = taps[:, None, :, None] * taps[None, :, None, :]
    return kernel.flatten(0, 1)[:, None].repeat(channels, 1, 1, 1)


def phase_taps(scale: int, phase: int) -> list[float]:
    """Weights of the five pixels around one, for the pixel `phase` of the `scale` that it becomes along an axis."""
    position = Fraction(2 * phase + 1, 2 * scale) - Fraction(1, 2)
    return [float(keys_kernel(position - offset)) for offset in range(-REACH, REACH + 1)]
