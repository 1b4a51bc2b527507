"""Generators that add details to an enlarged image: the enlarging itself, training, and files that say so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.liveness import check_liveness
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.recipes import demo
from fastsr.config.settings import TrainConfig
from fastsr.data.bicubic import upscale
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.errors import UserError
from fastsr.models import SRResNet
from fastsr.models.architecture import Skip
from fastsr.models.enlarge import Enlarge
from fastsr.models.model_file import load_generator, save_generator
from fastsr.prediction.memory import predict_memory
from fastsr.system.precision import Precision
from tests.fastsr.cohort.test_step_lint import lint
from tests.images import random_image

CPU = torch.device("cpu")
SKIPS: list[Skip] = ["nearest", "bicubic"]


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_bicubic_is_matlabs_up_to_its_rounding(scale: int) -> None:
    """MATLAB's rounds after each axis: at most half a grey level twice, the second time weighted by the first's taps.

    `interpolate`, whose kernel is another, misses by far more.
    """
    lr = torch.from_numpy(random_image(9, 14))
    x = lr.permute(2, 0, 1)[None].float() / 255
    want = upscale(lr, scale).permute(2, 0, 1)[None].float()
    got = Enlarge(scale, "bicubic")(x).clamp(0, 1) * 255
    other = torch.nn.functional.interpolate(x, scale_factor=scale, mode="bicubic").clamp(0, 1) * 255
    assert float((got - want).abs().max()) < 1.2
    assert float((other - want).abs().max()) > 3


def test_bicubic_keeps_a_flat_image_and_is_differentiable() -> None:
    enlarge = Enlarge(4, "bicubic")
    flat = torch.full((1, 3, 4, 5), 0.3)
    torch.testing.assert_close(enlarge(flat), torch.full((1, 3, 16, 20), 0.3))
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    Enlarge(2, "bicubic")(x).sum().backward()
    assert x.grad is not None and float(x.grad.sum()) == pytest.approx(x.numel() * 4, rel=1e-5)


def test_nearest_repeats_pixels() -> None:
    x = torch.rand(1, 3, 2, 3)
    assert torch.equal(Enlarge(3, "nearest")(x), x.repeat_interleave(3, 2).repeat_interleave(3, 3))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("skip", SKIPS)
def test_a_new_generator_is_close_to_what_it_enlarges(
    skip: Skip, dtype: torch.dtype | None
) -> None:
    """In mixed precision too: the enlarged image itself keeps fp32."""
    generator, x = SRResNet(4, 2, 16, skip).eval(), torch.rand(2, 3, 6, 6)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is not None):
        sr, base = generator(x), Enlarge(4, skip)(x)
    assert sr.dtype == base.dtype == torch.float32
    assert 0 < float((sr - base).abs().max()) < 0.1
    torch.testing.assert_close(base, Enlarge(4, skip)(x))


def test_output_is_not_clamped_and_every_weight_learns_beyond_the_range() -> None:
    generator = SRResNet(2, 1, 4, "bicubic")
    with torch.no_grad():
        generator.output_conv.bias.add_(2)
    sr = generator(torch.rand(1, 3, 4, 4))
    assert float(sr.detach().min()) > 1
    sr.square().mean().backward()
    assert all(bool(p.grad.any()) for p in generator.parameters() if p.grad is not None)


def test_the_constant_is_in_no_weight_file_and_changes_no_initial_weight_but_the_tails() -> None:
    def fresh(skip: Skip) -> SRResNet:
        torch.manual_seed(3)
        return SRResNet(2, 1, 4, skip)

    plain, skipping = fresh("none").state_dict(), fresh("bicubic").state_dict()
    assert plain.keys() == skipping.keys()
    differ = [name for name, value in plain.items() if not torch.equal(value, skipping[name])]
    assert differ == ["output_conv.weight"]


@pytest.mark.parametrize("skip", ["none", *SKIPS])
def test_files_say_which_skip(tmp_path: Path, skip: Skip) -> None:
    generator, file = SRResNet(2, 1, 4, skip).eval(), tmp_path / "g.safetensors"
    save_generator(generator, file)
    loaded, x = load_generator(file), torch.rand(1, 3, 5, 6)
    assert loaded.skip == skip
    torch.testing.assert_close(loaded(x), generator(x))


def test_files_without_the_word_have_none_and_other_words_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "g.safetensors"
    save_generator(SRResNet(2, 1, 4), file)
    with safe_open(file, "pt") as opened:
        header = dict(opened.metadata())
    tensors = load_file(file)
    header.pop("skip")
    save_file(tensors, file, header)
    assert load_generator(file).skip == "none"
    save_file(tensors, file, {**header, "skip": "lanczos"})
    with pytest.raises(UserError, match="skip lanczos is not known here"):
        load_generator(file)


def cohort_with(config: TrainConfig, skip: Skip, precision: Precision) -> Cohort:
    return Cohort(
        replace(config, model=replace(config.model, skip=skip)), PixelContent(), CPU, precision
    )


@pytest.mark.parametrize(
    "precision", [Precision(), Precision(dtype=torch.bfloat16), Precision(scaled=True)]
)
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("stage", [PretrainStep, Step])
def test_steps_can_be_captured_and_every_loss_is_alive(
    tiny_config: TrainConfig, store: PixelStore, skip: Skip, stage: type[Step], precision: Precision
) -> None:
    cohort = cohort_with(tiny_config, skip, precision)
    sampler = PatchSampler(store, scale=2, patch=16, batch=2, seed=0)
    check_liveness(cohort, *sampler.draw(cohort.schedule.step_count))
    body = stage(cohort, sampler, MetricsRing(2, 2, CPU))
    assert lint(body, body.state()) == []
    assert [peer.ema.skip for peer in cohort.peers] == [skip, skip]


def test_memory_is_predicted_with_the_skip(tiny_config: TrainConfig) -> None:
    """More than without: a filter for each peer and average is kept, and of work a convolution more."""
    plain = predict_memory(tiny_config, Precision())
    skipping = predict_memory(
        replace(tiny_config, model=replace(tiny_config.model, skip="bicubic")), Precision()
    )
    batch, side = tiny_config.images.batch, tiny_config.images.patch // 2
    assert skipping.flop - plain.flop == 2 * 2 * (3 * 4 * 25) * batch * side**2
    assert skipping.resident - plain.resident >= 2 * 2 * 4 * (3 * 4 * 25)


def test_the_demonstration_begins_as_bicubic() -> None:
    assert demo().model.skip == "bicubic"
    assert np.isclose(float(Enlarge(4, "bicubic").kernel.sum()), 3 * 16)
