"""The Triton kernel of the patch sampler, interpreted or on a GPU: poisoned memory and tiles of all sizes."""

import pytest
import torch
from devices import INTERPRETED, where_kernels_run
from fastsr_kernels.patch_sampler import Crop, Images, reference
from patch_cases import FLOATS, assert_patches, at, crop, expected, moved, packed, pictures, poison
from torch import Tensor

pytest.importorskip("triton")
from fastsr_kernels.patch_sampler import kernel

pytestmark = where_kernels_run


def launched(
    images: Images,
    crop: Crop,
    seed: int,
    step: Tensor,
    dtype: torch.dtype = torch.float32,
    **tiles: int,
) -> tuple[Tensor, Tensor]:
    """The patches that the kernel writes into poisoned memory."""
    launch, patches = kernel.plan(images, crop, seed, step, dtype, **tiles)
    poison(launch)
    launch.run()
    return patches


@pytest.mark.parametrize(
    ("scale", "border", "lr_tile", "hr_tile"),
    [
        (2, "mirror", 512, 2048),
        (2, "replicate", 128, 512),
        (3, "replicate", 64, 1024),
        (4, "mirror", 16, 4096),
        (8, "mirror", 32, 256),
    ],
    ids=["x2 one LR tile", "x2 four LR tiles", "x3", "x4 small LR tiles", "x8 small HR tiles"],
)
def test_tiles_of_any_size(
    scale: int, border: str, lr_tile: int, hr_tile: int, device: str
) -> None:
    """Last tiles reach beyond their patch, where the next patch begins."""
    images, what = pictures(), crop(scale, border)
    got = launched(
        moved(packed(images), device), what, 3, at(1, device), lr_tile=lr_tile, hr_tile=hr_tile
    )
    assert_patches(got, expected(images, what, 3, 1))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dtypes(dtype: torch.dtype, device: str) -> None:
    images, what = pictures(), crop(4, "mirror", batch=1)
    got = launched(moved(packed(images), device), what, 11, at(8, device), dtype)
    assert_patches(got, expected(images, what, 11, 8), truncates=INTERPRETED)


@pytest.mark.parametrize("augment", [True, False], ids=["turned", "upright"])
def test_equals_the_reference(augment: bool, device: str) -> None:
    images, what = packed(pictures()), crop(8, "replicate", augment, batch=8)
    want = reference.patch_sampler(images, what, 2**62 + 5, at(2**35), torch.float32)
    got = launched(moved(images, device), what, 2**62 + 5, at(2**35, device))
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a.cpu(), b)
        assert a.stride() == b.stride()


def test_runs_are_equal_bit_for_bit(device: str) -> None:
    arguments = (moved(packed(pictures()), device), crop(8), 3, at(1, device))
    for a, b in zip(launched(*arguments), launched(*arguments), strict=True):
        assert torch.equal(a, b)


def test_bytes_around_the_image_are_not_read(device: str) -> None:
    """The image between two others whose pixels change: its patches do not."""
    three = pictures(((24, 24),) * 3)
    what, weights = crop(2, "mirror", batch=1), [0, 1, 0]
    first = launched(moved(packed(three, weights), device), what, 3, at(1, device))
    for stranger in (three[0], three[2]):
        stranger[:] = 255 - stranger
    for a, b in zip(
        first, launched(moved(packed(three, weights), device), what, 3, at(1, device)), strict=True
    ):
        assert torch.equal(a, b)
