"""Training metrics: what a step writes, on the device, and the host reads now and then.

Axes: P peers, T terms, R rows of the ring.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from fastsr.cohort.share import Share, Whole
from fastsr.cohort.terms import TRAINING_TERMS

CALIBRATION_BINS = 10


def opinions(logits_2PE: Tensor) -> dict[str, Any]:
    """Disagreement of the discriminators, and calibration of their probabilities, on the images of one step.

    Args:
        logits_2PE: of real images, and of those of each peer's own generator, on the host.
    Returns:
        `disagreement`, nats: in row k, column j the mean KL(Bern(sigma(z_j)) || Bern(sigma(z_k))), for all pairs,
        whether they teach each other or not; `calibration`: how many real and generated images got a probability of
        being real from each tenth of 0 to 1, by peer.
    """
    z_PE = logits_2PE.double().transpose(0, 1).flatten(1)
    # One pair after the other, and no table of all bins: a U-Net has a logit for each of millions of pixels.
    disagreement = [[float(f"{divergence(z_j, z_k):.6g}") for z_j in z_PE] for z_k in z_PE]
    real, generated = ([tenths(z_E) for z_E in z_of_PE] for z_of_PE in logits_2PE)
    return {"disagreement": disagreement, "calibration": {"real": real, "generated": generated}}


def divergence(teacher_E: Tensor, student_E: Tensor) -> float:
    """Mean KL divergence of probabilities from those of a teacher, of fp64 logits, in nats."""
    one = teacher_E.sigmoid() * (logsigmoid(teacher_E) - logsigmoid(student_E))
    zero = (-teacher_E).sigmoid() * (logsigmoid(-teacher_E) - logsigmoid(-student_E))
    return float(one.mean() + zero.mean())


def tenths(z_E: Tensor) -> list[int]:
    """How many logits have a probability in each tenth of 0 to 1."""
    bins_E = (z_E.double().sigmoid() * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    return torch.bincount(bins_E, minlength=CALIBRATION_BINS).tolist()


class MetricsRing:
    """The last R rows of `[P, T]` fp32 metrics on the device; row t of training is slot t mod R."""

    def __init__(self, rows: int, peers: int, device: torch.device) -> None:
        self.rows_RPT = torch.zeros(rows, peers, len(TRAINING_TERMS), device=device)

    def write(self, step: Tensor, row_PT: Tensor) -> None:
        """Stores the row of `step` (int64 scalar on the device), zeros behind its terms. Nothing waits for the host."""
        row_PT = torch.nn.functional.pad(row_PT, (0, len(TRAINING_TERMS) - row_PT.shape[1]))
        self.rows_RPT.index_copy_(0, (step % self.rows_RPT.shape[0]).view(1), row_PT[None])

    def complete(self, share: Share) -> None:
        """Fetches the rows of peers that other processes train from these."""
        if not isinstance(share, Whole):
            own_pRT = self.rows_RPT[:, list(share.peers)].transpose(0, 1).contiguous()
            self.rows_RPT.copy_(share.gather_peers(own_pRT).transpose(0, 1))

    def read(self, first: int, last: int) -> Tensor:
        """Rows of the steps `[first, last)` as fp32 `[last - first, P, T]` on the host: one copy, a sync point."""
        count = self.rows_RPT.shape[0]
        assert 0 < last - first <= count
        return self.rows_RPT.cpu()[[step % count for step in range(first, last)]]
