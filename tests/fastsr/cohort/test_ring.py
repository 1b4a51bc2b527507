"""The discriminators' opinions: how they differ, and how far they can be trusted."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ring import MetricsRing, opinions
from fastsr.cohort.step import PretrainStep, Step
from fastsr.cohort.terms import TRAINING_TERMS
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.system.live_bytes import LiveBytes
from fastsr.system.precision import Precision


def test_disagreement_is_the_kl_of_all_pairs_whoever_teaches() -> None:
    logits_2PE = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)) * 3
    got = opinions(logits_2PE)["disagreement"]
    z_PE = torch.cat([*logits_2PE], dim=1).double()
    for k in range(3):
        for j in range(3):
            want = kl_divergence(Bernoulli(logits=z_PE[j]), Bernoulli(logits=z_PE[k])).mean()
            assert got[k][j] == pytest.approx(float(want), rel=1e-5, abs=1e-12)


def test_disagreement_of_certain_discriminators_is_finite() -> None:
    got = opinions(
        torch.tensor([[[90.0]], [[-90.0]]]).expand(2, 2, 4) * torch.tensor([1.0, -1.0])[:, None]
    )
    assert got["disagreement"][0][1] == pytest.approx(90)


def test_calibration_counts_every_image_once() -> None:
    probability = torch.tensor([0.0, 0.05, 0.15, 0.95, 1.0])
    logits = torch.special.logit(probability, eps=1e-9)
    got = opinions(torch.stack([logits, -logits])[:, None])["calibration"]
    assert got["real"] == [[2, 1, 0, 0, 0, 0, 0, 0, 0, 2]]
    assert got["generated"] == [[2, 0, 0, 0, 0, 0, 0, 0, 1, 2]]


def test_maps_of_many_logits_are_looked_at_in_little_memory() -> None:
    """A U-Net has one for each pixel: 3 million of a batch of Real-ESRGAN's."""
    logits_2PE = torch.randn(2, 3, 50_000, generator=torch.Generator().manual_seed(0))
    with LiveBytes() as live:
        got = opinions(logits_2PE)
    assert live.most.total() < 10 * logits_2PE.nbytes
    assert [sum(row) for row in got["calibration"]["real"]] == [50_000] * 3


def test_a_step_keeps_the_logits_that_its_losses_came_from(
    tiny_config: TrainConfig, store: PixelStore
) -> None:
    config = replace(tiny_config, images=replace(tiny_config.images, batch=3))
    device = torch.device("cpu")
    cohort = Cohort(config, PixelContent(), device, Precision())
    sampler = PatchSampler.from_config(store, config)
    ring = MetricsRing(4, 2, device)
    home = cohort.logits_2PE.data_ptr()
    PretrainStep(cohort, sampler, ring)()
    assert not cohort.logits_2PE.any()
    Step(cohort, sampler, ring)()
    row = ring.read(1, 2)[0].double()
    real_PE, fake_PE = cohort.logits_2PE.double()
    assert torch.allclose(row[:, 2], torch.nn.functional.softplus(-real_PE).mean(1))
    assert torch.allclose(row[:, 3], torch.nn.functional.softplus(fake_PE).mean(1))
    assert torch.allclose(row[:, 6], real_PE.sigmoid().mean(1))
    assert torch.allclose(row[:, 7], fake_PE.sigmoid().mean(1))
    assert cohort.logits_2PE.data_ptr() == home


CPU = torch.device("cpu")


def test_ring_keeps_the_last_rows_in_order() -> None:
    ring = MetricsRing(3, 2, CPU)
    for step in range(5):
        ring.write(torch.tensor(step), torch.full((2, len(TRAINING_TERMS)), float(step)))
    assert ring.read(2, 5)[:, 0, 0].tolist() == [2.0, 3.0, 4.0]
    assert ring.read(3, 4).shape == (1, 2, len(TRAINING_TERMS))


def test_short_rows_overwrite_what_stood_behind_them() -> None:
    ring = MetricsRing(1, 1, CPU)
    ring.write(torch.tensor(0), torch.ones(1, len(TRAINING_TERMS)))
    ring.write(torch.tensor(1), torch.full((1, 1), 7.0))
    assert ring.read(1, 2)[0, 0].tolist() == [7.0] + [0.0] * (len(TRAINING_TERMS) - 1)
