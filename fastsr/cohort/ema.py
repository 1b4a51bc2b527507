"""BN statistics of averaged generators: of their own weights, measured on drawn patches.

Averaged weights with the running statistics of the weights they were averaged from are another network: such statistics
doubled the distance between two peers and tinted pictures. Where a skip is added to, they damp the details: PSNR gains,
NIQE loses, both by no more than a smaller factor of the right details would do.

Axes: N patches of a batch, h w low resolution.
"""

from functools import cached_property

import torch
from torch import Tensor

from fastsr.cohort.cohort import Cohort
from fastsr.data.sampler import ASIDE, PatchSource
from fastsr.models import SRResNet
from fastsr.models.norm import BatchNorm, write_batch_count

PATCHES = 400


class EmaStatistics:
    """Measures the BN statistics of every peer's EMA, outside the step; what is trained does not change.

    The patches are the same each time: steps `ASIDE` and after of the sampler, which training never reaches. So
    statistics follow from the seed and the averaged weights alone, and a run that was interrupted has those of one that
    was not.

    Args:
        patches: PATCHES of them are drawn, at first use, in batches of the run's size, and kept.
    """

    def __init__(self, cohort: Cohort, patches: PatchSource) -> None:
        self.cohort, self.patches = cohort, patches
        self.measured_at: int | None = None

    @cached_property
    def batches(self) -> list[Tensor]:
        """`lr_NChw` of each batch."""
        count = -(-PATCHES // self.cohort.config.images.batch)
        return [self.cohort.arrange(self.patches.draw_aside(ASIDE + k))[0] for k in range(count)]

    def measure(self, step: int) -> None:
        """Sets the statistics that belong to the averages after `step` steps, unless they are those already."""
        if self.measured_at != step:
            for peer in self.cohort.peers:
                if isinstance(peer.ema, SRResNet):
                    measure(peer.ema, self.batches)
                else:  # without BN; no patch need be drawn
                    peer.ema.settle()
            self.measured_at = step


@torch.no_grad()
def measure(generator: SRResNet, batches: list[Tensor]) -> None:
    """Sets BN's running mean and variance to the means over batches, in place, and leaves the generator in eval mode.

    Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018, section 3.2.
    """
    norms = [module for module in generator.modules() if isinstance(module, BatchNorm)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    generator.train()
    for k, lr_NChw in enumerate(batches):
        for norm in norms:
            # momentum=None means the same, and reads the device for the count
            norm.momentum = 1 / (k + 1)
        generator.trunk(lr_NChw)
    generator.eval()
    write_batch_count(generator, len(batches))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
