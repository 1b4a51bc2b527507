"""Settings drawn at random from what may be combined: a training that was stopped ends as one that was not."""

import random
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fastsr.config.check import check
from fastsr.config.networks import ModelConfig, PeerConfig
from fastsr.config.presets import preset
from fastsr.config.settings import (
    CohortConfig,
    LossConfig,
    MachineConfig,
    OptimConfig,
    TrainConfig,
)
from fastsr.errors import UserError
from fastsr.training.run import Run
from fastsr.training.train import train
from tests.fastsr.training.training_cases import quiet

STEPS = 6


def drawn(seed: int, base: TrainConfig) -> TrainConfig:
    """The first settings that may be combined, of those that a seed draws."""
    for k in count():
        try:
            return check(combined(random.Random(1000 * seed + k), base))
        except UserError:
            continue
    raise AssertionError


def combined(rng: random.Random, base: TrainConfig) -> TrainConfig:
    one = rng.choice
    pretraining, warming, peers = one((0, 1, 2)), one((0, 1)), one((1, 2, 3))
    tables = tuple(
        PeerConfig(
            generator=one((None, "compact", "span")),
            discriminator=one((None, "vgg")),
            lr=one((None, 3e-4)),
            content_weight=one((None, 0.7)),
        )
        for _ in range(peers)
    )
    return replace(
        base,
        images=replace(
            base.images, batch=one((2, 3)), patch=one((16, 24, 32)), bits=one((8, 16)), augment=one((True, False)),
            border=one(("replicate", "mirror")), probability=one(("uniform", "area")), val=(),
        ),
        degrade=replace(preset(one(("bicubic", "bicubic", "light"))), context=8),
        model=ModelConfig(
            scale=one((1, 2, 4)), channels=one((1, 3)), blocks=1, filters=4, growth=4, discriminator_filters=2,
            skip=one(("none", "nearest", "bicubic")), output=one(("tanh", "linear")),
            generator=one(("srresnet", "msrresnet", "rrdb", "compact", "span")),
            discriminator=one(("vgg", "unet", "patch")),
        ),
        cohort=CohortConfig(
            peers=peers, variant=one(("independent", "ml", "ml-star")), kl=one(("bernoulli", "one-outcome")),
            mixing=one(("variant", "ring", "star")), starts=one(((), (0,) * peers)), exchange=one(("map", "mean")),
            distillation_scale=one(("t2", "1")), peer=one(((), tables)),
        ),
        loss=LossConfig(
            content=one(("pixel", "pixel", "random-vgg22")), adversarial_weight=one((1e-3, 0.1, 0.0)),
            pixel_loss=one(("mse", "l1")), adversarial=one(("vanilla", "lsgan", "relativistic")),
        ),
        optim=OptimConfig(
            pretrain_steps=pretraining, warm_discriminator=warming, steps=STEPS - pretraining - warming, lr=1e-3,
            lr_milestones=one(((), (2, 4))), beta2=one((0.9, 0.999)), ema=one((0.0, 0.5, 0.999)),
        ),
        machine=MachineConfig(
            device="cpu", amp=one((True, False)), fused=one((True, False)), channels_last=one((True, False)),
            checkpoint_activations=one((True, False)), seed=one((0, 2**40 + 3)),
        ),
        output=replace(base.output, log_every=one((1, 3, 5)), save_every=one((1, 2, 99))),
    )  # fmt: skip


def tensors(run: Run) -> dict[str, Tensor]:
    checkpoint = run.latest()
    assert checkpoint is not None and checkpoint.name == f"step-{STEPS:08d}"
    return {
        f"{file.name}/{name}": value
        for file in checkpoint.glob("*.safetensors")
        for name, value in load_file(file).items()
    }


@pytest.mark.parametrize("seed", [7, 17, 40])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    config: TrainConfig, tmp_path: Path, seed: int
) -> None:
    config = drawn(seed, config)
    whole = train(config, quiet())
    optim, left = config.optim, 1 + seed % min(3, config.optim.steps - 1)
    stopped = replace(config, output=replace(config.output, out=tmp_path / "stopped"))
    train(replace(stopped, optim=replace(optim, steps=optim.steps - left)), quiet())
    run = train(replace(stopped, output=replace(stopped.output, resume=True)), quiet())
    got, want = tensors(run), tensors(whole)
    assert got.keys() == want.keys()
    assert [name for name in want if not torch.equal(got[name], want[name])] == []
