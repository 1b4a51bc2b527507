"""Patches against a plain account of them: whole images shrunk by bicubic, cropped and turned one at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from devices import INTERPRETED, on_every_device
from fastsr_kernels.patch_sampler import Crop, Images, patch_sampler
from hypothesis import given, settings
from hypothesis import strategies as st
from patch_cases import (
    FLOATS,
    assert_patches,
    at,
    crop,
    crops_in,
    expected,
    moved,
    packed,
    philox_words,
    pictures,
)

CASES = [
    (2, "replicate", True, False, 7, 0),
    (2, "mirror", False, True, 0, 123_456_789_012),
    (3, "replicate", False, True, 1, 5),
    (3, "mirror", True, False, 2**40 + 3, 2**33),
    (4, "replicate", True, True, 2**63 - 1, 1),
    (4, "mirror", True, False, 12, 99),
    (8, "replicate", False, False, 3, 2**40),
    (8, "mirror", True, True, 2**32, 17),
]


def described(value: object) -> str:
    return str(value)


def test_oracle_knows_philox() -> None:
    """The vectors that come with Random123: key and counter all zeros, and all ones in the words that we use."""
    assert philox_words(0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)


@on_every_device
@pytest.mark.parametrize(
    ("scale", "border", "augment", "by_area", "seed", "step"), CASES, ids=described
)
def test_patches_are_crops_of_shrunk_images(
    scale: int, border: str, augment: bool, by_area: bool, seed: int, step: int, device: str
) -> None:
    images = pictures(seed=scale)
    weights = crops_in(images, scale) if by_area else None
    what = crop(scale, border, augment)
    got = patch_sampler(moved(packed(images, weights), device), what, seed, at(step, device))
    assert_patches(got, expected(images, what, seed, step, weights))


@on_every_device
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_byte_in_every_dtype(dtype: torch.dtype, device: str) -> None:
    """fp32 and fp16 are equal everywhere; the interpreter cuts bf16 off instead of rounding it."""
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    what = Crop(2, 16, 1, "replicate", augment=False)
    got = patch_sampler(moved(packed([ramp]), device), what, 0, at(0, device), dtype)
    assert all(x.dtype == dtype for x in got)
    assert float(got[1].min()) == 0.0
    assert float(got[1].max()) == 1.0
    assert set(expected([ramp], what, 0, 0)[1].flatten().tolist()) == set(range(256))
    assert_patches(got, expected([ramp], what, 0, 0), truncates=INTERPRETED)


@on_every_device
@settings(max_examples=10, deadline=None)
@given(
    scale=st.sampled_from([2, 3, 4, 5, 6, 7, 8]),
    extra=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    border=st.sampled_from(["replicate", "mirror"]),
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(0, 2**60),
)
def test_patches_of_one_low_pixel(
    scale: int, extra: tuple[int, int], border: str, seed: int, step: int, device: str
) -> None:
    """The smallest patch of the smallest image: the border rule folds more than once, and every scale has its taps."""
    images = pictures(((scale + extra[0], scale + extra[1]),), seed % 1000)
    what = Crop(scale, scale, 2, border, augment=True)
    got = patch_sampler(moved(packed(images), device), what, seed, at(step, device))
    assert_patches(got, expected(images, what, seed, step))


@on_every_device
def test_images_without_weight_are_never_drawn(device: str) -> None:
    images, weights = pictures(), [0, 3, 0, 1]
    what = crop(8, batch=6)
    got = patch_sampler(moved(packed(images, weights), device), what, 5, at(2, device))
    assert_patches(got, expected(images, what, 5, 2, weights))


@on_every_device
def test_many_images(device: str) -> None:
    """Eight hundred, as in DIV2K: every one can be found."""
    images = pictures(((8, 8),) * 800)
    what = Crop(8, 8, 6, "replicate", augment=False)
    got = patch_sampler(moved(packed(images), device), what, 1, at(3, device))
    assert_patches(got, expected(images, what, 1, 3))


@on_every_device
def test_weights_up_to_two_to_the_31(device: str) -> None:
    images, weights = pictures(), [2**30, 2**30 - 3, 1, 1]
    what = crop(8, batch=4)
    got = patch_sampler(moved(packed(images, weights), device), what, 9, at(4, device))
    assert_patches(got, expected(images, what, 9, 4, weights))


def on_disk(images: list[np.ndarray], first_pixel: int, folder: Path) -> Images:
    """A file that is empty up to `first_pixel`, where the images begin; holes in it take no space."""
    near = packed(images)
    path = folder / "sparse"
    path.touch()
    size = 3 * first_pixel + len(near.pixels_B)
    pixels_B = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)
    pixels_B[3 * first_pixel :] = near.pixels_B
    return near._replace(pixels_B=pixels_B, start_I=near.start_I + first_pixel)


@on_every_device
@pytest.mark.parametrize(
    ("scale", "first"),
    [(2, 2**31 // 3 - 300), (4, 2**31 - 300), (8, 2**31 + 7)],
    ids=["across byte 2^31", "across pixel 2^31", "beyond pixel 2^31"],
)
def test_pixels_beyond_32_bits(first: int, scale: int, device: str, tmp_path: Path) -> None:
    images = pictures()[:2]
    what = crop(scale)
    far = on_disk(images, first, tmp_path)
    want = expected(images, what, 21, 0)
    assert_patches(patch_sampler(moved(far, device), what, 21, at(0, device)), want)


@on_every_device
def test_patch_depends_on_the_counter_alone(device: str) -> None:
    """Patch n of step s is the only one of step s * batch + n where the batch is one."""
    images = moved(packed(pictures()), device)
    together = patch_sampler(images, crop(8, batch=3), 7, at(2, device))
    for n in range(3):
        alone = patch_sampler(images, crop(8, batch=1), 7, at(6 + n, device))
        assert all(torch.equal(a[0], b[n]) for a, b in zip(alone, together, strict=True))
