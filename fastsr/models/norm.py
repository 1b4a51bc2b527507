"""Batch normalisation as a training step needs it."""

from typing import Any

import torch
import torch.nn.functional as F
from fastsr_kernels.batch_norm import batch_norm
from torch import Tensor, nn

from fastsr.models.sync_norm import Gather, synchronised_norm


class BatchNorm(nn.BatchNorm2d):
    """BN over `[N, C, h, w]` that leaves `num_batches_tracked` alone: whoever saves the network writes it.

    With a momentum nothing reads that count, and adding one to it would be one kernel for every BN of every step.
    """

    gather: Gather | None = None
    """Fetches tensors of the other slices of a batch, where processes share one and normalise by all of it."""
    slices: int = 1
    """Slices that it fetches, this process's own included."""
    fused = False
    """In training one operator computes BN and what follows it, where that can be; see `fuses`."""

    def __getstate__(self) -> dict[str, Any]:
        """A copy, as that which is saved, belongs to no process that others answer."""
        return {name: value for name, value in self.__dict__.items() if name != "gather"}

    def forward(self, input: Tensor) -> Tensor:
        if self.gather is not None and self.training:
            return self.synchronised(input, self.gather)
        if self.momentum is None:  # the mean over all batches, as torch's `update_bn` asks for
            return super().forward(input)
        return F.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, self.momentum, self.eps,
        )  # fmt: skip

    def fuses(self, x_NCHW: Tensor, shortcut_NCHW: Tensor | None = None) -> bool:
        """True where `by_operator` is to compute this call: eager, by the batch's statistics, channels-last.

        torch.compile fuses torch's own operators itself, with what comes before and after them.
        """
        here = self.fused and self.training and self.gather is None and self.momentum is not None
        if not here or torch.compiler.is_compiling():
            return False
        alike = shortcut_NCHW is None or shortcut_NCHW.dtype == x_NCHW.dtype
        return alike and x_NCHW.is_contiguous(memory_format=torch.channels_last)

    def by_operator(
        self, x_NCHW: Tensor, slope: Tensor | float = 1.0, shortcut_NCHW: Tensor | None = None
    ) -> Tensor:
        """BN, then PReLU or LeakyReLU of that slope, then the sum with the shortcut."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        return batch_norm(
            x_NCHW, self.weight, self.bias, self.running_mean, self.running_var, self.momentum, self.eps, slope,
            shortcut_NCHW,
        )  # fmt: skip

    def synchronised(self, x_NCHW: Tensor, gather: Gather) -> Tensor:
        normal_NCHW, statistics_2C = synchronised_norm(x_NCHW, self.eps, gather)
        self.follow(statistics_2C, x_NCHW.numel() // x_NCHW.shape[1] * self.slices)
        weight, bias = (p.to(x_NCHW.dtype)[:, None, None] for p in (self.weight, self.bias))
        return normal_NCHW * weight + bias

    @torch.no_grad()
    def follow(self, statistics_2C: Tensor, count: int) -> None:
        """Moves the running statistics towards those of a batch of `count` values a channel."""
        assert self.running_mean is not None
        assert self.running_var is not None
        mean_C, variance_C = statistics_2C
        self.running_mean.lerp_(mean_C, self.momentum or 0.0)
        self.running_var.lerp_(variance_C * (count / max(count - 1, 1)), self.momentum or 0.0)


def norm_activation(
    norm: nn.Module,
    x_NCHW: Tensor,
    activation: nn.PReLU | nn.LeakyReLU | None = None,
    shortcut_NCHW: Tensor | None = None,
) -> Tensor:
    """shortcut + activation(norm(x)), by one operator where BN says so, else by those of torch.

    Args:
        norm: BN, or what has taken its place where it was folded into the convolution before it.
    """
    if isinstance(norm, BatchNorm) and norm.fuses(x_NCHW, shortcut_NCHW):
        if isinstance(activation, nn.PReLU):
            return norm.by_operator(x_NCHW, activation.weight, shortcut_NCHW)
        slope = 1.0 if activation is None else activation.negative_slope
        return norm.by_operator(x_NCHW, slope, shortcut_NCHW)
    y = norm(x_NCHW)
    y = y if activation is None else activation(y)
    return y if shortcut_NCHW is None else shortcut_NCHW + y


def fuse_norms(network: nn.Module, fused: bool) -> None:
    """Has one operator compute every BN of a network in training, with what follows it, or those of torch."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.fused = fused


def synchronise(network: nn.Module, gather: Gather, slices: int) -> None:
    """Has every BN of a network normalise by the whole batch, of which other processes have slices."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.gather, module.slices = gather, slices


def write_batch_count(network: nn.Module, count: int) -> None:
    """Sets how many batches the running statistics of a network have seen."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.fill_(count)
