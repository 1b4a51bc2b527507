"""Definition of the patch sampler in integer tensor operations: a pure function of (seed, step), equal on every device.

Axes: N patches of a batch, C channels, H W high- and h w low-resolution sides of a patch, I images, B bytes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fastsr_kernels.bicubic import Border, border_index, filter_axis, halo

MASK_32 = 0xFFFFFFFF


class Images(NamedTuple):
    """Packed images: rows of pixels one after the other, and where each image begins."""

    pixels_B: Tensor
    """uint8 samples; or 16-bit ones, unsigned, in the bits of int16."""
    start_I: Tensor
    """int64: first pixel (not byte) of each image."""
    height_I: Tensor
    """int64, in pixels."""
    width_I: Tensor
    """int64, in pixels."""
    cumulative_I: Tensor
    """int64: running sum of the weights that images are drawn by; its last entry is below 2^31."""
    lr_pixels_B: Tensor | None = None
    """Given low-resolution images, of the same samples, where LR is not made by bicubic: sides are those of HR over
    the scale, rounded down."""
    lr_start_I: Tensor | None = None
    """int64: first pixel of each of them."""


class Crop(NamedTuple):
    """Size, scale and augmentation of the patches."""

    scale: int
    """HR pixels to one LR pixel. At 1 LR is HR, or given."""
    patch: int
    """Side of the HR patch in pixels, a multiple of the scale."""
    batch: int
    """Patches in one draw."""
    border: Border
    """Rule for the pixels that bicubic reads beyond the edge of an image."""
    augment: bool
    """Put each patch in one of 8 orientations."""
    channels: int = 3
    """Samples of a pixel."""


class Choice(NamedTuple):
    """The patches drawn: image, crop and orientation of each."""

    image_N: Tensor
    top_N: Tensor
    """First row, in HR pixels: a multiple of the scale."""
    left_N: Tensor
    orientation_N: Tensor
    """Orientation: bit 0 mirrors columns, bit 1 rows, bit 2 then transposes."""


def multiply_32(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """High and low word of the product of 32-bit integers kept in int64, which the full product would overflow."""
    low, high = (a & 0xFFFF) * b, (a >> 16) * b
    middle = high + (low >> 16)
    return middle >> 16, ((middle & 0xFFFF) << 16) | (low & 0xFFFF)


def philox(
    counter_N: Tensor, seed: int, third_N: Tensor | None = None, fourth_N: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random 32-bit integers (in int64) for each counter: Philox4x32-10.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The counter fills the lower two of
    the four words, `third_N` and `fourth_N` (32 bits, 0 by default) the others; the seed is the 64-bit key.
    """
    c0, c1 = counter_N & MASK_32, (counter_N >> 32) & MASK_32
    c2, c3 = (torch.zeros_like(c0) if word is None else word for word in (third_N, fourth_N))
    k0, k1 = seed & MASK_32, (seed >> 32) & MASK_32
    for _ in range(10):
        high_0, low_0 = multiply_32(c0, 0xD2511F53)
        high_2, low_2 = multiply_32(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = high_2 ^ c1 ^ k0, low_2, high_0 ^ c3 ^ k1, low_0
        k0, k1 = (k0 + 0x9E3779B9) & MASK_32, (k1 + 0xBB67AE85) & MASK_32
    return c0, c1, c2, c3


def below(random_N: Tensor, bound_N: Tensor | int) -> Tensor:
    """Maps 32-bit random integers to `[0, bound)`, for bounds below 2^31."""
    return (random_N * bound_N) >> 32


def choose(images: Images, crop: Crop, seed: int, step: Tensor) -> Choice:
    """Draws the patches of a step: images by their weights, aligned crops and orientations uniformly."""
    index_N = torch.arange(crop.batch, device=step.device)
    r0, r1, r2, r3 = philox(step * crop.batch + index_N, seed)
    image_N = torch.searchsorted(
        images.cumulative_I, below(r0, images.cumulative_I[-1]), right=True
    )

    def aligned(random_N: Tensor, side_I: Tensor) -> Tensor:
        crops_N = side_I[image_N] // crop.scale - crop.patch // crop.scale + 1
        return below(random_N, crops_N) * crop.scale

    orientation_N = r3 & 7 if crop.augment else torch.zeros_like(r3)
    return Choice(image_N, aligned(r1, images.height_I), aligned(r2, images.width_I), orientation_N)


def windows(images: Images, crop: Crop, choice: Choice) -> Tensor:
    """Levels `[N, patch + 2 halo, patch + 2 halo, C]`: the crops with the margin that bicubic reads around them.

    The border rule supplies pixels beyond the edge of the image, which is first cut to a multiple of the scale.
    """
    margin = halo(crop.scale)
    window = torch.arange(-margin, crop.patch + margin, device=choice.image_N.device)

    def positions_in_image(first_N: Tensor, side_I: Tensor) -> Tensor:
        usable_N1 = (side_I[choice.image_N] // crop.scale * crop.scale)[:, None]
        return border_index(first_N[:, None] + window, usable_N1, crop.border)

    row_NH = positions_in_image(choice.top_N, images.height_I)
    column_NW = positions_in_image(choice.left_N, images.width_I)
    first_NH = (
        images.start_I[choice.image_N][:, None] + row_NH * images.width_I[choice.image_N][:, None]
    )
    return levels(images.pixels_B, crop.channels, first_NH[:, :, None] + column_NW[:, None])


def levels(pixels_B: Tensor, channels: int, index: Tensor) -> Tensor:
    """Pixels by their index, `[..., C]`: uint8, or 16-bit levels in int32."""
    taken = pixels_B.view(-1, channels)[index]
    return taken if taken.dtype == torch.uint8 else taken.to(torch.int32) & 0xFFFF


def given_low(images: Images, crop: Crop, choice: Choice) -> Tensor:
    """The crops of the given LR images that belong to those of HR, `[N, h, w, C]`; at x1 those of HR without any."""
    pixels_B = images.pixels_B if images.lr_pixels_B is None else images.lr_pixels_B
    start_I = images.start_I if images.lr_start_I is None else images.lr_start_I
    side = torch.arange(crop.patch // crop.scale, device=choice.image_N.device)
    row_Nh = choice.top_N[:, None] // crop.scale + side
    column_Nw = choice.left_N[:, None] // crop.scale + side
    width_N = images.width_I[choice.image_N] // crop.scale
    first_Nh = start_I[choice.image_N][:, None] + row_Nh * width_N[:, None]
    return levels(pixels_B, crop.channels, first_Nh[:, :, None] + column_Nw[:, None])


def orient(x_NHWC: Tensor, orientation_N: Tensor) -> Tensor:
    """One of the 8 symmetries of the square for each image: bit 0 mirrors columns, bit 1 rows, bit 2 transposes."""
    orientation_N111 = orientation_N[:, None, None, None]
    x_NHWC = torch.where((orientation_N111 & 1) > 0, x_NHWC.flip(2), x_NHWC)
    x_NHWC = torch.where((orientation_N111 & 2) > 0, x_NHWC.flip(1), x_NHWC)
    return torch.where((orientation_N111 & 4) > 0, x_NHWC.transpose(1, 2), x_NHWC).contiguous()


def draw_bytes(images: Images, crop: Crop, seed: int, step: Tensor) -> tuple[Tensor, Tensor]:
    """The patches of one step as levels `lr_NhwC, hr_NHWC`: uint8, or 16 bits in int32.

    `step` is an int64 scalar, which the host does not read.
    """
    choice = choose(images, crop, seed, step)
    window_NHWC = windows(images, crop, choice)
    margin = halo(crop.scale)
    hr_NHWC = window_NHWC[:, margin : margin + crop.patch, margin : margin + crop.patch]
    if crop.scale == 1 or images.lr_pixels_B is not None:
        lr_NhwC = given_low(images, crop, choice)
    else:
        lr_NhwC = filter_axis(filter_axis(window_NHWC, 1, crop.scale), 2, crop.scale)
    if not crop.augment:
        return lr_NhwC, hr_NHWC.contiguous()
    return orient(lr_NhwC, choice.orientation_N), orient(hr_NHWC, choice.orientation_N)


def to_unit(x_NHWC: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Levels `[N, H, W, C]` as `[N, C, H, W]` in [0, 1], channels-last in memory; scaled in fp32, then rounded."""
    # Times 1/255, not divided by 255: some devices divide by a constant that way, and all of them multiply alike.
    most = 255 if x_NHWC.dtype == torch.uint8 else 65535
    return (x_NHWC.float() * (1 / most)).to(dtype).permute(0, 3, 1, 2)


def patch_sampler(
    images: Images, crop: Crop, seed: int, step: Tensor, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """The patches of one step as `lr_NChw, hr_NCHW` in [0, 1], channels-last in memory."""
    lr_NhwC, hr_NHWC = draw_bytes(images, crop, seed, step)
    return to_unit(lr_NhwC, dtype), to_unit(hr_NHWC, dtype)
