"""Launches of the kernels of batch normalisation: two forward, two backward. reference.py defines what they compute.

Axes: N images, C channels, H W their sides; M rows of C channels in memory, in K chunks.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from fastsr_kernels.batch_norm.kernel_backward import gradient_kernel, sums_kernel
from fastsr_kernels.batch_norm.kernel_forward import normalise_kernel, statistics_kernel
from fastsr_kernels.batch_norm.reference import Gradients
from fastsr_kernels.launch import Launch

TILE = 4096  # entries of a tile, 16 a thread
CHANNELS = 32  # of a block: 64 bytes of a row in bf16
CHUNKS = 64  # at most: every program of a second launch adds up what all of the first have found
REGISTERS = 128  # of a thread at most: two programs of 8 warps share a multiprocessor


class Tiling(NamedTuple):
    """Chunks of rows and blocks of channels that programs take."""

    chunks: int
    tiles: int
    """Of a chunk, one after the other."""
    rows: int
    """Of a tile: a power of two."""
    channels: int
    """Of a block: a power of two."""
    warps: int

    def launch(
        self, kernel: Any, arguments: dict[str, Any], x_NCHW: Tensor, with_all_chunks: bool
    ) -> Launch:
        """One of the launches over x; the second of two reads what all chunks have found."""
        count = x_NCHW.shape[1]
        shape = {
            "M": x_NCHW.numel() // count,
            "C": count,
            "tiles": self.tiles,
            "chunks": self.chunks,
        }
        constants = {"R": self.rows, "B": self.channels}
        if with_all_chunks:
            constants["K"] = triton.next_power_of_2(self.chunks)
        programs = (self.chunks, triton.cdiv(count, self.channels))
        options = {"num_warps": self.warps, "maxnreg": REGISTERS, "enable_fp_fusion": True}
        return Launch(kernel, programs, arguments | shape | constants, options, x_NCHW.device)


def tiling(x_NCHW: Tensor, tile: int = TILE, most: int = CHUNKS) -> Tiling:
    """The same for tensors of one shape whatever the GPU, and so are the sums. At most so many entries and chunks."""
    count = x_NCHW.shape[1]
    height = x_NCHW.numel() // count
    channels = min(triton.next_power_of_2(count), CHANNELS)
    rows = min(triton.next_power_of_2(height), max(tile // channels, 1))
    tiles = triton.cdiv(triton.cdiv(height, rows), most)
    chunks = triton.cdiv(height, rows * tiles)
    return Tiling(chunks, tiles, rows, channels, max(1, min(8, rows * channels // 128)))


def is_shared(slope_S: Tensor | None) -> bool:
    """True where one learnt slope is that of all channels."""
    return slope_S is not None and slope_S.numel() == 1


def plan_forward(
    x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, shortcut_NCHW: Tensor | None,
    running_mean_C: Tensor, running_var_C: Tensor, momentum: float, eps: float, leak: float,
    tiles: Tiling | None = None,
) -> tuple[list[Launch], tuple[Tensor, Tensor]]:  # fmt: skip
    """The launches, and the result and statistics that they will fill. `tiles` overrides the usual ones."""
    tiles = tiles or tiling(x_NCHW)
    count = x_NCHW.shape[1]
    rows = x_NCHW.numel() // count
    partial = x_NCHW.new_empty((2, tiles.chunks, count), dtype=torch.float32)
    statistics = x_NCHW.new_empty((2, count), dtype=torch.float32)
    y_NCHW = torch.empty_like(x_NCHW)
    both = {"x_MC": x_NCHW, "partial_2KC": partial}
    second = {
        "shortcut_MC": shortcut_NCHW,
        "weight_C": weight_C,
        "bias_C": bias_C,
        "slope_S": slope_S,
        "running_mean_C": running_mean_C,
        "running_var_C": running_var_C,
        "statistics_2C": statistics,
        "y_MC": y_NCHW,
        "momentum": float(momentum),
        "eps": float(eps),
        "leak": float(leak),
        "inverse_rows": 1 / rows,
        "inverse_freedom": 1.0 / max(rows - 1, 1),
        "SHARED": is_shared(slope_S),
    }
    launches = [
        tiles.launch(statistics_kernel, both, x_NCHW, False),
        tiles.launch(normalise_kernel, both | second, x_NCHW, True),
    ]
    return launches, (y_NCHW, statistics)


def plan_backward(
    dy_NCHW: Tensor, x_NCHW: Tensor, weight_C: Tensor, bias_C: Tensor, slope_S: Tensor | None, statistics_2C: Tensor,
    leak: float, tiles: Tiling | None = None,
) -> tuple[list[Launch], Gradients]:  # fmt: skip
    """The launches, and the gradients that they will fill. `tiles` overrides the usual ones."""
    tiles = tiles or tiling(x_NCHW)
    count = x_NCHW.shape[1]
    partial = x_NCHW.new_empty((3, tiles.chunks, count), dtype=torch.float32)
    slope = statistics_2C.new_empty(0) if slope_S is None else torch.empty_like(slope_S)
    found = Gradients(
        torch.empty_like(x_NCHW), torch.empty_like(weight_C), torch.empty_like(bias_C), slope
    )
    both = {
        "dy_MC": dy_NCHW,
        "x_MC": x_NCHW,
        "weight_C": weight_C,
        "bias_C": bias_C,
        "slope_S": slope_S,
        "statistics_2C": statistics_2C,
        "partial_3KC": partial,
        "leak": float(leak),
        "SHARED": is_shared(slope_S),
    }
    second = {
        "dx_MC": found.x_NCHW,
        "dweight_C": found.weight_C,
        "dbias_C": found.bias_C,
        "dslope_S": found.slope_S,
        "inverse_rows": count / x_NCHW.numel(),
    }
    launches = [
        tiles.launch(sums_kernel, both, x_NCHW, False),
        tiles.launch(gradient_kernel, both | second, x_NCHW, True),
    ]
    return launches, found


def forward(*inputs: Any) -> tuple[Tensor, Tensor]:
    """The kernels' `reference.forward`, for fp16, bf16 and fp32 images, channels-last in memory."""
    launches, outputs = plan_forward(*inputs)
    for launch in launches:
        launch.run()
    return outputs


def backward(*inputs: Any) -> Gradients:
    """The kernels' `reference.backward`, likewise."""
    launches, gradients = plan_backward(*inputs)
    for launch in launches:
        launch.run()
    return gradients
