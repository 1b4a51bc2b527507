"""The share of a cohort that one process computes: some of its peers, on a slice of every batch.

Axes: P peers of the cohort and p of this share, N images of a batch and n of this slice, E logits of one peer, all of a
batch, and e of this slice.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn


class Share(Protocol):
    """The exchange of a cohort with other processes that train the rest of it: logits, and little else."""

    peers: tuple[int, ...]
    """Numbers, in the whole cohort, of the peers that this process trains."""
    part: int
    """Index of this process's slice of the batch."""
    parts: int
    """Slices that a batch is cut into."""

    def gather_logits(self, z_2pe: Tensor) -> Tensor:
        """Logits of all peers on the whole batch, `[2, P, E]`, from those of this share; part of the step."""
        ...

    def gather_peers(self, x_pX: Tensor) -> Tensor:
        """Values of all peers, `[P, X]`, means over slices, from those of this share; no part of the step."""
        ...

    def mine(self, x_PE: Tensor) -> Tensor:
        """Of gradients of means over the batch: those of this share, as gradients of means over its slice."""
        ...

    def spread(self, x_p: Tensor) -> Tensor:
        """`[P]`: this share's values in the places of its peers, zeros elsewhere."""
        ...

    def cut(self, x_NX: Tensor) -> Tensor:
        """The slice `[n, X]` of a whole batch."""
        ...

    def average_gradients(self, network: nn.Module) -> None:
        """Makes the gradients of a network means over all slices; part of the step."""
        ...


class Whole:
    """The share of a process that trains alone: all peers on whole batches."""

    part, parts = 0, 1

    def __init__(self, peers: Sequence[int]) -> None:
        self.peers = tuple(peers)

    def gather_logits(self, z_2pe: Tensor) -> Tensor:
        return z_2pe

    def gather_peers(self, x_pX: Tensor) -> Tensor:
        return x_pX

    def mine(self, x_PE: Tensor) -> Tensor:
        return x_PE

    def spread(self, x_p: Tensor) -> Tensor:
        return x_p

    def cut(self, x_NX: Tensor) -> Tensor:
        return x_NX

    def average_gradients(self, network: nn.Module) -> None:
        """There is one slice."""
