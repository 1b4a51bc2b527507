"""Content losses."""

from pathlib import Path

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
