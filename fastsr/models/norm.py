"""Batch normalisation as a training step needs it."""

from torch import Tensor, nn
from torch.nn.functional import batch_norm


class BatchNorm(nn.BatchNorm2d):
    """BN over `[N, C, h, w]` that leaves `num_batches_tracked` alone: whoever saves the network writes it.

    With a momentum nothing reads that count, and adding one to it would be one kernel for every BN of every step.
    """

    def forward(self, input: Tensor) -> Tensor:
        return batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, self.momentum or 0.0, self.eps,
        )  # fmt: skip


def write_batch_count(network: nn.Module, count: int) -> None:
    """Sets how many batches the running statistics of a network have seen."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.fill_(count)
