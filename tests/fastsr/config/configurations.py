"""Configurations that tests change."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from fastsr.config.degrade import DegradeConfig
from fastsr.config.networks import PeerConfig
from fastsr.config.settings import (
    CohortConfig,
    DistributedConfig,
    ImagesConfig,
    LossConfig,
    MachineConfig,
    ModelConfig,
    OptimConfig,
    OutputConfig,
    TrainConfig,
)

INF, NAN = float("inf"), float("nan")


def changed(path: str, value: Any, base: TrainConfig | None = None) -> TrainConfig:
    """A configuration with one setting changed."""
    base = base or TrainConfig()
    group, name = path.split(".")
    return replace(base, **{group: replace(getattr(base, group), **{name: value})})


CHANGED = TrainConfig(
    recipe="mine",
    images=ImagesConfig(
        data=(Path("/data/a b"), Path("Größe 日本")),
        lr_data=(Path("/data/low"),),
        val=(Path('quote " and \\ backslash'),),
        val_lr_data=(Path('low "resolution"'),),
        val_degrade="bicubic",
        val_degrade_seed=7,
        cache=Path("/tmp/cache"),
        skip_bad=True,
        bits=16,
        batch=3,
        patch=48,
        border="mirror",
        probability="area",
        augment=False,
    ),
    degrade=DegradeConfig(
        degrade="light",
        context=8,
        usm=False,
        shuffle=True,
        blur_taps=(3, 9),
        blur_prob=0.1,
        kernel_prob=(1.0, 0.0, 0.0, 0.0, 0.0, 1e-3),
        sinc_prob=0.2,
        blur_sigma=(0.3, 2.0),
        betag_range=(0.6, 3.0),
        betap_range=(0.9, 1.5),
        resize_prob=(1.0, 2.0, 3.0),
        resize_range=(0.5, 1.0),
        noise_prob=0.3,
        gaussian_noise_prob=0.4,
        noise_range=(0.0, 5.0),
        poisson_scale_range=(0.0, 1.0),
        gray_noise_prob=0.6,
        jpeg_prob=0.7,
        jpeg_range=(1, 100),
        blur_prob2=0.1,
        kernel_prob2=(1.0, 0.0, 0.0, 0.0, 0.0, 1e-3),
        sinc_prob2=0.2,
        blur_sigma2=(0.3, 2.0),
        betag_range2=(0.6, 3.0),
        betap_range2=(0.9, 1.5),
        resize_prob2=(1.0, 2.0, 3.0),
        resize_range2=(0.75, 1.0),
        noise_prob2=0.3,
        gaussian_noise_prob2=0.4,
        noise_range2=(0.0, 5.0),
        poisson_scale_range2=(0.0, 1.0),
        gray_noise_prob2=0.6,
        jpeg_prob2=0.7,
        jpeg_range2=(1, 100),
        final_sinc_prob=0.9,
    ),
    model=ModelConfig(
        scale=8,
        channels=1,
        blocks=5,
        filters=6,
        skip="nearest",
        discriminator_filters=7,
        generator="compact",
        growth=9,
        output="linear",
        discriminator="unet",
        init_generator=(Path("g.pth"),),
        init_discriminator=(Path("d.safetensors"),),
    ),
    cohort=CohortConfig(
        peers=3,
        variant="ml-star",
        temperature=(1.5, 2.0, 1e-7),
        mixing="ring",
        mixing_matrix=((0.0, 0.5, 0.25), (1.0, 0.0, 0.0), (1e-3, 2.0, 0.0)),
        starts=(2, 0, 1),
        labels=("one", "ünlike", "three"),
        adversarial_factors=(1.0, 0.5, 0.0),
        kl_weight=0.1,
        kl="one-outcome",
        distillation_scale="1",
        exchange="mean",
        peer=(
            PeerConfig(generator="srresnet", blocks=2, init_generator=Path("/a b.pth"), lr=1e-5),
            PeerConfig(discriminator="vgg", content_weight=0.5, adversarial_weight=0.0),
            PeerConfig(),
        ),
    ),
    loss=LossConfig(
        content="random-layers",
        vgg_layers=("conv2_2", "conv4_4"),
        vgg_layer_weights=(2.0, 0.5),
        pixel_weight=0.25,
        pixel_loss="l1",
        adversarial="lsgan",
        vgg=Path("vgg.pth"),
        content_weight=2.5,
        content_ratio=3.5,
        adversarial_weight=3e-5,
    ),
    optim=OptimConfig(
        steps=11,
        pretrain_steps=12,
        warm_discriminator=13,
        beta2=0.99,
        lr=2e-5,
        lr_milestones=(5, 7),
        lr_gamma=0.5,
        ema=0.0,
    ),
    machine=MachineConfig(
        device="cuda:1",
        amp=True,
        compile=True,
        autotune=True,
        combine_kernels=True,
        checkpoint_activations=True,
        graph="auto",
        peer_streams=1,
        fused=False,
        prove=False,
        tune=False,
        channels_last=False,
        seed=2**53 + 1,
    ),
    distributed=DistributedConfig(
        mesh="3x1", sync_batch_norm=False, exchange_every=5, rank_timeout=7
    ),
    output=OutputConfig(
        out=Path("runs/x"),
        resume=True,
        resume_from="step-00000001",
        log_every=1,
        save_every=2,
        save_minutes=0.5,
        val_every=4,
        keep=5,
        keep_best=False,
        verbose=True,
    ),
)
