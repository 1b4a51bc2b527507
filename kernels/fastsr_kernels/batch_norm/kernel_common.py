"""What the kernels of batch normalisation have in common: tiles of rows and channels, and what lies between them.

Images are channels-last in memory: M rows of C channels. A program takes a chunk of rows, `tiles` times R of them, and
a block of B channels; chunks are counted by K. Pointers have the name of the tensor they point to.
"""
# pyright: basic, reportOperatorIssue=false, reportArgumentType=false
# Triton's language has no types.

import triton
import triton.language as tl


@triton.jit
def channels_of(C, B: tl.constexpr):
    """This program's channels, and which of them there are."""
    c_B = tl.program_id(1) * B + tl.arange(0, B)
    return c_B, c_B < C


@triton.jit
def tile_of(tile, tiles, M, C, c_B, valid_B, R: tl.constexpr):
    """Where a tile of this program's chunk lies, which of its entries there are, and which of its rows."""
    row_R = (tl.program_id(0) * tiles + tile) * R + tl.arange(0, R)
    offset_RB = row_R.to(tl.int64)[:, None] * C + c_B[None, :]
    return offset_RB, (row_R < M)[:, None] & valid_B[None, :], row_R < M


@triton.jit
def load_fp32(pointers, mask):
    return tl.load(pointers, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def parameters_of(weight_C, bias_C, slope_S, leak, c_B, valid_B, SHARED: tl.constexpr):
    """Weight, bias and slope of each channel; a shared slope is that of all, and without a learnt one it is `leak`."""
    weight_B, bias_B = load_fp32(weight_C + c_B, valid_B), load_fp32(bias_C + c_B, valid_B)
    if slope_S is None:
        slope_B = tl.zeros_like(weight_B) + leak
    elif SHARED:
        slope_B = tl.zeros_like(weight_B) + tl.load(slope_S).to(tl.float32)
    else:
        slope_B = load_fp32(slope_S + c_B, valid_B)
    return weight_B, bias_B, slope_B


@triton.jit
def normal_of(x_RB, mean_B, inverse_B):
    return (x_RB - mean_B[None, :]) * inverse_B[None, :]


@triton.jit
def affine(normal_RB, weight_B, bias_B):
    return normal_RB * weight_B[None, :] + bias_B[None, :]


@triton.jit
def load_partials(partial_TKC, kind: tl.constexpr, chunks, C, c_B, valid_B, K: tl.constexpr):
    """What every chunk has found of one kind, for this program's channels; zeros beyond the last chunk."""
    k_K = tl.arange(0, K)
    offset_KB = (kind * chunks + k_K)[:, None] * C + c_B[None, :]
    return tl.load(partial_TKC + offset_KB, (k_K < chunks)[:, None] & valid_B[None, :], other=0.0)
