"""The baseline: SRGANs trained one after the other, as most public PyTorch repositories write the loop.

Axes: N images, C channels, h w low and H W high resolution.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fastsr.cohort.compile import prepare_compiler
from fastsr.config.settings import TrainConfig
from fastsr.models import VGG19Features
from fastsr.models.base import compile_in_place
from fastsr.models.networks import (
    build_discriminator,
    build_generator,
    discriminator_architecture,
    generator_architecture,
)
from fastsr.system.device import move
from fastsr.system.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Manner:
    """Settings of the loop. The defaults are those of most repositories."""

    precision: Precision = field(default_factory=Precision)
    layout: torch.memory_format = torch.contiguous_format
    compiled: tuple[str, ...] = ()
    """Names of the networks to compile: generator, discriminator, vgg."""


class SRGAN:
    """One generator, one discriminator and torch's default Adam for each.

    D is frozen while G learns, as careful repositories have it, so that its weight gradients are not computed in vain.
    """

    def __init__(
        self,
        config: TrainConfig,
        vgg: VGG19Features,
        scale: float,
        device: torch.device,
        manner: Manner,
    ) -> None:
        model, loss, optim = config.model, config.loss, config.optim
        self.device, self.manner = device, manner
        self.generator = build_generator(generator_architecture(model))
        self.discriminator = build_discriminator(
            discriminator_architecture(model, config.images.patch)
        )
        for name, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            move(network, device, manner.layout)
            if name in manner.compiled:
                network.compile_blocks()
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=optim.lr)
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=optim.lr)
        self.vgg, self.feature_scale = vgg, scale
        self.adversarial_criterion, self.content_criterion = nn.BCEWithLogitsLoss(), nn.MSELoss()
        self.content_weight, self.adversarial_weight = (
            loss.initial_content_weight,
            loss.adversarial_weight,
        )

    def step(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> dict[str, float]:
        """Updates D, then G, and returns every loss as a number, which waits for the device.

        Args:
            lr_NChw, hr_NCHW: fp32 in [0, 1].
        """
        lr_NChw, hr_NCHW = (
            x.contiguous(memory_format=self.manner.layout) for x in (lr_NChw, hr_NCHW)
        )
        with self.autocast():
            sr_NCHW = self.generator(lr_NChw)
        return self.step_discriminator(sr_NCHW, hr_NCHW) | self.step_generator(sr_NCHW, hr_NCHW)

    def autocast(self) -> torch.autocast:
        """Autocast in the precision of the loop."""
        return self.manner.precision.autocast(self.device)

    def step_discriminator(self, sr_NCHW: Tensor, hr_NCHW: Tensor) -> dict[str, float]:
        """Updates D on real and generated images. Returns its two losses."""
        self.discriminator.requires_grad_(True)
        self.d_optimizer.zero_grad()
        with self.autocast():
            z_real, z_fake = self.discriminator(hr_NCHW), self.discriminator(sr_NCHW.detach())
            real = self.adversarial_criterion(z_real, torch.ones_like(z_real))
            fake = self.adversarial_criterion(z_fake, torch.zeros_like(z_fake))
        (real + fake).backward()
        self.d_optimizer.step()
        return {"bce_real": real.item(), "bce_fake": fake.item()}

    def step_generator(self, sr_NCHW: Tensor, hr_NCHW: Tensor) -> dict[str, float]:
        """Updates G by content and adversarial loss. Returns both."""
        self.discriminator.requires_grad_(False)
        self.g_optimizer.zero_grad()
        with self.autocast():
            features_sr, features_hr = self.vgg(sr_NCHW), self.vgg(hr_NCHW)
            content = self.content_criterion(
                features_sr * self.feature_scale, features_hr * self.feature_scale
            )
            z_fake = self.discriminator(sr_NCHW)
            adversarial = self.adversarial_criterion(z_fake, torch.ones_like(z_fake))
        (self.content_weight * content + self.adversarial_weight * adversarial).backward()
        self.g_optimizer.step()
        return {"content": content.item(), "adversarial": adversarial.item()}


class Baseline:
    """One independent SRGAN for each peer of a cohort, trained one after the other, without sharing.

    They do not teach each other and keep no EMA of their generators; the cohort computes the KL divergence and the EMA
    in addition.
    """

    def __init__(
        self,
        config: TrainConfig,
        vgg: VGG19Features,
        scale: float,
        device: torch.device,
        manner: Manner | None = None,
    ) -> None:
        manner = manner or Manner()
        if manner.compiled:
            prepare_compiler()
        move(vgg, device, manner.layout)
        if "vgg" in manner.compiled:
            compile_in_place(vgg.features)
        self.pairs = [SRGAN(config, vgg, scale, device, manner) for _ in range(config.cohort.peers)]

    def step(self, lr_NChw: Tensor, hr_NCHW: Tensor) -> list[dict[str, float]]:
        """One step of every SRGAN on the same patches. Returns the losses of each."""
        return [pair.step(lr_NChw, hr_NCHW) for pair in self.pairs]
