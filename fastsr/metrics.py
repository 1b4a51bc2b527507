"""Training metrics: what a step writes, on the device, and the host reads now and then.

Axes: P peers, T terms, R rows of the ring.
"""

import torch
from torch import Tensor

TERMS = ("content", "adversarial", "bce_real", "bce_fake", "kl_real", "kl_fake", "d_prob_real", "d_prob_fake")
PRETRAIN_TERMS = ("pixel",)
MEANINGS = {
    "pixel": "mean squared error of pixels, the pre-training loss",
    "content": "content loss of G, unweighted",
    "adversarial": "adversarial loss of G, -ln D(G(lr)), unweighted",
    "bce_real": "loss of D on real images, -ln D(hr)",
    "bce_fake": "loss of D on generated images, -ln(1 - D(G(lr)))",
    "kl_real": "divergence of D from its teachers on real images, weighted by the mixing matrix and T^2",
    "kl_fake": "the same on generated images",
    "d_prob_real": "probability that D gives real images of being real, mean over the batch; 0.5: cannot tell",
    "d_prob_fake": "probability that D gives generated images of being real, mean over the batch; 0.5: cannot tell",
}


class MetricsRing:
    """The last R rows of `[P, T]` fp32 metrics on the device; row t of training is slot t mod R."""

    def __init__(self, rows: int, peers: int, device: torch.device) -> None:
        self.rows_RPT = torch.zeros(rows, peers, len(TERMS), device=device)

    def write(self, step: Tensor, row_PT: Tensor) -> None:
        """Stores the row of `step` (int64 scalar on the device), zeros behind its terms. Nothing waits for the host."""
        row_PT = torch.nn.functional.pad(row_PT, (0, len(TERMS) - row_PT.shape[1]))
        self.rows_RPT.index_copy_(0, (step % self.rows_RPT.shape[0]).view(1), row_PT[None])

    def read(self, first: int, last: int) -> Tensor:
        """Rows of the steps `[first, last)` as fp32 `[last - first, P, T]` on the host: one copy, a sync point."""
        count = self.rows_RPT.shape[0]
        assert 0 < last - first <= count
        return self.rows_RPT.cpu()[[step % count for step in range(first, last)]]
