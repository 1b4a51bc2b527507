"""SRGAN as most repositories train it: a generator alone, then D and G in turn, and an average of G's weights.

Settings are those of the seeds recorded in bench/results/reproduce, but for twice the adversarial weight.

Axes: N images, C channels, h w low and H W high resolution.
"""

from collections.abc import Iterator
from itertools import islice
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss
from torch.optim import Adam
from torch.optim.lr_scheduler import MultiStepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from bench.speedrun.task import SCALE
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.models import Discriminator, SRResNet

PRETRAIN_STEPS, STEPS = 1000, 1000
BATCH, PATCH = 8, 64
LEARNING_RATE, MILESTONES, GAMMA = 1e-3, [700, 1000], 0.4  # D begins after both
ADVERSARIAL_WEIGHT = 2e-3
DECAY, STATISTICS_BATCHES = 0.999, 50


def train(store: PixelStore, seed: int) -> SRResNet:
    generator, discriminator = SRResNet(SCALE, 4, 32, "bicubic"), Discriminator(PATCH, 16)
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(DECAY))
    g_adam = Adam(generator.parameters(), LEARNING_RATE)
    d_adam = Adam(discriminator.parameters(), LEARNING_RATE * GAMMA ** len(MILESTONES))
    schedule = MultiStepLR(g_adam, MILESTONES, GAMMA)
    drawn = batches(store, seed)
    for step, (lr_NChw, hr_NCHW) in enumerate(islice(drawn, PRETRAIN_STEPS + STEPS)):
        with torch.autocast("cpu", torch.bfloat16):
            sr_NCHW = generator(lr_NChw)
        loss = mse_loss(sr_NCHW, hr_NCHW)
        if step >= PRETRAIN_STEPS:
            teach(discriminator, d_adam, hr_NCHW, sr_NCHW.detach())
            loss = loss + ADVERSARIAL_WEIGHT * criterion(discriminator, sr_NCHW, 1)
        update(g_adam, loss)
        average.update_parameters(generator)
        schedule.step()
    update_bn((lr_NChw for lr_NChw, _ in islice(drawn, STATISTICS_BATCHES)), average)
    return cast(SRResNet, average.module)


def batches(store: PixelStore, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Patches of LR and HR, without end."""
    sampler = PatchSampler(store, scale=SCALE, patch=PATCH, batch=BATCH, seed=seed)
    step = 0
    while True:
        yield sampler.draw(torch.tensor(step))
        step += 1


def teach(discriminator: Discriminator, adam: Adam, hr_NCHW: Tensor, sr_NCHW: Tensor) -> None:
    """One step of D, which is left without gradients for the step of G."""
    discriminator.requires_grad_(True)
    update(adam, criterion(discriminator, hr_NCHW, 1) + criterion(discriminator, sr_NCHW, 0))
    discriminator.requires_grad_(False)


def criterion(discriminator: Discriminator, image_NCHW: Tensor, real: int) -> Tensor:
    """Binary cross entropy of D's answer."""
    with torch.autocast("cpu", torch.bfloat16):
        z_N = discriminator(image_NCHW)
    return binary_cross_entropy_with_logits(z_N.float(), torch.full_like(z_N.float(), real))


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
