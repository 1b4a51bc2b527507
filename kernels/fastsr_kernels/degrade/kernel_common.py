"""Canvases of Triton kernels: sizes of samples from stage to stage, and reflected positions.

A sample's size before slot SLOT of round ROUND_NUMBER follows from the table of parameters: see reference.py.
"""
# pyright: basic, reportArgumentType=false, reportAssignmentType=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportIndexIssue=false
# Triton's language has no types.

import triton
import triton.language as tl

from fastsr_kernels.degrade.kernel_draw import ROUND

START, FIRST, SECOND = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
"""Sizes a sample may have: that of HR, and those after the resize of each round."""


@triton.jit
def size_of(row, WHICH: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """Height and width of a sample: as it came, or as a round has resized it."""
    if WHICH == 0:
        height, width = (
            tl.load(row).to(tl.int32) * 0 + HEIGHT,
            tl.load(row).to(tl.int32) * 0 + WIDTH,
        )
    else:
        drawn = row + (WHICH - 1) * ROUND
        height, width = tl.load(drawn + 8).to(tl.int32), tl.load(drawn + 9).to(tl.int32)
    return height, width


@triton.jit
def resize_slot(row, R: tl.constexpr, SHUFFLE: tl.constexpr):
    """The slot in which a round resizes a sample: 1, or where orders are shuffled perhaps 5."""
    order = tl.load(row + R * ROUND + 16)
    slot = (order * 0).to(tl.int32) + 1
    if SHUFFLE:
        slot = tl.where((order == 1) | (order == 4) | (order == 5), 5, 1)
    return slot


@triton.jit
def noise_slot(row, R: tl.constexpr, SHUFFLE: tl.constexpr):
    """The slot in which a round adds a sample's noise: 2, or where orders are shuffled 0, 2, 4 or 6."""
    order = tl.load(row + R * ROUND + 16)
    slot = (order * 0).to(tl.int32) + 2
    if SHUFFLE:
        slot = tl.where(order < 2, 0, tl.where(order == 2, 2, tl.where(order < 5, 4, 6)))
    return slot


@triton.jit
def size_before(
    row,
    R: tl.constexpr,
    SLOT: tl.constexpr,
    SHUFFLE: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Height and width of a sample before a slot of round R; after the round for a slot beyond its last."""
    old_height, old_width = size_of(row, R, HEIGHT, WIDTH)
    new_height, new_width = size_of(row, R + 1, HEIGHT, WIDTH)
    is_done = resize_slot(row, R, SHUFFLE) < SLOT
    return tl.where(is_done, new_height, old_height), tl.where(is_done, new_width, old_width)


@triton.jit
def reflect(index, length):
    """Mirrors positions beyond `[0, length)` at the edge pixels, as often as it takes."""
    period = tl.maximum(2 * length - 2, 1)
    folded = (index % period + period) % period  # % keeps the sign
    return tl.minimum(tl.minimum(folded, period - folded), length - 1)


@triton.jit
def mirrored(index, length, FAR: tl.constexpr):
    """Positions reflected at the edges: FAR as often as it takes, else once, which takes no division.

    Once is enough where no position is further beyond an edge than the length less one.
    """
    if FAR:
        place = reflect(index, length)
    else:
        once = tl.abs(index)
        # What belongs to no pixel, in a tile that reaches beyond its picture, stays inside.
        place = tl.maximum(tl.minimum(once, 2 * (length - 1) - once), 0)
    return place


@triton.jit
def tile_at(k, H: tl.constexpr, W: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Channel, first row and first column of tile k of a picture."""
    ACROSS: tl.constexpr = (W + COLS - 1) // COLS
    TILES: tl.constexpr = (H + ROWS - 1) // ROWS * ACROSS
    return k // TILES, k % TILES // ACROSS * ROWS, k % ACROSS * COLS


@triton.jit
def levels(x):
    """Values as whole levels of 8 bits, in fp32."""
    return tl.floor(tl.minimum(tl.maximum(x, 0.0), 1.0) * 255 + 0.5)
