"""The patch sampler as an operator of torch: eager, compiled and captured, on CPUs and GPUs.

Axes: N patches of a batch, C channels, H W high- and h w low-resolution sides of a patch, I images, B bytes.
"""

import torch
from torch import Tensor

from fastsr_kernels.backend import backend
from fastsr_kernels.patch_sampler import reference
from fastsr_kernels.patch_sampler.reference import Crop, Images

FLOATS = (torch.float32, torch.bfloat16, torch.float16)


def patch_sampler(
    images: Images, crop: Crop, seed: int, step: Tensor, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """The training patches of one step: a pure function of (seed, step), the same bit for bit on every device.

    Images are drawn by their weights, crops that begin at multiples of the scale and the 8 orientations uniformly.
    LR is MATLAB's bicubic of the whole image, cropped: filters read beyond the patch, and the border rule holds only at
    the edge of the image, which is first cut to a multiple of the scale.

    Args:
        images: packed pixels and their tables. The tables are on the device of `step`; the pixels too, or in pinned
            host memory, which the Triton kernel reads directly.
        crop: size, scale and augmentation of the patches. No image may be smaller than a patch (not checked: that
            would read the device).
        seed: 0 to 2^63 - 1. step: int64 scalar, which the host does not read. dtype: float32, bfloat16 or float16.
    Returns:
        `lr_NChw, hr_NCHW` in [0, 1], channels-last in memory, on the device of `step`.
    Raises:
        ValueError: for shapes, dtypes, devices or settings that do not fit.
    Source: README.md.
    """
    check(images, crop, seed, step, dtype)
    lr_pixels_B, lr_start_I = images.lr_pixels_B, images.lr_start_I
    return operator(
        *images[:5], lr_pixels_B, lr_start_I, step, seed, dtype, crop.scale, crop.patch, crop.batch, crop.border,
        crop.augment, crop.channels,
    )  # fmt: skip


def check(images: Images, crop: Crop, seed: int, step: Tensor, dtype: torch.dtype) -> None:
    """Raises ValueError, naming the argument, for what does not fit."""
    if (
        crop.scale < 1
        or crop.channels < 1
        or crop.scale > 8
        or crop.patch < crop.scale
        or crop.patch % crop.scale
        or crop.batch < 1
    ):
        raise ValueError(
            f"a patch must be a multiple of the scale (1 to 8), in batches of at least 1, got {crop}"
        )
    if crop.border not in ("replicate", "mirror"):
        raise ValueError(f"border must be replicate or mirror, got {crop.border}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be from 0 to 2^63 - 1, got {seed}")
    if dtype not in FLOATS:
        raise ValueError(f"dtype must be float32, bfloat16 or float16, got {dtype}")
    if step.dtype != torch.int64 or step.ndim:
        raise ValueError(
            f"step must be an int64 scalar, got {step.dtype} of shape {tuple(step.shape)}"
        )
    for name, pixels in (("pixels_B", images.pixels_B), ("lr_pixels_B", images.lr_pixels_B)):
        if pixels is not None:
            check_pixels(name, pixels, images.pixels_B.dtype, step.device)
    if (images.lr_pixels_B is None) != (images.lr_start_I is None):
        raise ValueError("lr_pixels_B and lr_start_I belong together; give both or none")
    for name, table in zip(Images._fields[1:], images[1:], strict=True):
        if table is not None and name != "lr_pixels_B":
            check_table(name, table, images.start_I.shape, step.device)


def check_pixels(name: str, pixels: Tensor, dtype: torch.dtype, device: torch.device) -> None:
    """Raises ValueError where these are no samples, or the device cannot read them."""
    sound = pixels.dtype in (torch.uint8, torch.int16) and pixels.dtype == dtype
    if not sound or pixels.ndim != 1 or not pixels.is_contiguous():
        raise ValueError(
            f"{name} must be contiguous uint8 bytes, or 16 bits in int16, got {pixels.dtype}"
        )
    check_reach(pixels, device)


def check_table(name: str, table: Tensor, shape: torch.Size, device: torch.device) -> None:
    """Raises ValueError for what is no table with a number for each image."""
    if table.dtype != torch.int64 or table.shape != shape or table.ndim != 1 or not len(table):
        raise ValueError(
            f"{name} must be int64, one for each image, got {table.dtype} {tuple(table.shape)}"
        )
    if not table.is_contiguous():
        raise ValueError(f"{name} must be contiguous; call .contiguous() on it")
    if table.device != device:
        raise ValueError(f"{name} is on {table.device} and step on {device}; move it there")


def check_reach(pixels_B: Tensor, device: torch.device) -> None:
    """Raises ValueError where the device cannot read the pixels."""
    if pixels_B.device == device:
        return
    if pixels_B.device.type != "cpu" or not pixels_B.is_pinned():
        raise ValueError(
            f"pixels_B must be on {device} or in pinned host memory, not on {pixels_B.device}"
        )
    if backend(device.type) == "torch":
        raise ValueError(
            f"pixels_B in host memory needs Triton kernels; move the pixels to {device}"
        )


@torch.library.custom_op("fastsr::patch_sampler", mutates_args=())
def operator(
    pixels_B: Tensor, start_I: Tensor, height_I: Tensor, width_I: Tensor, cumulative_I: Tensor,
    lr_pixels_B: Tensor | None, lr_start_I: Tensor | None, step: Tensor, seed: int, dtype: torch.dtype, scale: int,
    patch: int, batch: int, border: str, augment: bool, channels: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Runs the Triton kernel or the reference, whichever the backend of the device is. Checks no arguments."""
    images = Images(pixels_B, start_I, height_I, width_I, cumulative_I, lr_pixels_B, lr_start_I)
    rule = "mirror" if border == "mirror" else "replicate"
    crop = Crop(scale, patch, batch, rule, augment, channels)
    if backend(step.device.type) == "triton":
        # Imports triton, which not every system has.
        from fastsr_kernels.patch_sampler import (
            kernel,
        )

        return kernel.patch_sampler(images, crop, seed, step, dtype)
    return reference.patch_sampler(images, crop, seed, step, dtype)


@operator.register_fake
def allocate_outputs(
    pixels_B: Tensor, start_I: Tensor, height_I: Tensor, width_I: Tensor, cumulative_I: Tensor,
    lr_pixels_B: Tensor | None, lr_start_I: Tensor | None, step: Tensor, seed: int, dtype: torch.dtype, scale: int,
    patch: int, batch: int, border: str, augment: bool, channels: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Outputs without values, as torch.compile traces them."""

    def new(side: int) -> Tensor:
        return torch.empty((batch, side, side, channels), dtype=dtype, device=step.device).permute(
            0, 3, 1, 2
        )

    return new(patch // scale), new(patch)
