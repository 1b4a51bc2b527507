"""Content losses."""

from pathlib import Path
from typing import Any

import pytest
import torch

from fastsr.cohort.content import (
    IMAGENET_SCALE,
    RANDOM_SCALE,
    FeatureContent,
    PixelContent,
    content_loss,
)
from fastsr.config.settings import LossConfig
from fastsr.models import VGG19Features


@pytest.mark.parametrize("name", ["vgg22", "vgg54"])
def test_feature_content_is_scaled_mean_squared_error(name: str, tmp_path: Path) -> None:
    vgg = VGG19Features("conv5_4").randomise(seed=3)
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    content = content_loss(LossConfig(content=name, vgg=tmp_path / "vgg.pth"))  # type: ignore[arg-type]
    sr, hr = torch.rand(2, 2, 3, 32, 32)
    want = (IMAGENET_SCALE * (content.vgg(sr) - content.vgg(hr))).square().mean()  # type: ignore[union-attr]
    assert float(content(sr, content.target(hr))) == pytest.approx(float(want), rel=1e-5)
    assert not content.target(hr).requires_grad


def test_pixel_content_is_mean_squared_error() -> None:
    sr, hr = torch.rand(2, 2, 3, 8, 8)
    content = PixelContent()
    assert float(content(sr, content.target(hr))) == pytest.approx(
        float((sr - hr).square().mean()), rel=1e-6
    )


@pytest.mark.parametrize(
    ("name", "layer"), [("random-vgg", "conv5_4"), ("random-vgg22", "conv2_2")]
)
def test_random_vgg_content_needs_no_file(name: str, layer: str) -> None:
    content = content_loss(LossConfig(content=name))  # type: ignore[arg-type]
    assert isinstance(content, FeatureContent)
    assert content.scale == RANDOM_SCALE
    want = VGG19Features(layer).randomise().state_dict()  # type: ignore[arg-type]
    assert content.vgg.state_dict().keys() == want.keys()
    assert torch.equal(content.vgg.features[0].weight, want["features.0.weight"])  # type: ignore[arg-type]


def test_weights_in_autocasts_dtype_give_what_casting_them_gives() -> None:
    """Bit for bit, with the gradient of the image; and fp32 comes back where a check asks for it."""
    contents = [FeatureContent(VGG19Features("conv2_2").randomise(), 1.0) for _ in range(2)]
    contents[1].cast(torch.bfloat16)
    results = []
    for content in contents:
        sr, hr = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).unbind()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = content(sr.requires_grad_(), content.target(hr))
        (gradient,) = torch.autograd.grad(value, sr)
        results.append((value.detach(), gradient))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    contents[1].cast(None)
    assert contents[1](sr, contents[1].target(hr)).dtype == torch.float32


def test_layers_are_compared_before_activation_with_their_weights(tmp_path: Path) -> None:
    """As the first convolutions of torchvision's network give them, which its ReLU in place would overwrite."""
    vgg = VGG19Features("conv5_4").randomise(seed=3)
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    loss = LossConfig(
        content="layers", vgg=tmp_path / "vgg.pth", vgg_layers=("conv1_2", "conv3_4"),
        vgg_layer_weights=(0.1, 2.0), pixel_weight=0.5, pixel_loss="l1",
    )  # fmt: skip
    content = content_loss(loss)
    sr, hr = torch.rand(2, 2, 3, 32, 32)
    want = 0.5 * (sr - hr).abs().mean()
    for weight, convolution in ((0.1, 2), (2.0, 16)):
        head = vgg.features[: convolution + 1]
        ours, theirs = (head((x - vgg.mean) / vgg.deviation) for x in (sr, hr))
        assert float(ours.min()) < 0
        want = want + weight * (ours - theirs).abs().mean()
    leaf = sr.clone().requires_grad_()
    value = content(leaf, content.target(hr))
    assert float(value) == pytest.approx(float(want), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, leaf)
    (expected,) = torch.autograd.grad(content_loss(loss)(leaf, content.target(hr)), leaf)
    torch.testing.assert_close(gradient, expected)
    assert gradient.any()


@pytest.mark.parametrize(("distance", "power"), [("mse", 2), ("l1", 1)])
def test_pixels_are_compared_by_either_distance(distance: Any, power: int) -> None:
    sr, hr = torch.rand(2, 2, 3, 8, 8)
    content = content_loss(LossConfig(content="pixel", pixel_loss=distance))
    want = (sr - hr).abs().pow(power).mean()
    assert float(content(sr, content.target(hr))) == pytest.approx(float(want), rel=1e-6)
