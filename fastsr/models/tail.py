"""The last convolution of a generator, from many channels to three, and a way to compute it that wastes less.

Axes: N images, C channels, H W high resolution.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad


class Tail(nn.Conv2d):
    """A convolution that keeps the size, `[N, C, H, W]` to `[N, out, H, W]`: plain, or by rows, equal but for rounding.

    What multiplies matrices makes 16 to 64 channels at once, of which three leave most idle. By rows, each row of the
    filter is a filter of its own: out x rows channels are made at once, and added, each shifted by its row. Without
    gradients that takes 0.28 of the time on a CPU in fp32 and 0.46 in bf16, and is how a CPU evaluates. With gradients
    it takes 0.7 of it in fp32, and 1.2 in bf16 (`bench.tail`): training is plain, unless a GPU was found to gain.
    """

    by_rows = False
    """In training."""
    evaluated_by_rows = True
    """In evaluation mode, on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        on_cpu = input.device.type == "cpu"
        by_rows = self.by_rows if self.training else self.evaluated_by_rows and on_cpu
        return self.sum_of_rows(input) if by_rows else super().forward(input)

    def sum_of_rows(self, x_NCHW: Tensor) -> Tensor:
        """The same by rows; at least fp32, in which the rows are added."""
        out, channels, rows, columns = self.weight.shape
        weight = self.weight.permute(2, 0, 1, 3).reshape(rows * out, channels, 1, columns)
        y = conv2d(x_NCHW, weight, padding=(rows // 2, columns // 2))
        sums: Tensor = ShiftedSum.apply(y, rows)  # pyright: ignore[reportAssignmentType]
        return sums if self.bias is None else sums + self.bias[:, None, None]


class ShiftedSum(torch.autograd.Function):
    """`[N, rows * out, H + rows - 1, W]` to `[N, out, H, W]`: of group r the rows from r on, added up."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, rows: int) -> Tensor:
        ctx.rows, ctx.dtype = rows, y.dtype
        images, channels, height, width = y.shape
        out = channels // rows
        n, c, h, w = y.stride()
        shape = (images, rows, out, height - rows + 1, width)
        shifted = y.as_strided(shape, (n, out * c + h, c, h, w))
        return shifted.sum(1, dtype=torch.promote_types(y.dtype, torch.float32))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Every group's gradient is that of the sum, as many rows further down."""
        (gradient,), rows = gradients, ctx.rows
        beyond = pad(gradient.to(ctx.dtype), (0, 0, rows - 1, rows - 1))
        around = beyond.contiguous(memory_format=torch.channels_last)
        images, out, height, width = around.shape
        n, c, h, w = around.stride()
        upwards = around.as_strided((images, height - rows + 1, width, rows, out), (n, h, w, h, c))
        shifted = upwards.flip(3).reshape(images, height - rows + 1, width, rows * out)
        return shifted.permute(0, 3, 1, 2), None


def train_by_rows(network: nn.Module, by_rows: bool) -> None:
    """Sets how the tail of a network in training is computed, if it has one."""
    for module in network.modules():
        if isinstance(module, Tail):
            module.by_rows = by_rows


def always_plain(network: nn.Module) -> None:
    """Has the tail of a network, if it has one, computed as one convolution in every mode, as other programs do it."""
    for module in network.modules():
        if isinstance(module, Tail):
            module.by_rows = module.evaluated_by_rows = False
