"""Blur, resize and unsharp masking by Triton: one launch for all samples, whatever they drew.

A program works on TILE samples that follow each other on a canvas `[C, H, W]`, all of one picture N. Pointers have the
name of the tensor they point to.
"""
# pyright: basic, reportArgumentType=false, reportAssignmentType=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# Triton's language has no types.

import triton
import triton.language as tl

from fastsr_kernels.degrade.kernel_common import mirrored, size_before, tile_at
from fastsr_kernels.degrade.kernel_draw import FINAL, ROUND

USM_WEIGHT, USM_THRESHOLD = tl.constexpr(0.5), tl.constexpr(10 / 255)


@triton.jit
def correlated(
    source, weights, y0, x, height, width, side, stride_y, stride_x, T: tl.constexpr, ROWS: tl.constexpr,
    COLS: tl.constexpr, FAR: tl.constexpr,
):  # fmt: skip
    """ROWS of a plane from y0 on, at columns x: each pixel that is loaded serves all rows that it belongs to."""
    half, r = side // 2, tl.arange(0, ROWS)
    total = tl.zeros((ROWS, COLS), tl.float32)
    for j in range(side):
        column = mirrored(x + j - half, width, FAR) * stride_x
        for i in range(side + ROWS - 1):
            line = source + mirrored(y0 + i - half, height, FAR) * stride_y
            value = tl.load(line + column, mask=x < width, other=0.0)
            weight = tl.load(weights + (i - r) * T + j)  # beyond the kernel lie zeros
            total += weight[:, None] * value[None, :]
    return total


@triton.jit
def blur_kernel(
    x_NCHW, out_NCHW, table, kernels_NTT, stride_n, stride_c, stride_y, stride_x,
    COLUMNS: tl.constexpr, R: tl.constexpr, SLOT: tl.constexpr, SHUFFLE: tl.constexpr,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
    T: tl.constexpr, IS_LAST: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, MARGIN: tl.constexpr,
):  # fmt: skip
    """Program (n, k) filters tile k of sample n, ROWS x COLS of a channel, by the sample's own kernel."""
    n, k = tl.program_id(0), tl.program_id(1)
    row = table + n * COLUMNS
    if IS_LAST:
        height, width, drawn = H, W, row + FINAL
        taps = tl.load(drawn + 1)
    else:
        height, width = size_before(row, R, SLOT, SHUFFLE, HEIGHT, WIDTH)
        drawn = row + R * ROUND
        taps = tl.load(drawn + 2)
    c, y0, x0 = tile_at(k, H, W, ROWS, COLS)
    y, x = y0 + tl.arange(0, ROWS), x0 + tl.arange(0, COLS)
    if (y0 < height) & (x0 < width):
        side = tl.where(tl.load(drawn) > 0, taps, 1.0).to(tl.int32)
        source = x_NCHW + n.to(tl.int64) * stride_n + c * stride_c
        first = T // 2 - side // 2
        weights = kernels_NTT + n * (T + 2 * MARGIN) * T + (MARGIN + first) * T + first
        if (height > side // 2) & (width > side // 2):
            total = correlated(
                source, weights, y0, x, height, width, side, stride_y, stride_x, T, ROWS, COLS, False
            )  # fmt: skip
        else:
            total = correlated(
                source, weights, y0, x, height, width, side, stride_y, stride_x, T, ROWS, COLS, True
            )  # fmt: skip
        out = out_NCHW + (n.to(tl.int64) * C + c) * H * W + y[:, None] * W + x[None, :]
        tl.store(out, total, mask=(y[:, None] < height) & (x[None, :] < width))


@triton.jit
def copy_kernel(
    x_NCHW, out_NCHW, stride_n, stride_c, stride_y, stride_x,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Program (n, k) copies tile k of picture n: noise is added in place, and HR stays as it is."""
    n, k = tl.program_id(0), tl.program_id(1)
    p = k * TILE + tl.arange(0, TILE)
    valid = p < C * H * W
    c, y, x = p // (H * W), p // W % H, p % W
    place = n.to(tl.int64) * stride_n + c * stride_c + y * stride_y + x * stride_x
    value = tl.load(x_NCHW + place, mask=valid, other=0.0)
    tl.store(out_NCHW + n.to(tl.int64) * C * H * W + p, value, mask=valid)


@triton.jit
def cubic(d):
    """Keys' kernel with a = -0.75."""
    near = (1.25 * d - 2.25) * d * d + 1
    far = ((-0.75 * d + 3.75) * d - 6) * d + 3
    return tl.where(d <= 1, near, tl.where(d < 2, far, 0.0))


@triton.jit
def first_and_part(o, old, new, mode):
    """The first input of an output, and where between inputs it lies; for area, how many inputs it covers."""
    area_first = o * old // new
    covered = ((o + 1) * old + new - 1) // new - area_first
    # Twice the position times the new size, moved by one pixel so that it is positive.
    position = (2 * o + 1) * old - new + 2 * new
    left = position // (2 * new) - 1
    part = (position % (2 * new)).to(tl.float32) / (2 * new).to(tl.float32)
    is_before = left < 0
    bilinear_part = tl.where(is_before, 0.0, part)
    first = tl.where(mode == 0, area_first, tl.where(mode == 1, tl.maximum(left, 0), left - 1))
    return first, tl.where(
        mode == 0, covered.to(tl.float32), tl.where(mode == 1, bilinear_part, part)
    )


@triton.jit
def weight_of(t, part, mode):
    """Weight of input t of an output."""
    area = tl.where(t < part, 1.0, 0.0) / tl.maximum(part, 1.0)
    bilinear = tl.where(t == 0, 1 - part, part)
    return tl.where(mode == 0, area, tl.where(mode == 1, bilinear, cubic(tl.abs(part - (t - 1)))))


@triton.jit
def inputs_of(old, new, mode):
    """The most inputs that an output has."""
    area = (old + new - 1) // new + 1
    return tl.where(mode == 0, area, tl.where(mode == 1, 2, 4))


@triton.jit
def resize_kernel(
    x_NCHW, out_NCHW, table, COLUMNS: tl.constexpr, R: tl.constexpr, SLOT: tl.constexpr, SHUFFLE: tl.constexpr,
    C: tl.constexpr, OLD_H: tl.constexpr, OLD_W: tl.constexpr, H: tl.constexpr, W: tl.constexpr,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, IS_LAST: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Program (n, k) writes tile k of sample n at its new size."""
    n, k = tl.program_id(0), tl.program_id(1)
    row = table + n * COLUMNS
    old_h, old_w = size_before(row, R, SLOT, SHUFFLE, HEIGHT, WIDTH)
    if IS_LAST:
        new_h, new_w = old_h * 0 + H, old_w * 0 + W
        mode = tl.load(row + FINAL + 3)
    else:
        new_h, new_w = size_before(row, R, SLOT + 1, SHUFFLE, HEIGHT, WIDTH)
        mode = tl.load(row + R * ROUND + 10)
    p = k * TILE + tl.arange(0, TILE)
    c, y, x = p // (H * W), p // W % H, p % W
    valid = (p < C * H * W) & (y < new_h) & (x < new_w)
    first_y, part_y = first_and_part(y, old_h, new_h, mode)
    first_x, part_x = first_and_part(x, old_w, new_w, mode)
    source = x_NCHW + (n.to(tl.int64) * C + c) * OLD_H * OLD_W
    total = tl.zeros((TILE,), tl.float32)
    if tl.max(valid.to(tl.int32), 0) > 0:
        rows, columns = inputs_of(old_h, new_h, mode), inputs_of(old_w, new_w, mode)
        for i in range(rows):
            line = source + tl.minimum(tl.maximum(first_y + i, 0), old_h - 1) * OLD_W
            weight_y = weight_of(i, part_y, mode)
            for j in range(columns):
                column = tl.minimum(tl.maximum(first_x + j, 0), old_w - 1)
                value = tl.load(line + column, mask=valid, other=0.0)
                total += weight_y * weight_of(j, part_x, mode) * value
        tl.store(out_NCHW + n.to(tl.int64) * C * H * W + p, total, mask=valid)


@triton.jit
def smoothed(
    plane, taps, y0, x, stride_y, stride_x, H: tl.constexpr, W: tl.constexpr, RADIUS: tl.constexpr,
    DOWN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """ROWS of a plane from y0 on, at columns x, filtered along rows, or DOWN the columns as `correlated` does."""
    r, total = tl.arange(0, ROWS), tl.zeros((ROWS, COLS), tl.float32)
    FAR: tl.constexpr = H <= RADIUS if DOWN else W <= RADIUS
    if DOWN:
        for t in range(2 * RADIUS + ROWS):
            line = plane + mirrored(y0 + t - RADIUS, H, FAR) * stride_y
            value = tl.load(line + x * stride_x, mask=x < W, other=0.0)
            weight = tl.load(taps + t - r, mask=(t >= r) & (t - r <= 2 * RADIUS), other=0.0)
            total += weight[:, None] * value[None, :]
    else:
        line = plane + (y0 + r)[:, None] * stride_y
        valid = ((y0 + r)[:, None] < H) & (x[None, :] < W)
        for t in range(2 * RADIUS + 1):
            column = mirrored(x + t - RADIUS, W, FAR)[None, :] * stride_x
            total += tl.load(taps + t) * tl.load(line + column, mask=valid, other=0.0)
    return total


@triton.jit
def smooth_kernel(
    x_NCHW, hr_NCHW, out_NCHW, other_NCHW, taps, stride_n, stride_c, stride_y, stride_x,
    C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, RADIUS: tl.constexpr, DOWN: tl.constexpr, THEN: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """Program (n, k) filters tile k of picture n, ROWS x COLS of a channel, along rows, or DOWN the columns.

    THEN is what follows: nothing (0); the residual of hr goes to `other`, and to `out` where that is large (1); or the
    sharpened picture goes to `out`, made of hr, its residual in `other` and the mask that has been filtered (2).
    Strides are those of hr in the first two passes, where x is hr, and then in THEN.
    """
    n, k = tl.program_id(0), tl.program_id(1)
    c, y0, x0 = tile_at(k, H, W, ROWS, COLS)
    y, x = (y0 + tl.arange(0, ROWS))[:, None], x0 + tl.arange(0, COLS)
    valid, plane = (y < H) & (x[None, :] < W), (n.to(tl.int64) * C + c) * H * W
    hr = hr_NCHW + n.to(tl.int64) * stride_n + c * stride_c
    if THEN == 3:
        total = smoothed(hr, taps, y0, x, stride_y, stride_x, H, W, RADIUS, DOWN, ROWS, COLS)
    else:
        total = smoothed(x_NCHW + plane, taps, y0, x, W, 1, H, W, RADIUS, DOWN, ROWS, COLS)
    place, hr = plane + y * W + x[None, :], hr + y * stride_y + x[None, :] * stride_x
    if THEN == 1:
        residual = tl.load(hr, mask=valid, other=0.0) - total
        tl.store(other_NCHW + place, residual, mask=valid)
        is_large = (tl.abs(residual) > USM_THRESHOLD).to(tl.float32)
        tl.store(out_NCHW + place, is_large, mask=valid)
    elif THEN == 2:
        picture = tl.load(hr, mask=valid, other=0.0)
        residual = tl.load(other_NCHW + place, mask=valid, other=0.0)
        sharp = tl.minimum(tl.maximum(picture + residual * USM_WEIGHT, 0.0), 1.0)
        tl.store(out_NCHW + place, total * sharp + (1 - total) * picture, mask=valid)
    else:
        tl.store(out_NCHW + place, total, mask=valid)
