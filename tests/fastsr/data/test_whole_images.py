"""Whole images degraded once: by the operator, from their pixels and a seed."""

from dataclasses import replace

import pytest
import torch
from fastsr_kernels.degrade import pack, reference
from torch import Tensor

from fastsr.config.fixed import FixedDegradation, fixed_degradation
from fastsr.config.presets import preset
from fastsr.data.degrade import degradation
from fastsr.data.whole import FIRST_COUNTER, counter_of, degrade_image
from fastsr.errors import UserError
from tests.images import random_image


def image(height: int = 64, width: int = 72, seed: int = 0) -> Tensor:
    return torch.from_numpy(random_image(height, width, seed))


@pytest.mark.parametrize("name", ["real-esrgan", "bsrgan", "light"])
def test_an_image_is_degraded_as_a_patch_is(name: str) -> None:
    """On a canvas that holds what was drawn, not all that could be; a sum just between two levels may end on either."""
    off: list[Tensor] = []
    for number in range(3):
        hr, fixed = image(seed=number), FixedDegradation(preset(name), seed=9)
        what = degradation(fixed.config, 4)._replace(context=0)
        x = hr.permute(2, 0, 1)[None].float() / 255
        step = torch.tensor(counter_of(hr))
        lr, _ = reference.degrade(x, what.frame, pack(what), 9, step)
        got = degrade_image(hr, fixed, 4)
        assert (got.shape, got.dtype) == ((16, 18, 3), torch.uint8)
        off.append(((lr[0] * 255).round().permute(1, 2, 0) - got).abs())
    assert float((torch.stack(off) > 0).float().mean()) < 0.01
    assert float(torch.stack(off).max()) <= 8


def test_it_depends_on_pixels_settings_and_seed_alone() -> None:
    hr, fixed = image(), FixedDegradation(preset("real-esrgan"), seed=3)
    lr = degrade_image(hr, fixed, 4)
    torch.manual_seed(1)
    assert torch.equal(degrade_image(hr.clone(), fixed, 4), lr)
    context = replace(fixed, config=replace(fixed.config, context=64))
    assert torch.equal(degrade_image(hr, context, 4), lr)
    other = hr.clone()
    other[0, 0, 0] ^= 1
    for differing in (replace(fixed, seed=4), FixedDegradation(preset("light"), seed=3)):
        assert not torch.equal(degrade_image(hr, differing, 4), lr)
    assert counter_of(other) != counter_of(hr)
    assert counter_of(hr.reshape(72, 64, 3)) != counter_of(hr)


def test_no_training_reaches_the_numbers_of_an_image() -> None:
    """A training's counters are below its steps times its batch, which 2^62 no machine has seen."""
    counters = [counter_of(image(seed=k)) for k in range(9)]
    assert all(FIRST_COUNTER <= counter < 2**63 for counter in counters)
    assert len(set(counters)) == 9


def test_other_channels_and_scales() -> None:
    hr = torch.cat([image(32, 36, k) for k in range(2)], 2)
    for channels in (1, 4):
        for scale in (1, 2):
            got = degrade_image(
                hr[..., :channels].contiguous(), FixedDegradation(preset("light")), scale
            )
            assert got.shape == (32 // scale, 36 // scale, channels)


def test_words_tell_settings_apart(tmp_path: object) -> None:
    plain = FixedDegradation(preset("real-esrgan"), 5)
    assert plain.label == "real-esrgan, seed 5"
    changed = replace(plain, config=replace(plain.config, noise_prob=0.5))
    assert changed.label == f"real-esrgan with numbers {changed.checksum}, seed 5"
    assert changed.checksum != plain.checksum
    assert "of the sharpened original" in plain.rule
    assert "sharpened" not in FixedDegradation(preset("light")).rule


def test_bad_names_and_seeds() -> None:
    assert fixed_degradation("bicubic", 0) is None
    for name, seed, words in (
        ("blurry", 0, "--degrade blurry is not known"),
        ("light", -1, "--degrade-seed -1"),
        ("missing.toml", 0, "missing.toml does not exist"),
    ):
        with pytest.raises(UserError, match=words):
            fixed_degradation(name, seed)
