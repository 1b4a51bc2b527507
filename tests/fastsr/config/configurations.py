"""Configurations that tests change."""

from dataclasses import replace
from pathlib import Path
from typing import Any

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
        val=(Path('quote " and \\ backslash'),),
        cache=Path("/tmp/cache"),
        skip_bad=True,
        batch=3,
        patch=48,
        border="mirror",
        probability="area",
        augment=False,
    ),
    model=ModelConfig(scale=8, blocks=5, filters=6, skip="nearest", discriminator_filters=7),
    cohort=CohortConfig(
        peers=3,
        variant="ml-star",
        temperature=(1.5, 2.0, 1e-7),
        mixing="ring",
        mixing_matrix=((0.0, 0.5, 0.25), (1.0, 0.0, 0.0), (1e-3, 2.0, 0.0)),
        starts=(2, 0, 1),
        kl_weight=0.1,
        kl="one-outcome",
        distillation_scale="1",
    ),
    loss=LossConfig(
        content="random-vgg",
        vgg=Path("vgg.pth"),
        content_weight=2.5,
        content_ratio=3.5,
        adversarial_weight=3e-5,
    ),
    optim=OptimConfig(
        steps=11, pretrain_steps=12, lr=2e-5, lr_milestones=(5, 7), lr_gamma=0.5, ema=0.0
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
        val_every=4,
        keep=5,
        keep_best=False,
        verbose=True,
    ),
)
