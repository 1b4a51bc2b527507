"""Noise by Triton, in place, and cutting patches out: one launch each for all samples. noise.py defines the noise.

Axes: N samples, C channels, H W sides of a canvas. Pointers have the name of the tensor they point to.
"""
# pyright: basic, reportArgumentType=false, reportAssignmentType=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# Triton's language has no types.

import triton
import triton.language as tl

from fastsr_kernels.degrade.draw import NOISE as NOISE_TAG
from fastsr_kernels.degrade.kernel_common import levels, noise_slot, size_before
from fastsr_kernels.degrade.kernel_draw import FINAL, ROUND, cos_of_turns, unit

NOISE = tl.constexpr(NOISE_TAG)
LOG_FLOOR = tl.constexpr(2.0**-25)


@triton.jit
def few(mean, u):
    """The Poisson count at a quantile, by search from zero, for means below 4."""
    chance = tl.exp(-mean)
    below = chance
    count = tl.zeros_like(mean)
    for k in tl.static_range(1, 21):
        count += (u >= below).to(tl.float32)
        chance = chance * mean * (1 / k)
        below += chance
    return count


@triton.jit
def many(mean, z):
    """The Poisson count at the quantile of a normal value, for means from 4 on."""
    root = tl.sqrt(mean)
    z2 = z * z
    first = mean + root * z + (1 / 3 + z2 * (1 / 6))
    second = z * (-1 / 36 - z2 * (1 / 72)) / root
    third = (-8 / 405 + z2 * (7 / 810 + z2 * (1 / 270))) / mean
    return tl.maximum(tl.floor(first + second + third), 0.0)


@triton.jit
def shot_noise(x, z, u):
    """Poisson noise of values that are rounded to 8 bits first."""
    level = levels(x) * (1 / 255)
    mean = level * 256
    count = tl.where(mean < 4, few(tl.minimum(mean, 4.0), u), many(tl.maximum(mean, 4.0), z))
    return count * (1 / 256) - level


@triton.jit
def normal(a, b, COSINE: tl.constexpr):
    """A standard normal value of two words: one of the two that they give."""
    radius = tl.sqrt(-2 * tl.log(unit(a) + LOG_FLOOR))
    turns = unit(b) if COSINE else unit(b) - 0.25
    return radius * cos_of_turns(turns)


@triton.jit
def normal_and_unit(a, b, c, d, WHICH: tl.constexpr):
    """Value WHICH of the four that four words give: normal, and uniform of its own word."""
    if WHICH == 0:
        z, u = normal(a, b, True), unit(a)
    elif WHICH == 1:
        z, u = normal(a, b, False), unit(b)
    elif WHICH == 2:
        z, u = normal(c, d, True), unit(c)
    else:
        z, u = normal(c, d, False), unit(d)
    return z, u


@triton.jit
def luma(plane, p, valid, C: tl.constexpr, AREA: tl.constexpr):
    """Brightness: of three channels as the eye has it, else their mean."""
    if C == 3:
        total = 0.2989 * tl.load(plane + p, mask=valid, other=0.0)
        total += 0.587 * tl.load(plane + AREA + p, mask=valid, other=0.0)
        total += 0.114 * tl.load(plane + 2 * AREA + p, mask=valid, other=0.0)
    else:
        total = tl.load(plane + p, mask=valid, other=0.0)
        for c in tl.static_range(1, C):
            total += tl.load(plane + c * AREA + p, mask=valid, other=0.0)
        total = total * (1 / C)
    return total


@triton.jit
def noise_kernel(
    x_NCHW, table, step, seed, BATCH: tl.constexpr, COLUMNS: tl.constexpr, R: tl.constexpr, SLOT: tl.constexpr,
    SHUFFLE: tl.constexpr, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Program (n, k) adds noise to tile k of sample n, in place: TILE pixels, all channels of each."""
    n, k = tl.program_id(0), tl.program_id(1)
    row = table + n * COLUMNS
    height, width = size_before(row, R, SLOT, SHUFFLE, HEIGHT, WIDTH)
    drawn = row + R * ROUND
    p = k * TILE + tl.arange(0, TILE)
    y, x = p // W, p % W
    active = (tl.load(drawn + 11) > 0) & (noise_slot(row, R, SHUFFLE) == SLOT)
    valid = (y < tl.where(active, height, 0)) & (x < width)
    if tl.max(valid.to(tl.int32), 0) > 0:
        is_poisson, is_gray = tl.load(drawn + 12) > 0, tl.load(drawn + 14) > 0
        strength = tl.load(drawn + 13)
        counter = tl.load(step) * BATCH + n
        low, high = (counter & 0xFFFFFFFF).to(tl.uint32), (counter >> 32).to(tl.uint32)
        pixel = ((y << 16) | x).to(tl.uint32)
        tag = pixel * 0 + (NOISE + 16 * R + SLOT)
        plane = x_NCHW + n.to(tl.int64) * C * H * W
        a, b, c, d = tl.philox(seed, low + pixel * 0, high + pixel * 0, pixel, tag)
        gray_z, gray_u = normal_and_unit(a, b, c, d, 3)
        gray_shot = gray_z
        if is_poisson & is_gray:
            gray_shot = shot_noise(luma(plane, p, valid, C, H * W), gray_z, gray_u)
        for channel in tl.static_range(C):
            if channel % 3 == 0 and channel > 0:
                a, b, c, d = tl.philox(
                    seed, low + pixel * 0, high + pixel * 0, pixel, tag + (channel // 3) * 256
                )
            z, u = normal_and_unit(a, b, c, d, channel % 3)
            place = plane + channel * H * W + p
            value = tl.load(place, mask=valid, other=0.0)
            added = tl.where(is_gray, gray_z, z) * (strength * (1 / 255))
            # A sample has one kind of noise, so all threads of a program go the same way.
            if is_poisson:
                added = gray_shot
                if not is_gray:
                    added = shot_noise(value, z, u)
                added = added * strength
            noisy = value + added
            tl.store(place, tl.minimum(tl.maximum(noisy, 0.0), 1.0), mask=valid)


@triton.jit
def cut_kernel(
    lr_NChw, hr_NCHW, table, lr_patch, hr_patch, stride_n, stride_c, stride_y, stride_x,
    COLUMNS: tl.constexpr, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, SCALE: tl.constexpr,
    CONTEXT: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Program (n, k) writes tile k of both patches of sample n, channels-last: LR, rounded to 8 bits, then HR."""
    n, k = tl.program_id(0), tl.program_id(1)
    drawn = table + n * COLUMNS + FINAL
    top, left = tl.load(drawn + 5).to(tl.int32), tl.load(drawn + 6).to(tl.int32)
    LOW_H: tl.constexpr = (H - CONTEXT) // SCALE
    LOW_W: tl.constexpr = (W - CONTEXT) // SCALE
    LOW: tl.constexpr = LOW_H * LOW_W * C
    HIGH: tl.constexpr = (H - CONTEXT) * (W - CONTEXT) * C
    LOW_TILES: tl.constexpr = (LOW + TILE - 1) // TILE
    if k < LOW_TILES:
        p = k * TILE + tl.arange(0, TILE)
        y, x, c = top + p // (LOW_W * C), left + p // C % LOW_W, p % C
        place = ((n.to(tl.int64) * C + c) * (H // SCALE) + y) * (W // SCALE) + x
        value = levels(tl.load(lr_NChw + place, mask=p < LOW, other=0.0)) * (1 / 255)
        tl.store(lr_patch + n.to(tl.int64) * LOW + p, value, mask=p < LOW)
    else:
        p = (k - LOW_TILES) * TILE + tl.arange(0, TILE)
        y = top * SCALE + p // ((W - CONTEXT) * C)
        x, c = left * SCALE + p // C % (W - CONTEXT), p % C
        place = n.to(tl.int64) * stride_n + c * stride_c + y * stride_y + x * stride_x
        value = tl.load(hr_NCHW + place, mask=p < HIGH, other=0.0)
        tl.store(hr_patch + n.to(tl.int64) * HIGH + p, value, mask=p < HIGH)
