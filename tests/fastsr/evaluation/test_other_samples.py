"""Scores of grey, of more channels than three, and of 16 bits."""

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.data.bicubic import downscale, upscale
from fastsr.data.formats import PixelFormat
from fastsr.evaluation.metrics import is_defined, protocol_text
from fastsr.evaluation.pairs import load_pair
from fastsr.evaluation.psnr_ssim import psnr_rgb, psnr_y, ssim_y
from tests.images import random_image

HR = torch.from_numpy(random_image(60, 48))


def deep(image: torch.Tensor) -> torch.Tensor:
    return (image.to(torch.int32) * 257).to(torch.uint16)


def round_trip(image: torch.Tensor, scale: int = 4) -> torch.Tensor:
    return upscale(downscale(image, scale), scale)


def test_grey_scores_as_it_does_among_rgb_models(tmp_path) -> None:
    """One channel, or three equal ones of a file that stores grey: the same images, the same numbers."""
    Image.fromarray(random_image(60, 48)).convert("L").save(tmp_path / "a.png")
    one, three = (
        load_pair(tmp_path / "a.png", 4, form=form) for form in (PixelFormat(1), PixelFormat(3))
    )
    assert one.hr.shape[2] == 1
    assert not one.grey
    assert three.grey
    for measure in (psnr_y, ssim_y):
        a, b = (measure(round_trip(p.hr), p.hr, 4, p.grey) for p in (one, three))
        assert a == pytest.approx(b, abs=1e-9)
    assert psnr_rgb(round_trip(one.hr), one.hr) == pytest.approx(
        psnr_rgb(round_trip(three.hr), three.hr), abs=1e-9
    )


def test_other_channels_are_compared_on_all() -> None:
    hr = torch.cat([HR, HR.flip(0), HR.flip(1)], 2)[..., :5]
    sr = round_trip(hr)
    error = (sr.double() - hr.double())[4:-4, 4:-4].square().mean()
    assert psnr_y(sr, hr, 4) == pytest.approx(float(10 * torch.log10(255**2 / error)), abs=1e-9)
    channels = [ssim_y(sr[..., c : c + 1], hr[..., c : c + 1], 4) for c in range(5)]
    assert ssim_y(sr, hr, 4) == pytest.approx(float(np.mean(channels)), abs=1e-9)


@pytest.mark.parametrize("grey", [False, True])
def test_16_bits_have_a_peak_of_65535(grey: bool) -> None:
    sr, hr = round_trip(HR), HR
    for measure in (psnr_y, psnr_rgb):
        args = (4, grey) if measure is psnr_y else ()
        assert measure(deep(sr), deep(hr), *args) == pytest.approx(measure(sr, hr, *args), abs=1e-9)
    assert psnr_y(deep(hr), deep(hr), 4) == float("inf")
    error = (deep(sr).double() - deep(hr).double()).square().mean()
    want = float(10 * torch.log10(65535**2 / error))
    assert psnr_rgb(deep(sr), deep(hr)) == pytest.approx(want, abs=1e-9)


def test_ssim_of_16_bits_is_not_rounded_to_8() -> None:
    hr = deep(HR)
    sr = (hr.to(torch.int32) + 60).clamp(max=65535).to(torch.uint16)  # less than a level of 8 bits
    assert ssim_y(hr, hr, 4) == 1
    assert 0.999 < ssim_y(sr, hr, 4) < 1


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_bicubic_of_16_bits(scale: int) -> None:
    """Within half a level of 8 bits, the error of rounding those twice; to the level where 8 bits lose nothing."""
    hr = HR[:48]
    for direction, image in ((downscale, hr), (upscale, hr[:12, :10])):
        eight, sixteen = direction(image, scale), direction(deep(image), scale)
        assert sixteen.dtype == torch.uint16
        assert (sixteen.double() / 257 - eight.double()).abs().max() < 1.2
    flat = torch.full((16, 16, 2), 12345, dtype=torch.int32).to(torch.uint16)
    assert torch.equal(upscale(flat, scale), flat[:1, :1].expand(16 * scale, 16 * scale, 2))
    if scale == 1:
        assert torch.equal(downscale(deep(hr), 1), deep(hr))


def test_protocols_say_what_is_compared() -> None:
    assert "BT.601 studio-range luma of 8-bit images" in protocol_text("psnr", 4)
    assert "the grey values of 8-bit images" in protocol_text("psnr", 4, 1)
    assert "all 5 channels of 16-bit images" in protocol_text("psnr", 4, 5, 16)
    assert "mean over channels" in protocol_text("ssim", 4, 5)
    assert "rounded to 8" in protocol_text("niqe", 4, 3, 16)
    assert [is_defined("niqe", c) for c in (1, 3, 4)] == [True, True, False]
