"""Proves the kernels of blind degradations: the patches of their reference on the host, within rounding.

Axes: N patches, C channels, H W high and h w low resolution.
"""

from collections.abc import Callable
from typing import Any

import torch
from fastsr_kernels.degrade import degrade, pack, reference
from torch import Tensor

from fastsr.config.settings import TrainConfig
from fastsr.data.degrade import degradation
from fastsr.proof.parts import Part, Unproved, part, skipped

DEGRADE = "degradations"
PATCHES, SIDE, SEED = 8, 48, 7
MEAN_LEVELS, MOST_LEVELS, MOST_OF_HR = 0.2, 8, 2e-6
"""LR may differ by these many of 255 levels: a sum just between two levels may end on either, and JPEG then makes a few
levels of it in its block. HR may differ by this share of its range."""
Degrade = Callable[..., tuple[Tensor, Tensor]]


def prove_degradations(
    config: TrainConfig, device: torch.device, compute: Degrade = degrade
) -> Part:
    """The degradations of a recipe against their reference. Skipped where it has none."""
    if config.degrade.is_bicubic:
        return skipped(DEGRADE, "--degrade bicubic: not in use")

    def check() -> str:
        what = degradation(config.degrade, config.model.scale)
        side = SIDE // what.scale * what.scale + what.context
        seeded = torch.Generator().manual_seed(SEED)
        hr_NCHW = smooth(torch.rand(PATCHES, 3, side, side, generator=seeded))
        worst, total = 0.0, 0.0
        for number in range(3):
            step = torch.tensor(number)
            got: Any = compute(
                hr_NCHW.to(device), what.frame, pack(what, device), SEED, step.to(device)
            )
            (lr, hr), (want_lr, want_hr) = (
                (x.cpu() for x in got),
                reference.degrade(hr_NCHW, what.frame, pack(what), SEED, step),
            )
            levels = (255 * (lr - want_lr)).abs().nan_to_num(torch.inf)
            worst, total = max(worst, float(levels.max())), total + float(levels.mean()) / 3
            if not float((hr - want_hr).abs().max()) <= MOST_OF_HR:
                raise Unproved("HR patches differ from those of the reference")
        if not (worst < MOST_LEVELS + 0.5 and total < MEAN_LEVELS):
            raise Unproved(
                f"LR patches differ by up to {worst:.0f} levels of 255, {total:.2f} in the mean "
                f"(at most {MOST_LEVELS} and {MEAN_LEVELS})"
            )
        return f"{3 * PATCHES} patches, at most {worst:.0f} levels of 255 apart, {total:.3f} in the mean"

    return part(DEGRADE, "--no-fused", check)


def smooth(x_NCHW: Tensor) -> Tensor:
    """Noise with the soft edges of pictures."""
    return torch.nn.functional.avg_pool2d(x_NCHW, 3, 1, 1)
