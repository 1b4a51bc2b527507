"""BN statistics of averaged generators: what they are, that they help, and that training does not notice."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ema import PATCHES, EmaStatistics, measure
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import ASIDE, PatchSampler
from fastsr.models import SRResNet
from fastsr.system.precision import Precision
from fastsr.training.train import train
from tests.images import random_image

CPU = torch.device("cpu")


def parts_of(config: TrainConfig, store: PixelStore) -> tuple[Cohort, PatchSampler, MetricsRing]:
    cohort = Cohort(config, PixelContent(), CPU, Precision())
    sampler = PatchSampler(store, scale=2, patch=16, batch=config.images.batch, seed=1)
    return cohort, sampler, MetricsRing(2, len(cohort.peers), CPU)


def statistics(generator: SRResNet) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in generator.named_buffers() if "running" in name}


def test_statistics_are_the_means_over_batches(tiny_config: TrainConfig, store: PixelStore) -> None:
    """Written out for the first norm, whose input no other norm changes; batch 7 leaves a remainder."""
    config = replace(tiny_config, images=replace(tiny_config.images, batch=7))
    cohort, sampler, ring = parts_of(config, store)
    step = Step(cohort, sampler, ring)
    for _ in range(3):
        step()
    EmaStatistics(cohort, sampler).measure(3)
    ema = cohort.peers[1].ema
    means, variances = [], []
    for k in range(58):  # 58 * 7 = 406 patches
        lr, _ = sampler.draw_aside(ASIDE + k)
        x = ema.blocks[0].conv1(ema.input_activation(ema.input_conv(lr)))
        means.append(x.mean((0, 2, 3)))
        variances.append(x.var((0, 2, 3)))
    norm = ema.blocks[0].norm1
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.num_batches_tracked == 58 == -(-PATCHES // 7)
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0))
    assert (norm.momentum, norm.training, ema.training) == (0.1, False, False)


def test_torchs_update_measures_the_same(tiny_config: TrainConfig, store: PixelStore) -> None:
    cohort, sampler, _ = parts_of(tiny_config, store)
    batches = EmaStatistics(cohort, sampler).batches
    ours, torchs = (peer.generator for peer in cohort.peers)
    torchs.load_state_dict(ours.state_dict())
    measure(ours, batches)
    update_bn(batches, torchs)
    for name, value in statistics(ours).items():
        torch.testing.assert_close(statistics(torchs)[name], value, msg=name)


def test_training_does_not_notice(tiny_config: TrainConfig, store: PixelStore) -> None:
    results = []
    for looked_at in (False, True):
        cohort, sampler, ring = parts_of(tiny_config, store)
        step, ema_statistics = Step(cohort, sampler, ring), EmaStatistics(cohort, sampler)
        for done in range(4):
            if looked_at:
                ema_statistics.measure(done)
            step()
        results.append(
            [
                tensor.clone()
                for peer in cohort.peers
                for tensor in peer.generator.state_dict().values()
            ]
        )
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_statistics_follow_from_seed_and_weights_alone(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    """Whatever was measured before, and at whatever step."""
    cohort, sampler, ring = parts_of(tiny_config, store)
    ema, often = cohort.peers[0].ema, EmaStatistics(cohort, sampler)
    step = Step(cohort, sampler, ring)
    for done in range(4):
        often.measure(done)
        step()
    often.measure(4)
    before = statistics(ema)
    EmaStatistics(cohort, sampler).measure(99)
    assert all(torch.equal(value, before[name]) for name, value in statistics(ema).items())


def loss_of(generator: SRResNet, sampler: PatchSampler) -> float:
    """Mean squared error on patches that neither training nor the statistics have seen, in dB."""
    with torch.no_grad():
        errors = [
            (generator(lr) - hr).square().mean()
            for lr, hr in (sampler.draw_aside(5000 + k) for k in range(40))
        ]
    return float(10 * torch.stack(errors).mean().log10())


def test_own_statistics_are_better_than_the_trained_generators(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    """While weights still move, their average has other activations than the last of them: here half a decibel."""
    config = replace(
        tiny_config,
        images=replace(tiny_config.images, batch=8),
        model=replace(tiny_config.model, blocks=2, filters=16),
        optim=replace(tiny_config.optim, lr=2e-3, ema=0.999),
    )
    cohort, sampler, ring = parts_of(config, store)
    step = Step(cohort, sampler, ring)
    for _ in range(40):
        step()
    EmaStatistics(cohort, sampler).measure(40)
    for peer in cohort.peers:
        own = loss_of(peer.ema, sampler)
        for average, source in zip(peer.ema.buffers(), peer.generator.buffers(), strict=True):
            average.copy_(source)
        assert own < loss_of(peer.ema, sampler) - 0.2


@pytest.mark.parametrize("steps", [3, 5])
def test_what_is_saved_has_its_own_statistics(
    tiny_config: TrainConfig, tmp_path: Path, steps: int
) -> None:
    """Also of a run that ends between validations and checkpoints."""
    (tmp_path / "images").mkdir()
    Image.fromarray(random_image(40, 50)).save(tmp_path / "images/0.png")
    config = replace(
        tiny_config,
        images=replace(tiny_config.images, data=(tmp_path / "images",)),
        optim=replace(tiny_config.optim, steps=steps - 3),
    )
    run = train(config, Console(quiet=True))
    checkpoint = run.latest()
    assert checkpoint is not None and checkpoint.name == f"step-{steps:08d}"
    for k in range(2):
        saved = load_file(checkpoint / f"peer-{k}-ema.safetensors")
        assert saved["trunk_norm.num_batches_tracked"] == 200
        assert bool(saved["trunk_norm.running_mean"].any())


@pytest.mark.parametrize("steps", [3, 5])
def test_saved_norms_say_how_many_batches_they_have_seen(
    tiny_config: TrainConfig, tmp_path: Path, steps: int
) -> None:
    """Of three steps of pre-training, which compute no D, and of adversarial ones, in which D sees real and fake."""
    (tmp_path / "images").mkdir()
    Image.fromarray(random_image(40, 50)).save(tmp_path / "images/0.png")
    config = replace(
        tiny_config,
        images=replace(tiny_config.images, data=(tmp_path / "images",)),
        optim=replace(tiny_config.optim, steps=steps - 3),
    )
    checkpoint = train(config, Console(quiet=True)).latest()
    assert checkpoint is not None
    for k in range(2):
        for network, batches in (("generator", steps), ("discriminator", 2 * (steps - 3))):
            saved = load_file(checkpoint / f"peer-{k}-{network}.safetensors")
            counts = [value for key, value in saved.items() if key.endswith("num_batches_tracked")]
            assert counts and all(count == batches for count in counts)
