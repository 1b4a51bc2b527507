"""The weight of the content loss beside the adversarial one, where features decide its size.

SRGAN's 1/12.75 belongs to the features of VGG's original weights; torchvision's, and those of random weights, have
other sizes. So the weight is not stated but measured: once, when the adversarial stage begins.
"""

from math import isfinite

import torch

from fastsr.cohort.capture import unchanged
from fastsr.cohort.cohort import Cohort
from fastsr.config.settings import LossConfig
from fastsr.data.sampler import ASIDE, PatchSource
from fastsr.errors import UserError

BATCHES = 8


def is_measured(loss: LossConfig) -> bool:
    """True if the content weight is measured. Pixels have a size of their own, and nothing balances against nothing."""
    return loss.content_weight == "auto" and loss.content != "pixel" and loss.adversarial_weight > 0


def balance(cohort: Cohort, patches: PatchSource) -> float:
    """Sets the content weight, in place: weighted content is `content_ratio` times the weighted adversarial loss.

    Both are means over all peers and some batches that training never draws. Nothing else changes, BN statistics
    included; so the weight follows from the seed and the state of the networks, and a resumed run has the same.

    Returns the weight. Raises UserError where the content loss is zero or not finite.
    """
    content, adversarial = (torch.zeros((), device=cohort.device) for _ in range(2))
    with unchanged(cohort.state()):
        for k in range(BATCHES):
            lr_NChw, hr_NCHW = map(cohort.share.cut, patches.draw_aside(ASIDE + k))
            forward = cohort.forward(*cohort.arrange((lr_NChw, hr_NCHW)))
            content += cohort.share.gather_peers(forward.content_P[:, None]).mean()
            adversarial += cohort.losses(forward).adversarial_P.mean()
    loss = cohort.config.loss
    cohort.content_weight.copy_(
        loss.content_ratio * loss.adversarial_weight * adversarial / content
    )
    weight = float(cohort.content_weight)
    if not (isfinite(weight) and weight > 0):
        raise UserError(
            f"the content loss is {float(content):.3g}, which no weight balances; set --content-weight"
        )
    return weight
