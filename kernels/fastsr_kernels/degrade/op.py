"""The degradations as an operator of torch: eager, compiled and captured, on CPUs and GPUs.

Axes: N samples, C channels, H W high- and h w low-resolution sides, F numbers of the settings.
"""

import torch
from torch import Tensor

from fastsr_kernels.backend import backend
from fastsr_kernels.degrade import reference
from fastsr_kernels.degrade.settings import NUMBERS, Frame


def degrade(
    hr_NCHW: Tensor, frame: Frame, numbers_F: Tensor, seed: int, step: Tensor
) -> tuple[Tensor, Tensor]:
    """LR and HR patches whose degradations are a pure function of (seed, step, sample).

    Args:
        hr_NCHW: fp32 in [0, 1]; sides are multiples of the scale, and larger than the patches by `frame.context`.
        frame: `Degradation.frame`. numbers_F: `pack` of the same, on the device of the patches.
        seed: 0 to 2^63 - 1. step: int64 scalar, which the host does not read.
    Returns:
        `lr_NChw, hr_NCHW` in [0, 1], channels-last in memory. LR is rounded to 8 bits.
    Raises:
        ValueError: for shapes, dtypes, devices or settings that do not fit.
    Source: README.md.
    """
    check(hr_NCHW, frame, numbers_F, seed, step)
    return operator(hr_NCHW, numbers_F, step, seed, *frame)


def check(hr_NCHW: Tensor, frame: Frame, numbers_F: Tensor, seed: int, step: Tensor) -> None:
    """Raises ValueError, naming the argument, for what does not fit."""
    sides = hr_NCHW.shape[2:]
    if hr_NCHW.ndim != 4 or hr_NCHW.dtype != torch.float32:
        raise ValueError(f"hr_NCHW must be fp32 images, got {hr_NCHW.dtype} {tuple(hr_NCHW.shape)}")
    if any(side % frame.scale or side <= frame.context for side in sides):
        raise ValueError(
            f"sides must be multiples of the scale above the context, got {tuple(sides)} for {frame}"
        )
    if frame.scale < 1 or frame.context < 0 or frame.context % frame.scale:
        raise ValueError(f"context must be a multiple of the scale, 0 or more, got {frame}")
    taps = frame.least_taps, frame.taps
    if any(not n % 2 for n in taps) or not 1 <= frame.least_taps <= frame.taps:
        raise ValueError(f"blur kernels must have odd sides, the least first, got {taps}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be from 0 to 2^63 - 1, got {seed}")
    if step.dtype != torch.int64 or step.ndim:
        raise ValueError(
            f"step must be an int64 scalar, got {step.dtype} of shape {tuple(step.shape)}"
        )
    if numbers_F.shape != (NUMBERS,) or numbers_F.dtype != torch.float32:
        raise ValueError(f"numbers_F must be made by pack, got {tuple(numbers_F.shape)}")
    for name, tensor in (("numbers_F", numbers_F), ("step", step)):
        if tensor.device != hr_NCHW.device:
            raise ValueError(
                f"{name} is on {tensor.device} and hr_NCHW on {hr_NCHW.device}; move it there"
            )


@torch.library.custom_op("fastsr::degrade", mutates_args=())
def operator(
    hr_NCHW: Tensor, numbers_F: Tensor, step: Tensor, seed: int, scale: int, context: int, usm: bool, shuffle: bool,
    least_taps: int, taps: int, growth: float, second_growth: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Runs the Triton kernels or the reference, whichever the backend of the device is. Checks no arguments."""
    frame = Frame(scale, context, usm, shuffle, least_taps, taps, growth, second_growth)
    if backend(hr_NCHW.device.type) == "triton":
        # Imports triton, which not every system has.
        from fastsr_kernels.degrade import kernel

        return kernel.degrade(hr_NCHW, frame, numbers_F, seed, step)
    return reference.degrade(hr_NCHW, frame, numbers_F, seed, step)


@operator.register_fake
def allocate_outputs(
    hr_NCHW: Tensor, numbers_F: Tensor, step: Tensor, seed: int, scale: int, context: int, usm: bool, shuffle: bool,
    least_taps: int, taps: int, growth: float, second_growth: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Outputs without values, as torch.compile traces them."""
    batch, channels, height, width = hr_NCHW.shape

    def new(divisor: int) -> Tensor:
        sides = (height - context) // divisor, (width - context) // divisor
        return hr_NCHW.new_empty((batch, *sides, channels)).permute(0, 3, 1, 2)

    return new(scale), new(1)
