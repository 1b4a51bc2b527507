"""Recipes to measure, and the cohort and the baseline that train by them from the same weights on the same patches."""

from dataclasses import replace

import torch

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import FeatureContent, content_loss
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.recipes import paper
from fastsr.config.settings import ImagesConfig, LossConfig, ModelConfig, TrainConfig
from fastsr.data.images import read_rgb8
from fastsr.data.photos import TRAIN, sample_photos
from fastsr.data.pixels import PixelStore, place
from fastsr.data.sampler import PatchSampler
from fastsr.proof.usual_loop import Baseline
from fastsr.system.device import keep_freed_memory
from fastsr.system.precision import Precision


def paper_recipe() -> TrainConfig:
    """The paper at x4: 32 blocks, 64 filters, batch 16 of 96x96. VGG has random weights, which cost the same."""
    return replace(paper(), loss=LossConfig(content="random-vgg"))


def small_recipe() -> TrainConfig:
    """Small networks, which show in seconds that the benchmarks work. Ratios of their times mean little."""
    return replace(
        paper_recipe(),
        recipe="small",
        images=ImagesConfig(batch=4, patch=32),
        model=ModelConfig(blocks=4, filters=32, discriminator_filters=16),
    )


def sample_store(device: torch.device) -> PixelStore:
    """The sample photos, in the memory that training would keep them in."""
    return place(PixelStore.from_images([read_rgb8(path) for path in sample_photos(TRAIN)]), device)


def make_sampler(config: TrainConfig, store: PixelStore) -> PatchSampler:
    return PatchSampler.from_config(store, config)


def make_step(config: TrainConfig, sampler: PatchSampler) -> Step:
    """The cohort's step in fp32. It draws its patches itself."""
    device = sampler.store.device
    if device.type == "cpu":
        keep_freed_memory()  # as training does; the baseline in the same process gains from it too
    cohort = Cohort(config, content_loss(config.loss), device, Precision())
    return Step(cohort, sampler, MetricsRing(1, config.cohort.peers, device))


def make_baseline(config: TrainConfig, device: torch.device) -> Baseline:
    """SRGANs in the plain loop, in fp32."""
    content = content_loss(config.loss)
    assert isinstance(content, FeatureContent)
    return Baseline(config, content.vgg.to(device), content.scale, device)


def share_weights(cohort: Cohort, baseline: Baseline) -> None:
    """Copies the cohort's weights to the baseline, memory formats left as they are."""
    for pair, peer in zip(baseline.pairs, cohort.peers, strict=True):
        pair.generator.load_state_dict(peer.generator.state_dict())
        pair.discriminator.load_state_dict(peer.discriminator.state_dict())
