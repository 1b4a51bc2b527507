"""The least memory of a run, by arithmetic."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from fastsr.config.networks import DiscriminatorName, GeneratorName
from fastsr.config.recipes import demo, paper
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.models import Discriminator, SRResNet
from fastsr.models.networks import (
    build_discriminator,
    build_generator,
    discriminator_architecture,
    generator_architecture,
)
from fastsr.prediction.memory import predict_memory
from fastsr.prediction.parameters import discriminator_parameters, generator_parameters
from fastsr.prediction.size import check_size, least_bytes
from fastsr.system.precision import Precision
from tests.fastsr.config.configurations import changed

CPU = torch.device("cpu")
OTHERS: list[tuple[GeneratorName, DiscriminatorName]] = [
    ("rrdb", "unet"), ("msrresnet", "patch"), ("compact", "unet"), ("span", "patch"),
]  # fmt: skip


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("patch", [24, 96])
def test_parameters_are_those_of_the_networks(scale: Any, patch: int) -> None:
    model = replace(TrainConfig().model, scale=scale, blocks=3, filters=6, discriminator_filters=5)
    networks = SRResNet(scale, 3, 6), Discriminator(patch, 5)
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert [generator_parameters(model), discriminator_parameters(model, patch)] == counts


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(("generator", "discriminator"), OTHERS)
def test_parameters_of_the_other_networks(
    scale: Any, generator: GeneratorName, discriminator: DiscriminatorName
) -> None:
    model = replace(
        demo().model, scale=scale, generator=generator, discriminator=discriminator, growth=5
    )
    networks = (
        build_generator(generator_architecture(model)),
        build_discriminator(discriminator_architecture(model, 64)),
    )
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert [generator_parameters(model), discriminator_parameters(model, 64)] == counts


@pytest.mark.parametrize(("generator", "discriminator"), OTHERS[:2])
def test_memory_of_other_networks_has_a_lower_bound(
    generator: GeneratorName, discriminator: DiscriminatorName
) -> None:
    model = replace(demo().model, generator=generator, discriminator=discriminator, blocks=1)
    config = replace(demo(), model=model, cohort=replace(demo().cohort, peers=1))
    assert least_bytes(config) <= predict_memory(config, Precision()).peak < 8 * least_bytes(config)


@pytest.mark.parametrize(
    "config", [demo(), changed("model.blocks", 2, paper())], ids=["demo", "paper"]
)
@pytest.mark.parametrize("recomputed", [False, True])
def test_it_is_a_lower_bound_and_not_far_off(config: TrainConfig, recomputed: bool) -> None:
    config = changed("machine.checkpoint_activations", recomputed, config)
    peak, least = predict_memory(config, Precision()).peak, least_bytes(config)
    assert peak / 8 < least <= peak


HOPELESS = [
    ("model.filters", 100_000, "--filters 100000 cannot be used: at least "),
    ("model.blocks", 10**9, "--blocks 1000000000 cannot be used"),
    ("model.blocks", 10**40, "--blocks 1" + "0" * 40),
    ("model.discriminator_filters", 100_000, "--discriminator-filters 100000 cannot be used"),
    ("cohort.peers", 100_000, "--peers 100000 cannot be used"),
    ("images.batch", 10**7, "--batch 10000000 cannot be used"),
    ("images.patch", 96 * 1000, "--patch 96000 cannot be used"),
]


@pytest.mark.parametrize(("path", "value", "words"), HOPELESS)
def test_what_cannot_fit_is_refused_by_name(path: str, value: int, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        check_size(changed(path, value), CPU, room=16 * 10**9)
    assert "and cpu has 16.0 GB; use smaller numbers" in str(caught.value)


def test_what_may_fit_is_not_refused() -> None:
    check_size(paper(), CPU, room=2 * 10**9)
    check_size(changed("model.filters", 10**9), CPU, room=0)  # where the system does not tell
    with pytest.raises(UserError, match="--blocks 32 --filters 64"):
        check_size(paper(), CPU, room=10**9 // 64)
