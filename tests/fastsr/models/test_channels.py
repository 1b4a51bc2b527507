"""Networks for images of other channels than RGB, and at x1."""

import pytest
import torch

from fastsr.config.networks import ModelConfig
from fastsr.models.architecture import from_header, header_of
from fastsr.models.networks import (
    build_discriminator,
    build_generator,
    discriminator_architecture,
    generator_architecture,
)
from fastsr.prediction.parameters import discriminator_parameters, generator_parameters

GENERATORS = ("srresnet", "msrresnet", "rrdb", "compact", "span")


def small(**settings: object) -> ModelConfig:
    return ModelConfig(blocks=1, filters=4, growth=4, discriminator_filters=4, **settings)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3, 4, 13])
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_give_the_channels_that_they_take(name: str, channels: int, scale: int) -> None:
    model = small(generator=name, channels=channels, scale=scale)
    architecture = generator_architecture(model)
    generator = build_generator(architecture)
    with torch.no_grad():
        sr = generator(torch.rand(2, channels, 8, 12))
    assert sr.shape == (2, channels, 8 * scale, 12 * scale)
    assert generator.architecture == architecture == from_header(header_of(architecture))
    counted = sum(p.numel() for p in generator.parameters())
    assert counted == generator_parameters(model)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("name", ["vgg", "unet", "patch"])
def test_discriminators_take_channels(name: str, channels: int) -> None:
    model = small(discriminator=name, channels=channels)
    discriminator = build_discriminator(discriminator_architecture(model, 48))
    assert discriminator(torch.rand(2, channels, 48, 48)).isfinite().all()
    counted = sum(p.numel() for p in discriminator.parameters())
    assert counted == discriminator_parameters(model, 48)


@pytest.mark.parametrize("name", GENERATORS)
def test_names_of_weights_do_not_depend_on_channels(name: str) -> None:
    rgb, grey = (
        build_generator(generator_architecture(small(generator=name, channels=c))).state_dict()
        for c in (3, 1)
    )
    assert list(rgb) == list(grey)


@pytest.mark.parametrize("skip", ["nearest", "bicubic"])
def test_at_x1_a_skip_is_the_image_itself(skip: str) -> None:
    generator = build_generator(generator_architecture(small(scale=1, skip=skip))).eval()
    image = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        torch.nn.init.zeros_(generator.get_parameter("output_conv.weight"))
        torch.nn.init.zeros_(generator.get_parameter("output_conv.bias"))
        assert torch.equal(generator(image), image)
