"""Patches: the same everywhere for (seed, step), aligned, oriented, and equal to crops of whole-image bicubic."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from fastsr_kernels.patch_sampler.reference import below, orient, philox
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsr.config.settings import ImagesConfig, TrainConfig
from fastsr.data.bicubic import Border, downscale
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import HostPatches, PatchSampler, running_weights
from fastsr.errors import UserError
from tests.images import random_image


def philox_plain(counter: int, seed: int) -> tuple[int, ...]:
    """Philox4x32-10 in Python's unbounded integers, from the paper."""
    c = [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
    k = [seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return tuple(c)


def test_philox_known_answers() -> None:
    """The vectors that come with Random123: key and counter all zeros."""
    words = [int(w) for w in philox(torch.tensor([0]), 0)]
    assert words == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@given(counter=st.integers(0, 2**62), seed=st.integers(0, 2**63 - 1))
def test_philox_equals_plain_integers(counter: int, seed: int) -> None:
    assert tuple(int(w) for w in philox(torch.tensor([counter]), seed)) == philox_plain(
        counter, seed
    )


@given(random=st.integers(0, 2**32 - 1), bound=st.integers(1, 2**31 - 1))
def test_below_stays_below(random: int, bound: int) -> None:
    assert int(below(torch.tensor([random]), torch.tensor([bound]))) == random * bound >> 32 < bound


def sampler(
    store: PixelStore,
    scale: int = 2,
    border: Border = "replicate",
    augment: bool = True,
    seed: int = 7,
    batch: int = 6,
) -> PatchSampler:
    return PatchSampler(
        store, scale=scale, patch=24, batch=batch, seed=seed, border=border, augment=augment
    )


def at(step: int) -> torch.Tensor:
    return torch.tensor(step)


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    image = image[:, ::-1] if turn & 1 else image
    image = image[::-1] if turn & 2 else image
    return image.transpose(1, 0, 2) if turn & 4 else image


@pytest.mark.parametrize("border", ["replicate", "mirror"])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_patches_are_crops_of_whole_images(store: PixelStore, scale: int, border: Border) -> None:
    source = sampler(store, scale, border)
    for step in range(8):
        lr, hr = source.draw_bytes(at(step))
        for n, (k, top, left, turn) in enumerate(
            zip(*(t.tolist() for t in source.choose(at(step))), strict=True)
        ):
            image = store.image(k)
            cut = image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
            low = downscale(cut, scale, border).numpy()
            assert top % scale == left % scale == 0
            want_hr = cut.numpy()[top : top + 24, left : left + 24]
            want_lr = low[top // scale : (top + 24) // scale, left // scale : (left + 24) // scale]
            np.testing.assert_array_equal(hr[n].numpy(), turned(want_hr, turn))
            np.testing.assert_array_equal(lr[n].numpy(), turned(want_lr, turn))


def test_draw_depends_on_seed_and_step_alone(store: PixelStore) -> None:
    first, second = sampler(store), sampler(store)
    for step in (5, 0, 5, 123_456_789_012):
        for a, b in zip(first.draw(at(step)), second.draw(at(step)), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(first.draw(at(0))[1], first.draw(at(1))[1])
    assert not torch.equal(first.draw(at(0))[1], sampler(store, seed=8).draw(at(0))[1])


def test_golden_choice(store: PixelStore) -> None:
    """Fixed for ever: a change here changes what every seed means."""
    image, top, left, turn = (t.tolist() for t in sampler(store).choose(at(11)))
    assert image == [3, 3, 4, 1, 2, 4]
    assert top == [8, 10, 20, 2, 14, 24]
    assert left == [54, 6, 4, 4, 14, 12]
    assert turn == [0, 3, 6, 1, 1, 7]


def test_draws_are_unit_floats_channels_last(store: PixelStore) -> None:
    source = sampler(store, scale=4)
    lr, hr = source.draw(at(0))
    assert (lr.shape, hr.shape) == ((6, 3, 6, 6), (6, 3, 24, 24))
    for x, raw in zip((lr, hr), source.draw_bytes(at(0)), strict=True):
        assert x.dtype == torch.float32
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal((x * 255).round().to(torch.uint8).permute(0, 2, 3, 1), raw)


def test_all_crops_images_and_orientations_occur() -> None:
    store = PixelStore.from_images([random_image(28, 26, k) for k in range(3)])
    source = sampler(store, scale=2, batch=4096)
    image, top, left, turn = source.choose(at(0))
    assert set(image.tolist()) == {0, 1, 2}
    assert set(top.tolist()) == {0, 2, 4}
    assert set(left.tolist()) == {0, 2}
    for count in Counter(turn.tolist()).values():
        assert count == pytest.approx(512, abs=5 * 512**0.5)


def test_weights_of_more_crops_than_fit_keep_their_proportions() -> None:
    """Gigapixel images: sums stay below 2^31, by halving no further than needed, and no image is lost."""
    sides_I = torch.tensor([160_000, 80_000, 16])
    images = PixelStore(
        pixels=torch.empty(0, dtype=torch.uint8),
        start_I=torch.zeros(3, dtype=torch.int64),
        height_I=sides_I,
        width_I=sides_I,
        names=("large", "middle", "patch"),
    )
    large, middle, patch = (
        running_weights(images, 2, 16, "area").diff(prepend=torch.tensor([0])).tolist()
    )
    assert 2**30 <= large + middle + patch < 2**31
    assert large / middle == pytest.approx((79_993 / 39_993) ** 2, rel=1e-6)
    assert patch == 1


def test_area_probability_follows_the_number_of_crops() -> None:
    store = PixelStore.from_images([random_image(24, 24, 0), random_image(48, 72, 1)])
    kwargs = {"scale": 2, "patch": 24, "batch": 20_000, "seed": 1}
    uniform = PatchSampler(store, **kwargs).choose(at(0))[0].double().mean()
    area = PatchSampler(store, probability="area", **kwargs).choose(at(0))[0].double().mean()
    assert float(uniform) == pytest.approx(0.5, abs=0.02)
    assert float(area) == pytest.approx(13 * 25 / (13 * 25 + 1), abs=0.01)


def test_without_augmentation_patches_stand_upright(store: PixelStore) -> None:
    source = sampler(store, augment=False)
    image, top, left, _ = (t.tolist() for t in source.choose(at(2)))
    hr = source.draw_bytes(at(2))[1]
    for n in range(6):
        assert torch.equal(
            hr[n], store.image(image[n])[top[n] : top[n] + 24, left[n] : left[n] + 24]
        )


@settings(deadline=None)
@given(turn=st.integers(0, 7), side=st.integers(1, 9))
def test_orient_is_a_symmetry_of_the_square(turn: int, side: int) -> None:
    x = torch.arange(side * side * 3).view(1, side, side, 3)
    y = orient(x, torch.tensor([turn]))
    np.testing.assert_array_equal(y[0].numpy(), turned(x[0].numpy(), turn))


@settings(max_examples=25, deadline=None)
@given(
    scale=st.sampled_from([2, 3, 4, 8]),
    tiles=st.integers(1, 4),
    extra=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    step=st.integers(0, 2**40),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_patch_lies_inside_its_image(
    scale: int, tiles: int, extra: tuple[int, int], step: int, seed: int
) -> None:
    patch = scale * tiles
    store = PixelStore.from_images([random_image(patch + extra[0], patch + extra[1])])
    source = PatchSampler(store, scale=scale, patch=patch, batch=3, seed=seed)
    _, top, left, _ = source.choose(at(step))
    assert bool((top >= 0).all() & (top + patch <= store.height_I[0]).all())
    assert bool((left >= 0).all() & (left + patch <= store.width_I[0]).all())
    lr, hr = source.draw_bytes(at(step))
    assert (lr.shape[1], hr.shape[1]) == (tiles, patch)


def test_host_patches_are_the_same_patches(store: PixelStore) -> None:
    source = sampler(store)
    ahead = HostPatches(sampler(store), torch.device("cpu"))
    for step in range(3):
        ahead.load()
        for a, b in zip(source.draw(at(step)), ahead.draw(at(0)), strict=True):
            assert torch.equal(a, b)
    ahead.seek(40)
    ahead.load()
    for a, b in zip(ahead.draw_aside(2**40 + 3), source.draw_aside(2**40 + 3), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(ahead.draw(at(0))[1], source.draw(at(40))[1])
    assert not torch.equal(source.draw_aside(2**40)[1], source.draw_aside(0)[1])


def test_refuses_patches_that_do_not_fit(store: PixelStore) -> None:
    with pytest.raises(UserError, match="--patch 25 is no multiple of --scale 2; use 24"):
        PatchSampler(store, scale=2, patch=25, batch=1, seed=0)
    with pytest.raises(UserError, match="smaller than --patch 34"):
        PatchSampler(store, scale=2, patch=34, batch=1, seed=0)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_cuda_draws_what_the_cpu_draws(store: PixelStore, scale: int) -> None:
    on_cpu, on_gpu = sampler(store, scale), sampler(store.to(torch.device("cuda")), scale)
    for step in range(20):
        for a, b in zip(
            on_cpu.draw_bytes(at(step)), on_gpu.draw_bytes(at(step).cuda()), strict=True
        ):
            assert torch.equal(a, b.cpu())


def test_a_configuration_says_what_is_drawn(store: PixelStore, tiny_config: TrainConfig) -> None:
    """Every setting of it, each in a value of its own."""
    images = ImagesConfig(batch=5, patch=24, border="mirror", probability="area", augment=False)
    model, machine = (
        replace(tiny_config.model, scale=4),
        replace(tiny_config.machine, seed=9, fused=False),
    )
    by_config = PatchSampler.from_config(
        store, replace(tiny_config, images=images, model=model, machine=machine)
    )
    by_hand = PatchSampler(
        store,
        scale=4,
        patch=24,
        batch=5,
        seed=9,
        border="mirror",
        probability="area",
        augment=False,
        fused=False,
    )
    assert (by_config.crop, by_config.seed, by_config.fused) == (
        by_hand.crop,
        by_hand.seed,
        by_hand.fused,
    )
    assert torch.equal(by_config.images.cumulative_I, by_hand.images.cumulative_I)
    assert by_config.device == store.device
