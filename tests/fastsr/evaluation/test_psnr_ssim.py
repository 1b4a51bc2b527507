"""PSNR and SSIM against NumPy's plain statement, pyiqa, and the literature's bicubic numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from fastsr.data.bicubic import downscale, upscale
from fastsr.evaluation.pairs import load_pairs
from fastsr.evaluation.psnr_ssim import luma, psnr_rgb, psnr_y, ssim_y
from fastsr.evaluation.validate import evaluate
from tests.images import random_image


def pair(seed: int = 0, height: int = 60, width: int = 72) -> tuple[torch.Tensor, torch.Tensor]:
    """An image and its bicubic round trip."""
    hr = torch.from_numpy(random_image(height, width, seed))
    return upscale(downscale(hr, 4), 4), hr


def plain_psnr(sr: np.ndarray, hr: np.ndarray, border: int) -> float:
    y = [
        16 + (65.481 * x[..., 0] + 128.553 * x[..., 1] + 24.966 * x[..., 2]) / 255
        for x in (sr.astype(float), hr.astype(float))
    ]
    difference = (y[0] - y[1])[border:-border, border:-border]
    return 10 * np.log10(255**2 / np.mean(difference**2))


def test_psnr_of_rgb_equals_plain_numpy() -> None:
    sr, hr = pair()
    difference = sr.numpy().astype(float) - hr.numpy().astype(float)
    assert psnr_rgb(sr, hr) == pytest.approx(
        10 * np.log10(255**2 / np.mean(difference**2)), abs=1e-9
    )
    assert psnr_rgb(hr, hr) == float("inf")
    with pytest.raises(ValueError, match="differ in size"):
        psnr_rgb(sr[1:], hr)


@pytest.mark.parametrize("border", [2, 4])
def test_psnr_equals_plain_numpy(border: int) -> None:
    sr, hr = pair()
    assert psnr_y(sr, hr, border) == pytest.approx(
        plain_psnr(sr.numpy(), hr.numpy(), border), abs=1e-9
    )


def plain_ssim(sr: np.ndarray, hr: np.ndarray) -> float:
    """Wang et al. 2004: means, variances and covariance in Gaussian windows of 11x11, sigma 1.5."""
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell) / bell.sum() ** 2

    def mean(x: np.ndarray) -> np.ndarray:
        return (sliding_window_view(x, (11, 11)) * window).sum((-2, -1))

    a, b, c1, c2 = mean(sr), mean(hr), (0.01 * 255) ** 2, (0.03 * 255) ** 2
    variances = mean(sr**2) - a**2 + mean(hr**2) - b**2
    covariance = mean(sr * hr) - a * b
    return np.mean(
        (2 * a * b + c1) * (2 * covariance + c2) / ((a**2 + b**2 + c1) * (variances + c2))
    )


@pytest.mark.parametrize("border", [2, 4])
def test_ssim_equals_plain_numpy(border: int) -> None:
    sr, hr = pair()
    y = [luma(x).round().double().numpy()[border:-border, border:-border] for x in (sr, hr)]
    assert ssim_y(sr, hr, border) == pytest.approx(plain_ssim(*y), abs=1e-9)


def direct_ssim(sr: torch.Tensor, hr: torch.Tensor) -> float:
    """One convolution in fp64 with the whole window, of lumas rounded to 8 bits."""
    bell = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = (bell[:, None] * bell / bell.sum() ** 2)[None, None]
    moments = torch.stack([sr, hr, sr**2, hr**2, sr * hr])[:, None]
    a, b, aa, bb, ab = torch.nn.functional.conv2d(moments, window)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * (ab - a * b) + c2) / (aa - a**2 + bb - b**2 + c2)
    return float(((2 * a * b + c1) / (a**2 + b**2 + c1) * contrast.clamp(min=0)).mean())


@pytest.mark.parametrize(("height", "width"), [(12, 12), (12, 62), (95, 43)])
@pytest.mark.parametrize("other", ["noise", "inverse", "black", "shifted"])
def test_ssim_equals_the_direct_convolution(height: int, width: int, other: str) -> None:
    hr = torch.from_numpy(random_image(height, width, height))
    noise = torch.from_numpy(random_image(height, width, height + 1))
    sr = {"noise": noise, "inverse": 255 - hr, "black": hr * 0, "shifted": hr.roll(1, 0)}[other]
    want = direct_ssim(*(luma(x).round() for x in (sr, hr)))
    assert ssim_y(sr, hr, 0) == pytest.approx(want, abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pyiqa(seed: int) -> None:
    pyiqa = pytest.importorskip("pyiqa", reason="pyiqa comes with the extra `eval`")
    sr, hr = pair(seed)
    x, y = (t.permute(2, 0, 1)[None].float() / 255 for t in (sr, hr))
    psnr = pyiqa.create_metric(
        "psnr", test_y_channel=True, color_space="ycbcr", crop_border=4, device="cpu"
    )
    ssim = pyiqa.create_metric(
        "ssim", test_y_channel=True, color_space="ycbcr", crop_border=4, device="cpu"
    )
    assert psnr_y(sr, hr, 4) == pytest.approx(float(psnr(x, y)), abs=1e-4)
    assert ssim_y(sr, hr, 4) == pytest.approx(float(ssim(x, y)), abs=1e-4)


def test_equal_images() -> None:
    _, hr = pair()
    assert psnr_y(hr, hr, 2) == float("inf")
    assert ssim_y(hr, hr, 2) == pytest.approx(1)


def test_grey_originals_are_compared_on_their_grey_values() -> None:
    grey = torch.from_numpy(random_image(40, 40))[..., :1].expand(-1, -1, 3).contiguous()
    sr = upscale(downscale(grey, 2), 2)
    difference = (sr[..., 0].double() - grey[..., 0].double())[2:-2, 2:-2]
    assert psnr_y(sr, grey, 2, grey=True) == pytest.approx(
        float(10 * torch.log10(255**2 / difference.square().mean())), abs=1e-9
    )


def test_refuses_sizes_that_do_not_match_or_leave_nothing() -> None:
    sr, hr = pair()
    with pytest.raises(ValueError, match="differ in size"):
        psnr_y(sr[:-4], hr, 4)
    with pytest.raises(ValueError, match="nothing is left"):
        psnr_y(sr[:8], hr[:8], 4)
    with pytest.raises(ValueError, match="11x11"):
        ssim_y(sr[:16], hr[:16], 4)


@pytest.mark.parametrize(
    ("name", "scale", "low", "high"),
    [
        ("Set5", 4, 28.42, 28.4349),
        ("Set5", 2, 33.63, 33.69),
        ("Set14", 4, 25.98, 26.02),
        ("Set14", 2, 30.21, 30.26),
    ],
)
def test_bicubic_reads_as_in_the_literature(
    shared_data: Path, name: str, scale: int, low: float, high: float
) -> None:
    scores = evaluate({}, load_pairs((shared_data / "test" / name,), scale), scale)
    assert low <= scores["bicubic"].psnr <= high


def test_bicubic_in_rgb_is_what_the_papers_numbers_are_held_against(shared_data: Path) -> None:
    pairs = list(load_pairs((shared_data / "test/Set5",), 4))
    assert np.mean([psnr_rgb(upscale(pair.lr, 4), pair.hr) for pair in pairs]) == pytest.approx(
        26.69, abs=0.005
    )
