"""Recipes: functions that return a configuration. `demo` shows that everything works; others are for your images."""

from typing import Literal

from fastsr.config.degrade import DegradeConfig
from fastsr.config.networks import ModelConfig
from fastsr.config.settings import (
    CohortConfig,
    ImagesConfig,
    LossConfig,
    OptimConfig,
    OutputConfig,
    TrainConfig,
)

RecipeName = Literal["paper", "demo", "esrgan", "real-esrgan"]


def recipe(name: RecipeName) -> TrainConfig:
    match name:
        case "paper":
            return paper()
        case "demo":
            return demo()
        case "esrgan":
            return esrgan()
        case "real-esrgan":
            return real_esrgan()


def paper() -> TrainConfig:
    """The paper's numbers: 32 blocks, 64 filters, batch 16, 50,000 steps, Adam (0.9, 0.999), two peers.

    What the paper leaves open (learning rate 1e-4, 96-pixel patches, VGG layer conv5_4) is listed in the README.
    """
    return TrainConfig(recipe="paper")


def demo() -> TrainConfig:
    """A small cohort for the sample photos: a few minutes on two CPU cores, no downloads."""
    return TrainConfig(
        recipe="demo",
        images=ImagesConfig(batch=8, patch=64),
        model=ModelConfig(scale=4, blocks=4, filters=32, discriminator_filters=16, skip="bicubic"),
        loss=LossConfig(content="pixel"),
        optim=OptimConfig(pretrain_steps=600, steps=200, lr=1e-3, ema=0.99),
        output=OutputConfig(log_every=20, save_every=200, val_every=200),
    )


def esrgan() -> TrainConfig:
    """ESRGAN's numbers: RRDB generator, relativistic discriminator, features of conv5_4 before activation, L1.

    It begins with an RRDB that was trained for PSNR: give one by --init-generator, or --pretrain-steps (the paper
    trained one for a million steps at twice the learning rate). One peer; more by --peers.

    Source: Wang et al., "ESRGAN: Enhanced super-resolution GANs", ECCV workshops 2018, section 4.1; the length of the
    training is that of BasicSR's train_ESRGAN_x4.yml.
    """
    return TrainConfig(
        recipe="esrgan",
        images=ImagesConfig(batch=16, patch=128),
        model=ModelConfig(generator="rrdb", scale=4, blocks=23, filters=64),
        cohort=CohortConfig(peers=1, variant="independent"),
        loss=LossConfig(
            content="layers",
            vgg_layers=("conv5_4",),
            vgg_layer_weights=(1.0,),
            content_weight=1.0,
            pixel_weight=1e-2,
            pixel_loss="l1",
            adversarial="relativistic",
            adversarial_weight=5e-3,
        ),
        optim=OptimConfig(
            steps=400_000, lr=1e-4, lr_milestones=(50_000, 100_000, 200_000, 300_000), lr_gamma=0.5
        ),
    )


def real_esrgan() -> TrainConfig:
    """Real-ESRGAN's numbers: RRDB generator, U-Net discriminator with spectral norm, five layers of VGG, L1.

    It begins with a generator trained for PSNR (there: RealESRNet, a million steps at 2e-4); give one by
    --init-generator, or --pretrain-steps. Images are degraded as there.

    Source: Wang et al., "Real-ESRGAN: Training real-world blind super-resolution with pure synthetic data", ICCV
    workshops 2021, section 4.1, and its train_realesrgan_x4plus.yml (beta2; batch 48 was 12 on each of four GPUs).
    """
    return TrainConfig(
        recipe="real-esrgan",
        images=ImagesConfig(batch=48, patch=256),
        degrade=DegradeConfig(degrade="real-esrgan"),
        model=ModelConfig(generator="rrdb", scale=4, blocks=23, filters=64, discriminator="unet"),
        cohort=CohortConfig(peers=1, variant="independent"),
        loss=LossConfig(
            content="layers",
            content_weight=1.0,
            pixel_weight=1.0,
            pixel_loss="l1",
            adversarial_weight=0.1,
        ),
        optim=OptimConfig(steps=400_000, lr=1e-4, beta2=0.99),
    )
