"""Recipes: functions that return a configuration. `paper` trains on your images, `demo` shows that everything works."""

from fastsr.config.settings import (
    ImagesConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    OutputConfig,
    TrainConfig,
)


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
