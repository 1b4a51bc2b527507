"""JPEG by Triton in whole numbers: one launch codes blocks and decodes them, one puts the picture together in place.

Axes: N samples, P planes, H W sides of a canvas, I J positions in a block. Pointers have the name of the tensor they
point to. jpeg.py defines the numbers.
"""
# pyright: basic, reportArgumentType=false, reportAssignmentType=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# Triton's language has no types.

import triton
import triton.language as tl

from fastsr_kernels.degrade.kernel_common import levels, size_before
from fastsr_kernels.degrade.kernel_draw import FINAL, ROUND


@triton.jit
def descale(x, BITS: tl.constexpr):
    """Divides by 2^BITS and rounds half up."""
    return (x + (1 << (BITS - 1))) >> BITS


@triton.jit
def times(a_IK, b_KJ):
    """Product of two 8x8 matrices of whole numbers."""
    return tl.sum(a_IK[:, :, None] * b_KJ[None, :, :], 1)


@triton.jit
def quality_of(row, R: tl.constexpr, WHEN: tl.constexpr):
    """Quality of a sample: of the first JPEG (0), or of the second if it comes first (1) or last (2); 0 for none."""
    quality = tl.load(row + R * ROUND + 15)
    comes_first = tl.load(row + FINAL + 4)
    if WHEN == 1:
        quality = quality * comes_first
    elif WHEN == 2:
        quality = quality * (1 - comes_first)
    return quality.to(tl.int32)


@triton.jit
def size_at(row, R: tl.constexpr, WHEN: tl.constexpr, H: tl.constexpr, W: tl.constexpr):
    """Height and width of a sample where it is compressed: after a round, or at the end all of the canvas."""
    height, width = size_before(row, R, 9, False, H, W)
    if WHEN == 2:
        height, width = height * 0 + H, width * 0 + W
    return height, width


@triton.jit
def level_at(plane, y, x, W: tl.constexpr):
    return levels(tl.load(plane + y * W + x)).to(tl.int32)


@triton.jit
def luma_at(plane, y, x, W: tl.constexpr, AREA: tl.constexpr):
    r, g, b = (
        level_at(plane, y, x, W),
        level_at(plane + AREA, y, x, W),
        level_at(plane + 2 * AREA, y, x, W),
    )
    return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16


@triton.jit
def chroma_at(plane, y, x, is_red, W: tl.constexpr, AREA: tl.constexpr):
    r, g, b = (
        level_at(plane, y, x, W),
        level_at(plane + AREA, y, x, W),
        level_at(plane + 2 * AREA, y, x, W),
    )
    blue = -11059 * r - 21709 * g + 32768 * b
    red = 32768 * r - 27439 * g - 5329 * b
    return (tl.where(is_red, red, blue) + (128 * 65536 + 32767)) >> 16


@triton.jit
def halved_chroma(plane, y, x, height, width, is_red, W: tl.constexpr, AREA: tl.constexpr):
    """Means of 2x2 pixels, halves rounded down and up in turn; the last valid row of them is repeated."""
    bias = 1 + x % 2
    y = tl.minimum(y, (height + 1) // 2 - 1)
    total = tl.zeros_like(x + y)
    for i in tl.static_range(2):
        for j in tl.static_range(2):
            row, column = tl.minimum(2 * y + i, height - 1), tl.minimum(2 * x + j, width - 1)
            total += chroma_at(plane, row, column, is_red, W, AREA)
    return (total + bias) >> 2


@triton.jit
def coded(block_IJ, dct, quality, IS_CHROMA):
    """A block after DCT, quantisation and back, from 0 to 255."""
    i, j = tl.arange(0, 8)[:, None], tl.arange(0, 8)[None, :]
    forward, backward = tl.load(dct + i * 8 + j).to(tl.int32), tl.load(dct + j * 8 + i).to(tl.int32)
    rows = descale(times(block_IJ - 128, backward), 11)
    coefficient = descale(times(forward, rows), 15)
    percent = tl.where(quality < 50, 5000 // tl.maximum(quality, 1), 200 - 2 * quality)
    table = tl.load(dct + 128 + IS_CHROMA * 64 + i * 8 + j).to(tl.int32)
    step = tl.minimum(tl.maximum((table * percent + 50) // 100, 1), 255)
    level = (tl.abs(coefficient) + 4 * step) // (8 * step) * step
    value = tl.where(coefficient < 0, -level, level)
    inverse, transposed = (
        tl.load(dct + 64 + i * 8 + j).to(tl.int32),
        tl.load(dct + 64 + j * 8 + i).to(tl.int32),
    )
    columns = descale(times(inverse, value), 11)
    return tl.minimum(tl.maximum(descale(times(columns, transposed), 18) + 128, 0), 255)


@triton.jit
def code_kernel(
    x_NCHW, luma_NPHW, chroma_N2hw, table, dct, COLUMNS: tl.constexpr, R: tl.constexpr, WHEN: tl.constexpr,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, BLOCKS_Y: tl.constexpr, BLOCKS_X: tl.constexpr,
):  # fmt: skip
    """Program (n, k) codes block k of sample n: those of brightness, or of every channel, then those of colour."""
    n, k = tl.program_id(0), tl.program_id(1)
    row = table + n * COLUMNS
    quality = quality_of(row, R, WHEN)
    height, width = size_at(row, R, WHEN, H, W)
    BLOCKS: tl.constexpr = BLOCKS_Y * BLOCKS_X
    PLANES: tl.constexpr = 1 if C == 3 else C
    i, j = tl.arange(0, 8)[:, None], tl.arange(0, 8)[None, :]
    picture = x_NCHW + n.to(tl.int64) * C * H * W
    if k < PLANES * BLOCKS:
        top, left = k % BLOCKS // BLOCKS_X * 8, k % BLOCKS_X * 8
        if (quality > 0) & (top < (height + 15) // 16 * 16) & (left < (width + 15) // 16 * 16):
            y, x = tl.minimum(top + i, height - 1), tl.minimum(left + j, width - 1)
            if C == 3:  # noqa: SIM108
                block = luma_at(picture, y, x, W, H * W)
            else:
                block = level_at(picture + k // BLOCKS * (H * W), y, x, W)
            out = luma_NPHW + (n.to(tl.int64) * PLANES * BLOCKS + k // BLOCKS * BLOCKS) * 64
            done = coded(block, dct, quality, 0)
            tl.store(out + (top + i) * (BLOCKS_X * 8) + left + j, done.to(tl.uint8))
    else:
        rest = k - PLANES * BLOCKS
        QUARTER: tl.constexpr = BLOCKS // 4
        top, left = rest % QUARTER // (BLOCKS_X // 2) * 8, rest % (BLOCKS_X // 2) * 8
        if (quality > 0) & (2 * top < height) & (2 * left < width):
            block = halved_chroma(
                picture, top + i, left + j, height, width, rest >= QUARTER, W, H * W
            )
            out = chroma_N2hw + (n.to(tl.int64) * 2 + rest // QUARTER) * QUARTER * 64
            done = coded(block, dct, quality, 1)
            tl.store(out + (top + i) * (BLOCKS_X * 4) + left + j, done.to(tl.uint8))


@triton.jit
def doubled(plane, y, x, height, width, HALF_W: tl.constexpr, valid):
    """libjpeg's fancy upsampling at full-size positions, less 128."""
    half_h, half_w = (height + 1) // 2, (width + 1) // 2
    near_y, near_x = y // 2, x // 2
    far_y = tl.minimum(tl.maximum(near_y + 2 * (y % 2) - 1, 0), half_h - 1)
    far_x = tl.minimum(tl.maximum(near_x + 2 * (x % 2) - 1, 0), half_w - 1)
    far_y, far_x = tl.where(half_w <= 2, near_y, far_y), tl.where(half_w <= 2, near_x, far_x)
    near = 3 * tl.load(plane + near_y * HALF_W + near_x, mask=valid, other=0).to(tl.int32)
    near += tl.load(plane + far_y * HALF_W + near_x, mask=valid, other=0).to(tl.int32)
    far = 3 * tl.load(plane + near_y * HALF_W + far_x, mask=valid, other=0).to(tl.int32)
    far += tl.load(plane + far_y * HALF_W + far_x, mask=valid, other=0).to(tl.int32)
    return ((3 * near + far + 8 - x % 2) >> 4) - 128


@triton.jit
def write_level(place, level, valid):
    tl.store(place, tl.minimum(tl.maximum(level, 0), 255).to(tl.float32) * (1 / 255), mask=valid)


@triton.jit
def decode_kernel(
    x_NCHW, luma_NPHW, chroma_N2hw, table, COLUMNS: tl.constexpr, R: tl.constexpr, WHEN: tl.constexpr,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, BLOCKS_Y: tl.constexpr, BLOCKS_X: tl.constexpr,
    TILE: tl.constexpr,
):  # fmt: skip
    """Program (n, k) writes tile k of sample n, TILE pixels in all channels, in place where it is compressed at all."""
    n, k = tl.program_id(0), tl.program_id(1)
    row = table + n * COLUMNS
    quality = quality_of(row, R, WHEN)
    height, width = size_at(row, R, WHEN, H, W)
    p = k * TILE + tl.arange(0, TILE)
    y, x = p // W, p % W
    valid = (y < tl.where(quality > 0, height, 0)) & (x < width)
    BLOCKS: tl.constexpr = BLOCKS_Y * BLOCKS_X
    PLANES: tl.constexpr = 1 if C == 3 else C
    if tl.max(valid.to(tl.int32), 0) > 0:
        out = x_NCHW + n.to(tl.int64) * C * H * W + p
        source = luma_NPHW + n.to(tl.int64) * PLANES * BLOCKS * 64 + y * (BLOCKS_X * 8) + x
        if C == 3:
            chroma = chroma_N2hw + n.to(tl.int64) * BLOCKS * 32
            bright = tl.load(source, mask=valid, other=0).to(tl.int32)
            cb = doubled(chroma, y, x, height, width, BLOCKS_X * 4, valid)
            cr = doubled(chroma + BLOCKS * 16, y, x, height, width, BLOCKS_X * 4, valid)
            write_level(out, bright + descale(91881 * cr, 16), valid)
            write_level(out + H * W, bright + descale(-22554 * cb - 46802 * cr, 16), valid)
            write_level(out + 2 * H * W, bright + descale(116130 * cb, 16), valid)
        else:
            for c in tl.static_range(C):
                bright = tl.load(source + c * BLOCKS * 64, mask=valid, other=0).to(tl.int32)
                write_level(out + c * H * W, bright, valid)
