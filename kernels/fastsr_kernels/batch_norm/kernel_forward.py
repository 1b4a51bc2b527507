"""Batch normalisation forward in two launches; kernel_common.py has the names of axes, README.md the formulas."""
# pyright: basic, reportOperatorIssue=false, reportArgumentType=false
# Triton's language has no types.

import triton
import triton.language as tl

from fastsr_kernels.batch_norm.kernel_common import (
    affine,
    channels_of,
    load_fp32,
    load_partials,
    normal_of,
    parameters_of,
    tile_of,
)


@triton.jit
def pooled(mean_GB, squares_GB, count_G, inverse_count):
    """Mean and sum of squared deviations of all rows, from those of G groups, with 1 / (the sum of their counts)."""
    count_G1 = count_G[:, None]
    mean_B = tl.sum(mean_GB * (count_G1 * inverse_count), 0)
    apart_GB = mean_GB - mean_B[None, :]
    return mean_B, tl.sum(squares_GB + count_G1 * apart_GB * apart_GB, 0)


@triton.jit
def statistics_kernel(x_MC, partial_2KC, M, C, tiles, chunks, R: tl.constexpr, B: tl.constexpr):
    """Mean, and sum of squared deviations from it, of each chunk of rows."""
    c_B, valid_B = channels_of(C, B)
    # A group of rows for each row of a tile: nothing is added up across threads before the end.
    mean_RB, squares_RB = tl.zeros((R, B), tl.float32), tl.zeros((R, B), tl.float32)
    count_R = tl.zeros((R,), tl.float32)
    for tile in range(tiles):
        offset_RB, mask_RB, there_R = tile_of(tile, tiles, M, C, c_B, valid_B, R)
        x_RB = load_fp32(x_MC + offset_RB, mask_RB)
        count_R += tl.where(there_R, 1.0, 0.0)
        change_RB = tl.where(mask_RB, x_RB - mean_RB, 0.0)
        mean_RB += change_RB / tl.maximum(count_R, 1.0)[:, None]
        squares_RB += change_RB * (x_RB - mean_RB)
    mean_B, squares_B = pooled(mean_RB, squares_RB, count_R, 1.0 / tl.sum(count_R, 0))
    own = partial_2KC + tl.program_id(0) * C + c_B
    tl.store(own, mean_B, mask=valid_B)
    tl.store(own + chunks * C, squares_B, mask=valid_B)


@triton.jit
def follow(running_B, value_B, momentum, valid_B):
    """Moves a running statistic towards that of the batch."""
    before_B = tl.load(running_B, mask=valid_B, other=0.0)
    tl.store(running_B, before_B * (1.0 - momentum) + value_B * momentum, mask=valid_B)


@triton.jit
def normalise_kernel(
    x_MC, shortcut_MC, weight_C, bias_C, slope_S, running_mean_C, running_var_C, partial_2KC, statistics_2C, y_MC,
    momentum, eps, leak, inverse_rows, inverse_freedom, M, C, tiles, chunks, SHARED: tl.constexpr, K: tl.constexpr,
    R: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Statistics from those of all chunks, which the programs of the first chunk also write; then the result."""
    c_B, valid_B = channels_of(C, B)
    rows_K = tl.minimum(tl.maximum(M - tl.arange(0, K) * tiles * R, 0), tiles * R).to(tl.float32)
    mean_KB = load_partials(partial_2KC, 0, chunks, C, c_B, valid_B, K)
    squares_KB = load_partials(partial_2KC, 1, chunks, C, c_B, valid_B, K)
    mean_B, squares_B = pooled(mean_KB, squares_KB, rows_K, inverse_rows)
    inverse_B = 1.0 / tl.sqrt(squares_B * inverse_rows + eps)
    if tl.program_id(0) == 0:
        tl.store(statistics_2C + c_B, mean_B, mask=valid_B)
        tl.store(statistics_2C + C + c_B, inverse_B, mask=valid_B)
        follow(running_mean_C + c_B, mean_B, momentum, valid_B)
        follow(running_var_C + c_B, squares_B * inverse_freedom, momentum, valid_B)
    weight_B, bias_B, slope_B = parameters_of(weight_C, bias_C, slope_S, leak, c_B, valid_B, SHARED)
    for tile in range(tiles):
        offset_RB, mask_RB, _ = tile_of(tile, tiles, M, C, c_B, valid_B, R)
        x_RB = load_fp32(x_MC + offset_RB, mask_RB)
        before_RB = affine(normal_of(x_RB, mean_B, inverse_B), weight_B, bias_B)
        y_RB = tl.where(before_RB > 0, before_RB, before_RB * slope_B[None, :])
        if shortcut_MC is not None:
            y_RB += load_fp32(shortcut_MC + offset_RB, mask_RB)
        tl.store(y_MC + offset_RB, y_RB, mask=mask_RB)
