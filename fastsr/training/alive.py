"""The check, before training, that every loss is alive, on patches that show it."""

import torch
from rich.console import Console
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.liveness import check_liveness
from fastsr.console import say
from fastsr.data.sampler import ASIDE, PatchSource
from fastsr.distributed.world import World
from fastsr.errors import UserError

TRIES = 8
"""Batches of images that a loss may show its gradients on."""


def check_losses(cohort: Cohort, patches: PatchSource, world: World, console: Console) -> None:
    """Checks the liveness of every loss on the liveliest patches of a batch; on those of others before it gives up.

    Black patches, as of a sky by night, leave some gradients at zero though nothing is wrong; a loss that is dead has
    none on noise either. Raises UserError, on all ranks where a loss of any is dead.
    """
    if any(are_alive(cohort, world, *patches.draw_aside(ASIDE + k)) for k in range(TRIES)):
        return
    noise = noise_like(*patches.draw_aside(ASIDE))
    world.together(lambda: check_liveness(cohort, *noise))
    say(console, f"warning: {TRIES} batches have hardly a patch with anything on it to learn from")


def are_alive(cohort: Cohort, world: World, lr_NChw: Tensor, hr_NCHW: Tensor) -> bool:
    """True if every loss shows its gradients on the two patches that vary most."""
    liveliest = hr_NCHW.flatten(1).std(1).topk(2).indices
    try:
        world.together(lambda: check_liveness(cohort, lr_NChw[liveliest], hr_NCHW[liveliest]))
    except UserError:
        return False
    return True


def noise_like(lr_NChw: Tensor, hr_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Two patches of noise in place of those that were drawn, the same for every call."""
    generator = torch.Generator().manual_seed(0)
    noise_NCHW = torch.rand((2, *hr_NCHW.shape[1:]), generator=generator).to(hr_NCHW)
    h, w = lr_NChw.shape[-2:]
    return adaptive_avg_pool2d(noise_NCHW, (h, w)), noise_NCHW
