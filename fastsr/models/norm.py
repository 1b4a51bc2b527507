"""Batch normalisation as a training step needs it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from fastsr.models.sync_norm import Gather, synchronised_norm


class BatchNorm(nn.BatchNorm2d):
    """BN over `[N, C, h, w]` that leaves `num_batches_tracked` alone: whoever saves the network writes it.

    With a momentum nothing reads that count, and adding one to it would be one kernel for every BN of every step.
    """

    gather: Gather | None = None
    """Fetches tensors of the other slices of a batch, where processes share one and normalise by all of it."""
    slices: int = 1
    """Slices that it fetches, this process's own included."""

    def __getstate__(self) -> dict[str, Any]:
        """A copy, as that which is saved, belongs to no process that others answer."""
        return {name: value for name, value in self.__dict__.items() if name != "gather"}

    def forward(self, input: Tensor) -> Tensor:
        if self.gather is not None and self.training:
            return self.synchronised(input, self.gather)
        if (
            self.momentum is None
        ):  # a mean over all batches, as `torch.optim.swa_utils.update_bn` asks for
            return super().forward(input)
        return batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, self.momentum, self.eps,
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
