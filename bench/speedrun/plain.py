"""SRGAN as most repositories train it: a generator alone, then D and G in turn, by Adam at a constant rate.

Axes: N images, C channels, h w low and H W high resolution.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from bench.speedrun.task import SCALE
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.models import Discriminator, SRResNet

PRETRAIN_STEPS, STEPS = 1500, 200
BATCH, PATCH = 8, 64
LEARNING_RATE, ADVERSARIAL_WEIGHT = 1e-3, 1e-3


def train(store: PixelStore, seed: int) -> SRResNet:
    generator, discriminator = SRResNet(SCALE, 4, 32), Discriminator(PATCH, 16)
    g_adam, d_adam = (
        torch.optim.Adam(network.parameters(), LEARNING_RATE)
        for network in (generator, discriminator)
    )
    for step, (lr_NChw, hr_NCHW) in enumerate(batches(store, seed)):
        with torch.autocast("cpu", torch.bfloat16):
            sr_NCHW = generator(lr_NChw)
        adversarial: Tensor | float = 0.0
        if step >= PRETRAIN_STEPS:
            discriminator.requires_grad_(True)
            loss = criterion(discriminator, hr_NCHW, 1) + criterion(
                discriminator, sr_NCHW.detach(), 0
            )
            update(d_adam, loss)
            discriminator.requires_grad_(False)
            adversarial = criterion(discriminator, sr_NCHW, 1)
        update(g_adam, mse_loss(sr_NCHW, hr_NCHW) + ADVERSARIAL_WEIGHT * adversarial)
    return generator


def batches(store: PixelStore, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    sampler = PatchSampler(store, scale=SCALE, patch=PATCH, batch=BATCH, seed=seed)
    for step in range(PRETRAIN_STEPS + STEPS):
        yield sampler.draw(torch.tensor(step))


def criterion(discriminator: Discriminator, image_NCHW: Tensor, real: int) -> Tensor:
    """Binary cross entropy of D's answer."""
    with torch.autocast("cpu", torch.bfloat16):
        z_N = discriminator(image_NCHW)
    return binary_cross_entropy_with_logits(z_N.float(), torch.full_like(z_N.float(), real))


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
