"""Batch normalisation backward in two launches; kernel_common.py has the names of axes, README.md the formulas."""
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
def load_statistics(statistics_2C, C, c_B, valid_B):
    mean_B = tl.load(statistics_2C + c_B, mask=valid_B, other=0.0)
    return mean_B, tl.load(statistics_2C + C + c_B, mask=valid_B, other=0.0)


@triton.jit
def load_tile(dy_MC, x_MC, offset_RB, mask_RB, mean_B, inverse_B, weight_B, bias_B, slope_B):
    """The gradient before the activation, the normalised x, and the share of the slope's gradient."""
    dy_RB = load_fp32(dy_MC + offset_RB, mask_RB)
    normal_RB = normal_of(load_fp32(x_MC + offset_RB, mask_RB), mean_B, inverse_B)
    before_RB = affine(normal_RB, weight_B, bias_B)
    passed_RB = tl.where(before_RB > 0, dy_RB, dy_RB * slope_B[None, :])
    return passed_RB, normal_RB, tl.where(before_RB > 0, 0.0, dy_RB * before_RB)


@triton.jit
def sums_kernel(
    dy_MC, x_MC, weight_C, bias_C, slope_S, statistics_2C, partial_3KC, leak, M, C, tiles, chunks,
    SHARED: tl.constexpr, R: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Sums over each chunk of rows: the gradients of bias, weight and slope."""
    c_B, valid_B = channels_of(C, B)
    mean_B, inverse_B = load_statistics(statistics_2C, C, c_B, valid_B)
    weight_B, bias_B, slope_B = parameters_of(weight_C, bias_C, slope_S, leak, c_B, valid_B, SHARED)
    bias_RB, along_RB = tl.zeros((R, B), tl.float32), tl.zeros((R, B), tl.float32)
    slopes_RB = tl.zeros((R, B), tl.float32)
    for tile in range(tiles):
        offset_RB, mask_RB, _ = tile_of(tile, tiles, M, C, c_B, valid_B, R)
        passed_RB, normal_RB, share_RB = load_tile(
            dy_MC, x_MC, offset_RB, mask_RB, mean_B, inverse_B, weight_B, bias_B, slope_B
        )
        bias_RB += passed_RB
        along_RB += passed_RB * normal_RB
        slopes_RB += share_RB
    own = partial_3KC + tl.program_id(0) * C + c_B
    tl.store(own, tl.sum(bias_RB, 0), mask=valid_B)
    tl.store(own + chunks * C, tl.sum(along_RB, 0), mask=valid_B)
    if slope_S is not None:
        tl.store(own + 2 * chunks * C, tl.sum(slopes_RB, 0), mask=valid_B)


@triton.jit
def store_slope(
    dslope_S, partial_3KC, chunks, C, c_B, valid_B, SHARED: tl.constexpr, K: tl.constexpr, B: tl.constexpr
):  # fmt: skip
    """The gradient of each channel's slope; that of a shared one is the sum over channels, by the first block."""
    if SHARED:
        if tl.program_id(1) == 0:
            sums_B = tl.zeros((B,), tl.float32)
            for first in range(0, C, B):
                each_B = first + tl.arange(0, B)
                sums_B += tl.sum(load_partials(partial_3KC, 2, chunks, C, each_B, each_B < C, K), 0)
            tl.store(dslope_S, tl.sum(sums_B, 0))
    else:
        sums_B = tl.sum(load_partials(partial_3KC, 2, chunks, C, c_B, valid_B, K), 0)
        tl.store(dslope_S + c_B, sums_B, mask=valid_B)


@triton.jit
def gradient_kernel(
    dy_MC, x_MC, weight_C, bias_C, slope_S, statistics_2C, partial_3KC, dx_MC, dweight_C, dbias_C, dslope_S, leak,
    inverse_rows, M, C, tiles, chunks, SHARED: tl.constexpr, K: tl.constexpr, R: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """The gradient of x from the sums of all chunks, which the programs of the first chunk also write."""
    c_B, valid_B = channels_of(C, B)
    sum_B = tl.sum(load_partials(partial_3KC, 0, chunks, C, c_B, valid_B, K), 0)
    along_B = tl.sum(load_partials(partial_3KC, 1, chunks, C, c_B, valid_B, K), 0)
    if tl.program_id(0) == 0:
        tl.store(dbias_C + c_B, sum_B, mask=valid_B)
        tl.store(dweight_C + c_B, along_B, mask=valid_B)
        if slope_S is not None:
            store_slope(dslope_S, partial_3KC, chunks, C, c_B, valid_B, SHARED, K, B)
    mean_B, inverse_B = load_statistics(statistics_2C, C, c_B, valid_B)
    weight_B, bias_B, slope_B = parameters_of(weight_C, bias_C, slope_S, leak, c_B, valid_B, SHARED)
    mean_of_sum_B, mean_of_along_B = sum_B * inverse_rows, along_B * inverse_rows
    for tile in range(tiles):
        offset_RB, mask_RB, _ = tile_of(tile, tiles, M, C, c_B, valid_B, R)
        passed_RB, normal_RB, _ = load_tile(
            dy_MC, x_MC, offset_RB, mask_RB, mean_B, inverse_B, weight_B, bias_B, slope_B
        )
        rest_RB = passed_RB - mean_of_sum_B[None, :] - normal_RB * mean_of_along_B[None, :]
        tl.store(dx_MC + offset_RB, rest_RB * (weight_B * inverse_B)[None, :], mask=mask_RB)
