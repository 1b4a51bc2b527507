"""Blur, resize and JPEG of the reference against SciPy, torch's interpolation and Pillow's libjpeg."""

import numpy as np
import pytest
import torch
from degrade_cases import (
    degradation,
    drawn_by,
    filtered,
    interpolated,
    kernel_of,
    levels,
    on_canvas,
    saved_as_jpeg,
    sizes,
)
from fastsr_kernels.degrade import blur, pack, resize
from fastsr_kernels.degrade.dct import LUMINANCE, constants
from fastsr_kernels.degrade.jpeg import Constants, jpeg, quantisation
from fastsr_kernels.degrade.settings import unpack
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from scipy import fft, special

from tests.images import random_image

SIDES = st.integers(1, 50)
DCT = Constants.of(torch.tensor(constants()))
USM_TAPS = unpack(pack(degradation())).usm_taps


def test_bessel_function() -> None:
    t = torch.linspace(0, 45, 5001)
    expected = special.j1(t.numpy().astype(float)[1:]) / t.numpy()[1:]
    got = blur.bessel_j1_over_t(t)
    assert float(got[0]) == 0.5
    np.testing.assert_allclose(got[1:].numpy(), expected, atol=2e-7)


def test_blur_kernels_are_what_was_drawn() -> None:
    """Every kind, within the drawn side of a tensor that is larger; the identity where there is no blur."""
    what = degradation({"kernel_prob": (1.0,) * 6, "sinc_prob": 0.2, "blur_prob": 0.9})
    drawn = drawn_by(what, 64, 96).first
    got = blur.round_kernels(drawn, 21).numpy()
    columns = (drawn.kind, drawn.taps, drawn.sigma_x, drawn.sigma_y, drawn.theta, drawn.beta, drawn.omega)  # fmt: skip
    for n, (kind, taps, *rest) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        side, rim = int(taps), (21 - int(taps)) // 2
        expected = np.pad(kernel_of(int(kind), side, *rest), rim)
        if drawn.blurs[n] == 0:
            expected = np.zeros((21, 21))
            expected[10, 10] = 1
        np.testing.assert_allclose(got[n], expected, atol=2e-6, err_msg=f"kind {kind}")
    assert set(drawn.kind.tolist()) == set(range(7))
    assert {int(n) for n in drawn.taps} == set(range(7, 22, 2))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(SIDES, SIDES), min_size=2, max_size=2), st.integers(0, 99))
def test_blur_is_a_correlation(pairs: list[tuple[int, int]], seed: int) -> None:
    """Kernels that are not symmetric, on pictures that may be smaller than they are."""
    pictures = [random_image(h, w, seed) for h, w in pairs]
    rng = np.random.default_rng(seed)
    kernels = rng.random((2, 9, 9))
    got = blur.blur(on_canvas(pictures, 51, 50), sizes(*pairs), torch.tensor(kernels).float())
    for n, picture in enumerate(pictures):
        expected = filtered(picture / 255, kernels[n])
        h, w = picture.shape[:2]
        np.testing.assert_allclose(got[n, :, :h, :w].permute(1, 2, 0), expected, atol=2e-4)


def test_sharpening() -> None:
    """Against a dense filter of 51x51 in fp64; where a residual is just at the threshold both are right."""
    picture = random_image(70, 61, 3) / 255
    line = np.exp(-0.5 * ((np.arange(51) - 25) / 8.0) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    residual = picture - filtered(picture, kernel)
    mask = filtered((np.abs(residual) * 255 > 10).astype(float), kernel)
    expected = mask * np.clip(picture + 0.5 * residual, 0, 1) + (1 - mask) * picture
    got = blur.sharpen(torch.tensor(picture).float().permute(2, 0, 1)[None], USM_TAPS)[0].permute(
        1, 2, 0
    )
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-3)
    assert np.abs(expected - picture).max() > 0.05


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(SIDES, SIDES, SIDES, SIDES), min_size=3, max_size=3),
    st.permutations([0, 1, 2]),
)
def test_resize_is_that_of_torch(cases: list[tuple[int, int, int, int]], modes: list[int]) -> None:
    pictures = [random_image(h, w, n) for n, (h, w, _, _) in enumerate(cases)]
    old, new = sizes(*(c[:2] for c in cases)), sizes(*(c[2:] for c in cases))
    got = resize.resize(
        on_canvas(pictures, 52, 50), old, new, torch.tensor(modes).float(), (50, 53)
    )
    assert got.shape == (3, 3, 50, 53)
    for n, (_, _, h, w) in enumerate(cases):
        expected = interpolated(pictures[n] / 255, (h, w), modes[n])
        np.testing.assert_allclose(got[n, :, :h, :w].permute(1, 2, 0), expected, atol=2e-5)
        assert float(got[n, :, h:].abs().sum() + got[n, :, :, w:].abs().sum()) == 0


@settings(max_examples=30, deadline=None)
@given(SIDES, SIDES, st.integers(1, 100), st.sampled_from([1, 3]), st.integers(0, 99))
def test_jpeg_is_that_of_libjpeg(h: int, w: int, quality: int, channels: int, seed: int) -> None:
    """Bit for bit that of libjpeg-turbo, at every size and quality; of other libraries within a level."""
    picture = random_image(h, w, seed)[..., :channels]
    canvas = on_canvas([picture], 60, 55)
    got = levels(jpeg(canvas, sizes((h, w)), torch.tensor([float(quality)]), DCT)[0, :, :h, :w])
    off = np.abs(got - saved_as_jpeg(picture, quality))
    assert off.max() <= (0 if features.check_feature("libjpeg_turbo") else 1)


def test_jpeg_of_photos(shared_data: object) -> None:
    path = next(iter(sorted((shared_data / "test" / "Set14").glob("*.png"))))  # type: ignore[operator]
    picture = np.asarray(Image.open(path).convert("RGB"))[:200, :300]
    for quality in (5, 30, 62, 95):
        canvas = on_canvas([picture], 200, 300)
        got = levels(jpeg(canvas, sizes((200, 300)), torch.tensor([float(quality)]), DCT)[0])
        off = np.abs(got - saved_as_jpeg(picture, quality))
        assert (off <= 1).mean() >= 0.999


def test_dct_is_the_cosine_transform() -> None:
    """libjpeg's whole numbers are those of the orthonormal DCT times the root of 8, to 4 digits."""
    exact = fft.dct(np.eye(8), axis=0, norm="ortho") * 8**0.5 * 2**13
    np.testing.assert_allclose(DCT.forward.numpy(), exact, atol=3)
    np.testing.assert_allclose(DCT.inverse.numpy(), exact.T, atol=3)


def test_quantisation_tables_are_those_of_pillow() -> None:
    from io import BytesIO

    zigzag = np.argsort([
        0, 1, 5, 6, 14, 15, 27, 28, 2, 4, 7, 13, 16, 26, 29, 42, 3, 8, 12, 17, 25, 30, 41, 43, 9, 11, 18, 24, 31, 40,
        44, 53, 10, 19, 23, 32, 39, 45, 52, 54, 20, 22, 33, 38, 46, 51, 55, 60, 21, 34, 37, 47, 50, 56, 59, 61, 35, 36,
        48, 49, 57, 58, 62, 63,
    ])  # fmt: skip
    for quality in (1, 25, 49, 50, 51, 90, 100):
        file = BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        theirs = Image.open(BytesIO(file.getvalue())).quantization
        ours = quantisation(torch.tensor([float(quality)]), DCT.tables)[0].flatten(1)
        for table in (0, 1):
            got, want = ours[table].tolist(), list(theirs[table])
            assert want in (got, [got[k] for k in zigzag])
    assert unpack(pack(degradation())).dct[128:192].tolist() == list(LUMINANCE)


def test_no_jpeg_changes_nothing() -> None:
    x = torch.rand(2, 3, 20, 24) * 3 - 1
    got = jpeg(x, sizes((20, 24), (5, 5)), torch.tensor([0.0, 0.0]), DCT)
    assert torch.equal(got, x)


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_jpeg_of_other_channels_is_grey_in_each(channels: int) -> None:
    picture = np.concatenate([random_image(19, 26, k) for k in range(5)], 2)[..., :channels]
    canvas = on_canvas([picture], 20, 30)
    got = levels(jpeg(canvas, sizes((19, 26)), torch.tensor([40.0]), DCT)[0, :, :19, :26])
    for c in range(channels):
        off = np.abs(got[..., c] - saved_as_jpeg(picture[..., c : c + 1], 40)[..., 0])
        assert off.max() <= 1
