"""Patches of any number of channels, of 16 bits, at x1, and of given pairs: against whole images, cut and turned."""

import numpy as np
import pytest
import torch
from devices import on_every_device
from fastsr_kernels.bicubic import downscale_taps, halo
from fastsr_kernels.patch_sampler import Crop, Images, patch_sampler, reference
from patch_cases import SIZES, at, moved, philox_words, turned

PATCH = 24
MOST = {np.uint8: 255, np.uint16: 65535}


def pictures(channels: int, depth: type, scale: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(channels)
    return [
        rng.integers(0, MOST[depth] + 1, (h // scale, w // scale, channels)).astype(depth)
        for h, w in SIZES
    ]


def flat(images: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples one after the other, and the first pixel of each image."""
    area = np.array([image.shape[0] * image.shape[1] for image in images])
    samples = np.concatenate([image.ravel() for image in images])
    samples = samples.view(np.int16) if samples.dtype == np.uint16 else samples
    return torch.from_numpy(samples), torch.from_numpy(np.cumsum(area) - area)


def packed(images: list[np.ndarray], low: list[np.ndarray] | None) -> Images:
    pixels, start_I = flat(images)
    tables = (torch.tensor([image.shape[k] for image in images]) for k in (0, 1))
    return Images(
        pixels, start_I, *tables, torch.arange(1, len(images) + 1), *(flat(low) if low else ())
    )


def shrunk(image: np.ndarray, scale: int) -> np.ndarray:
    """MATLAB's bicubic in Python's unbounded integers: rows, rounded, then columns, rounded; the edge repeated."""
    taps, whole = downscale_taps(scale)
    for axis in (0, 1):
        pad = [(halo(scale), halo(scale)) if k == axis else (0, 0) for k in range(3)]
        wide = np.pad(image, pad, "edge").astype(object)
        length = image.shape[axis] // scale
        total = sum(
            tap * np.take(wide, np.arange(length) * scale + t, axis) for t, tap in enumerate(taps)
        )
        most = MOST[image.dtype.type]
        image = np.clip((2 * total + whole) // (2 * whole), 0, most).astype(image.dtype)
    return image


def expected(
    images: list[np.ndarray], low: list[np.ndarray] | None, crop: Crop, seed: int, counter: int
) -> list[np.ndarray]:
    """LR and HR patch of one counter."""
    r0, r1, r2, r3 = philox_words(counter, seed)
    index, s = r0 * len(images) >> 32, crop.scale
    rows, columns = (side // s for side in images[index].shape[:2])
    image = images[index][: rows * s, : columns * s]
    side = crop.patch // s
    top, left = r1 * (rows - side + 1) >> 32, r2 * (columns - side + 1) >> 32
    small = low[index] if low else image if s == 1 else shrunk(image, s)
    pair = (
        small[top : top + side, left : left + side],
        image[s * top : s * top + crop.patch, s * left : s * left + crop.patch],
    )
    return [turned(patch, r3 & 7) for patch in pair]


@on_every_device
@pytest.mark.parametrize("depth", [np.uint8, np.uint16], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("given", [False, True], ids=["bicubic", "given"])
@pytest.mark.parametrize(("channels", "scale"), [(1, 4), (3, 2), (4, 1), (13, 8)])
def test_patches(channels: int, scale: int, given: bool, depth: type, device: str) -> None:
    """Bit for bit, by the operator, whichever implementation it has here."""
    images = pictures(channels, depth)
    low = pictures(channels, depth, scale) if given else None
    crop = Crop(scale, PATCH, 2, "replicate", True, channels)
    got = patch_sampler(moved(packed(images, low), device), crop, 3, at(7, device))
    pairs = [expected(images, low, crop, 3, 14 + n) for n in range(2)]
    for a, patches in zip(got, zip(*pairs, strict=True), strict=True):
        want = np.stack(patches).astype(np.float32) * np.float32(1 / MOST[depth])
        assert np.array_equal(a.cpu().permute(0, 2, 3, 1).numpy(), want)


@on_every_device
def test_16_bits_at_their_greatest(device: str) -> None:
    """White at x8, whose sums need 33 bits, stays white."""
    white = [np.full((24, 24, 1), 65535, np.uint16)]
    crop = Crop(8, PATCH, 1, "mirror", False, 1)
    lr, hr = patch_sampler(moved(packed(white, None), device), crop, 0, at(0, device))
    assert float(lr.min()) == float(hr.min()) == 1


@on_every_device
def test_bytes_that_do_not_fit_are_refused(device: str) -> None:
    images = moved(packed(pictures(3, np.uint8), pictures(3, np.uint8, 2)), device)
    crop = Crop(2, PATCH, 1, "replicate", True, 3)
    for wrong, word in (
        (images._replace(lr_pixels_B=images.pixels_B.view(torch.int8)), "lr_pixels_B"),
        (images._replace(pixels_B=images.pixels_B.float()), "pixels_B"),
        (images._replace(lr_start_I=None), "belong together"),
        (images._replace(lr_start_I=images.start_I[1:]), "lr_start_I"),
    ):
        with pytest.raises(ValueError, match=word):
            patch_sampler(wrong, crop, 0, at(0, device))
    with pytest.raises(ValueError, match="scale"):
        patch_sampler(images, crop._replace(channels=0), 0, at(0, device))


def test_bytes_of_16_bits_are_given_as_levels() -> None:
    """What a thread of the host hands over for the device to scale."""
    images = packed(pictures(1, np.uint16), None)
    crop = Crop(4, PATCH, 2, "replicate", True, 1)
    levels = reference.draw_bytes(images, crop, 1, at(5))
    assert all(x.dtype == torch.int32 for x in levels)
    for a, b in zip(levels, reference.patch_sampler(images, crop, 1, at(5)), strict=True):
        assert torch.equal(reference.to_unit(a), b)
