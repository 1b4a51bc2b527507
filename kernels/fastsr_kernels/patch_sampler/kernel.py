"""The patch sampler in one Triton launch. reference.py defines the patches, README.md derives the formulas.

Axes: N patches of a batch, C channels, H W high- and h w low-resolution sides of a patch, I images, B bytes. A program
writes a tile of one patch, LR or HR: F samples that follow each other in memory. T taps of the filter.
Pointers have the name of the tensor they point to.
"""
# pyright: basic
# Triton's language has no types.

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastsr_kernels.bicubic import halo
from fastsr_kernels.launch import Launch
from fastsr_kernels.patch_sampler.reference import Crop, Images

HR_TILE = 1024  # samples of a program
LR_TILE = 1024  # samples of a program times the taps of each, for at most 64 samples
WARPS, REGISTERS = 4, 128


@triton.jit
def below(random, bound):
    """Maps a 32-bit random integer to [0, bound)."""
    return ((random.to(tl.uint64) * bound.to(tl.uint64)) >> 32).to(tl.int32)


@triton.jit
def searchsorted(cumulative_I, images, target, SEARCH: tl.constexpr):
    """The first image whose running sum of weights exceeds the target."""
    low, high = tl.zeros((), tl.int32), tl.zeros((), tl.int32) + images
    for _ in range(SEARCH):
        middle = (low + high) // 2
        is_below = tl.load(cumulative_I + middle) <= target
        low = tl.where(is_below, middle + 1, low)
        high = tl.where(is_below, high, middle)
    return low


@triton.jit
def undo_orientation(y, x, orientation, SIDE: tl.constexpr):
    """Row and column in the image's orientation: bit 0 mirrors columns, bit 1 rows, bit 2 then transposes."""
    row, column = tl.where((orientation & 4) > 0, x, y), tl.where((orientation & 4) > 0, y, x)
    row = tl.where((orientation & 2) > 0, SIDE - 1 - row, row)
    return row, tl.where((orientation & 1) > 0, SIDE - 1 - column, column)


@triton.jit
def border_index(index, length, MIRROR: tl.constexpr):
    """Maps positions, which may lie outside `[0, length)`, to the pixels that the border rule puts there."""
    if MIRROR:
        period = 2 * length
        folded = (index % period + period) % period  # % keeps the sign
        mapped = tl.minimum(folded, period - 1 - folded)
    else:
        mapped = tl.minimum(tl.maximum(index, 0), length - 1)
    return mapped


@triton.jit
def tap(t, SCALE: tl.constexpr):
    """Tap t of the filter as an integer: Keys' kernel at a distance of a / (2 SCALE), times 2 (2 SCALE)^3."""
    C: tl.constexpr = 2 * SCALE
    a = tl.abs(2 * (t - 3 * SCALE // 2) - (SCALE - 1))
    near = (3 * a - 5 * C) * a * a + 2 * C * C * C
    far = ((5 * C - a) * a - 8 * C * C) * a + 4 * C * C * C
    return tl.where(a < C, near, tl.where(a < 2 * C, far, 0))


@triton.jit
def round_to_level(total, SCALE: tl.constexpr, MOST: tl.constexpr):
    """Divides by the sum of the taps, rounds half up and clamps to levels. Negative totals give 0 anyway."""
    SUM: tl.constexpr = 16 * SCALE * SCALE * SCALE * SCALE
    return tl.minimum(tl.maximum((2 * total + SUM) // (2 * SUM), 0), MOST)


@triton.jit
def load_levels(pixels_B, place, MOST: tl.constexpr, valid=None):
    """Samples as whole numbers: as wide as sums of them need, where the filter adds them up."""
    if valid is None:  # noqa: SIM108
        sample = tl.load(pixels_B + place)
    else:
        sample = tl.load(pixels_B + place, mask=valid, other=0)
    return sample.to(tl.int32) if MOST == 255 else sample.to(tl.int64) & MOST


@triton.jit
def store_unit_range(patches, level, n, f, valid, SIZE: tl.constexpr, MOST: tl.constexpr):
    """Writes levels as [0, 1]: times 1/255 in fp32, or 1/65535, as the reference has it."""
    unit = level.to(tl.float32) * (1 / MOST)
    tl.store(patches + n.to(tl.int64) * SIZE + f, unit.to(patches.dtype.element_ty), mask=valid)


@triton.jit
def write_lr(
    lr_NChw, pixels_B, start, height, width, top, left, orientation, n, k,
    SCALE: tl.constexpr, SIDE: tl.constexpr, TAPS: tl.constexpr, MIRROR: tl.constexpr, C: tl.constexpr,
    MOST: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Writes MATLAB's bicubic of one tile: rows first, both passes rounded to levels."""
    SIZE: tl.constexpr = SIDE * SIDE * C
    f = k * TILE + tl.arange(0, TILE)
    valid = f < SIZE
    f = tl.where(valid, f, 0)
    row, column = undo_orientation(f // (SIDE * C), f // C % SIDE, orientation, SIDE)
    t = tl.arange(0, TAPS)
    row_FT = (top + row * SCALE - 3 * SCALE // 2)[:, None] + t[None, :]
    row_start_FT = (
        start + border_index(row_FT, height // SCALE * SCALE, MIRROR).to(tl.int64) * width
    )
    first_column = left + column * SCALE - 3 * SCALE // 2
    total = tl.zeros((TILE,), tl.int32 if MOST == 255 else tl.int64)
    for u in range(TAPS):
        pixel_FT = (
            row_start_FT + border_index(first_column + u, width // SCALE * SCALE, MIRROR)[:, None]
        )
        level_FT = load_levels(pixels_B, pixel_FT * C + (f % C)[:, None], MOST)
        filtered = round_to_level(tl.sum(level_FT * tap(t, SCALE)[None, :], 1), SCALE, MOST)
        total += filtered * tap(u, SCALE)
    store_unit_range(lr_NChw, round_to_level(total, SCALE, MOST), n, f, valid, SIZE, MOST)


@triton.jit
def write_crop(
    patches, pixels_B, start, width, top, left, orientation, n, k,
    SIDE: tl.constexpr, C: tl.constexpr, MOST: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Copies the pixels of one tile: of HR, or of LR where it is given."""
    SIZE: tl.constexpr = SIDE * SIDE * C
    f = k * TILE + tl.arange(0, TILE)
    valid = f < SIZE
    row, column = undo_orientation(f // (SIDE * C), f // C % SIDE, orientation, SIDE)
    pixel = start + (top + row).to(tl.int64) * width + left + column
    level = load_levels(pixels_B, pixel * C + f % C, MOST, valid)
    store_unit_range(patches, level, n, f, valid, SIZE, MOST)


@triton.jit
def patch_sampler_kernel(
    pixels_B, start_I, height_I, width_I, cumulative_I, lr_pixels_B, lr_start_I, step, lr_NChw, hr_NCHW, images, seed,
    BATCH: tl.constexpr, SCALE: tl.constexpr, PATCH: tl.constexpr, TAPS: tl.constexpr, MIRROR: tl.constexpr,
    AUGMENT: tl.constexpr, SEARCH: tl.constexpr, GIVEN: tl.constexpr, C: tl.constexpr, MOST: tl.constexpr,
    LR_TILE: tl.constexpr, HR_TILE: tl.constexpr,
):  # fmt: skip
    """Program (n, k) writes tile k of patch n: first the tiles of the LR patch, which take longer, then those of HR."""
    n, k = tl.program_id(0), tl.program_id(1)
    SIDE: tl.constexpr = PATCH // SCALE
    LR_TILES: tl.constexpr = (SIDE * SIDE * C + LR_TILE - 1) // LR_TILE
    counter = tl.load(step) * BATCH + n
    r0, r1, r2, r3 = tl.philox(
        seed, (counter & 0xFFFFFFFF).to(tl.uint32), (counter >> 32).to(tl.uint32), 0, 0
    )
    image = searchsorted(
        cumulative_I, images, below(r0, tl.load(cumulative_I + images - 1)), SEARCH
    )
    start = tl.load(start_I + image)
    height, width = tl.load(height_I + image).to(tl.int32), tl.load(width_I + image).to(tl.int32)
    top = below(r1, height // SCALE - SIDE + 1) * SCALE
    left = below(r2, width // SCALE - SIDE + 1) * SCALE
    orientation = r3 if AUGMENT else tl.zeros_like(r3)
    if k < LR_TILES:
        if GIVEN:
            write_crop(
                lr_NChw, lr_pixels_B, tl.load(lr_start_I + image), width // SCALE, top // SCALE, left // SCALE,
                orientation, n, k, SIDE, C, MOST, LR_TILE,
            )  # fmt: skip
        else:
            write_lr(
                lr_NChw, pixels_B, start, height, width, top, left, orientation, n, k,
                SCALE, SIDE, TAPS, MIRROR, C, MOST, LR_TILE,
            )  # fmt: skip
    else:
        write_crop(
            hr_NCHW, pixels_B, start, width, top, left, orientation, n, k - LR_TILES,
            PATCH, C, MOST, HR_TILE,
        )  # fmt: skip


def plan(
    images: Images,
    crop: Crop,
    seed: int,
    step: Tensor,
    dtype: torch.dtype,
    lr_tile: int = 0,
    hr_tile: int = HR_TILE,
) -> tuple[Launch, tuple[Tensor, Tensor]]:
    """The launch, and the patches `lr_NChw, hr_NCHW` that it will fill. Tiles are powers of two."""
    side = crop.patch // crop.scale
    # Those beyond the filter are zero.
    taps = triton.next_power_of_2(crop.scale + 2 * halo(crop.scale))
    is_given = images.lr_pixels_B is not None
    if crop.scale == 1 and not is_given:
        is_given = True
        images = images._replace(lr_pixels_B=images.pixels_B, lr_start_I=images.start_I)
    lr_tile = lr_tile or (HR_TILE if is_given else min(64, LR_TILE // taps))
    lr_NChw, hr_NCHW = (
        torch.empty(
            (crop.batch, crop.channels, s, s),
            dtype=dtype,
            device=step.device,
            memory_format=torch.channels_last,
        )
        for s in (side, crop.patch)
    )
    programs = triton.cdiv(side * side * crop.channels, lr_tile) + triton.cdiv(
        crop.patch**2 * crop.channels, hr_tile
    )
    arguments: dict[str, Any] = dict(
        zip(Images._fields, images, strict=True),
        step=step,
        lr_NChw=lr_NChw,
        hr_NCHW=hr_NCHW,
        images=len(images.start_I),
        seed=seed,
        BATCH=crop.batch,
        SCALE=crop.scale,
        PATCH=crop.patch,
        TAPS=taps,
        MIRROR=crop.border == "mirror",
        AUGMENT=crop.augment,
        SEARCH=len(images.start_I).bit_length(),
        GIVEN=is_given,
        C=crop.channels,
        MOST=255 if images.pixels_B.dtype == torch.uint8 else 65535,
        LR_TILE=lr_tile,
        HR_TILE=hr_tile,
    )
    options = {"num_warps": WARPS, "maxnreg": REGISTERS, "enable_fp_fusion": True}
    return Launch(patch_sampler_kernel, (crop.batch, programs), arguments, options, step.device), (
        lr_NChw,
        hr_NCHW,
    )


def patch_sampler(
    images: Images, crop: Crop, seed: int, step: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The kernel's `reference.patch_sampler`. Pixels may lie in pinned host memory, everything else on the GPU."""
    launch, patches = plan(images, crop, seed, step, dtype)
    launch.run()
    return patches
