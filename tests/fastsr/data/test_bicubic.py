"""MATLAB's bicubic, bit for bit, and against a plain floating-point statement of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fastsr_kernels.bicubic import downscale_taps, halo
from PIL import Image

from fastsr.data.bicubic import Border, downscale, upscale
from tests.images import random_image


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "count"), [("Set5", 5), ("Set14", 14)])
def test_equals_matlab(shared_data: Path, name: str, count: int, scale: int) -> None:
    files = sorted((shared_data / "matlab_bicubic" / name / f"x{scale}").glob("*_HR.png"))
    assert len(files) == count
    differing = {
        f.name: int(
            (downscale(read(f), scale) != read(f.with_name(f.name.replace("_HR", "_LR")))).sum()
        )
        for f in files
    }
    assert differing == dict.fromkeys(differing, 0)


def keys(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return np.where(
        x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0)
    )


def resize_axis(image: np.ndarray, factor: float, border: Border) -> np.ndarray:
    """imresize along axis 0 in float64 as MATLAB documents it, rounded half up to 8 bits."""
    length = image.shape[0]
    out = round(length * factor)
    width = 4 / min(factor, 1)
    centres = (np.arange(out) + 0.5) / factor - 0.5
    taps = np.floor(centres - width / 2).astype(int)[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = keys((centres[:, None] - taps) * min(factor, 1))
    weights /= weights.sum(1, keepdims=True)
    if border == "replicate":
        taps = np.clip(taps, 0, length - 1)
    else:
        taps = np.mod(taps, 2 * length)
        taps = np.minimum(taps, 2 * length - 1 - taps)
    total = np.einsum("ot,othc->ohc", weights, image[taps].astype(np.float64))
    return np.clip(np.floor(total + 0.5 + 1e-9), 0, 255).astype(np.uint8)


def imresize(image: np.ndarray, factor: float, border: Border) -> np.ndarray:
    rows = resize_axis(image, factor, border)
    return resize_axis(rows.transpose(1, 0, 2), factor, border).transpose(1, 0, 2)


@pytest.mark.parametrize("border", ["replicate", "mirror"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_equals_floating_point_statement(scale: int, border: Border) -> None:
    image = random_image(5 * scale, 7 * scale, seed=scale)
    # Rings.
    image[: 2 * scale, : 2 * scale] = np.random.default_rng(0).choice(
        [0, 255], (2 * scale, 2 * scale, 3)
    )
    tensor = torch.from_numpy(image)
    np.testing.assert_array_equal(
        downscale(tensor, scale, border).numpy(), imresize(image, 1 / scale, border)
    )
    np.testing.assert_array_equal(
        upscale(tensor, scale, border).numpy(), imresize(image, scale, border)
    )


def test_borders_differ_only_near_the_border() -> None:
    image = torch.from_numpy(random_image(64, 64))
    differ = (downscale(image, 4, "replicate") != downscale(image, 4, "mirror")).any(-1)
    assert bool(differ.any())
    assert not bool(differ[2:-2, 2:-2].any())


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_taps_sum_to_their_denominator_and_fit_int32(scale: int) -> None:
    taps, denominator = downscale_taps(scale)
    assert sum(taps) == denominator
    assert taps == taps[::-1]
    assert len(taps) == scale + 2 * halo(scale)
    assert 2 * 255 * sum(map(abs, taps)) + denominator < 2**31


def test_flat_images_stay_flat() -> None:
    for value in (0, 1, 127, 255):
        flat = torch.full((24, 24, 3), value, dtype=torch.uint8)
        assert bool((downscale(flat, 3) == value).all())
        assert bool((upscale(flat, 3) == value).all())


@pytest.mark.parametrize(
    "image", [torch.zeros(9, 8, 3, dtype=torch.uint8), torch.zeros(8, 8, 3)], ids=["size", "dtype"]
)
def test_refuses_what_it_cannot_do_exactly(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="multiples of 2"):
        downscale(image, 2)
