"""Discriminators with maps of logits; the spectral norm is compared with torch's own."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

from fastsr.models import PatchDiscriminator, UNetDiscriminator
from fastsr.models.unet import SpectralConv


def torchs(ours: SpectralConv) -> nn.Module:
    """torch's convolution with torch's spectral norm, in the same state."""
    shape = ours.weight_orig.shape
    plain = nn.Conv2d(shape[1], shape[0], shape[2], stride=ours.stride, padding=1, bias=False)
    theirs = spectral_norm(plain)
    theirs.load_state_dict(ours.state_dict())
    return theirs


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_spectral_norm_equals_torchs_over_several_steps(layout: torch.memory_format) -> None:
    """Output, gradient, and the vectors that go on from step to step; then out of training, where they rest."""
    torch.manual_seed(0)
    ours = SpectralConv(3, 8, 4, stride=2)
    theirs = torchs(ours)
    ours.weight_orig.data = ours.weight_orig.data.contiguous(memory_format=layout)
    x = torch.rand(2, 3, 12, 12)
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        results = []
        for module in (ours, theirs):
            first, second = (
                module(x),
                module(x + 1),
            )  # two passes, then both gradients: as in a step
            (gradient,) = torch.autograd.grad(
                (first * second).sum(), [module.get_parameter("weight_orig")]
            )
            results.append((first, second, gradient, *(module.state_dict().values())))
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_the_unet_has_real_esrgans_names_and_a_logit_for_each_pixel() -> None:
    network = UNetDiscriminator(4)
    spectral = [f"conv{k}.weight_{kind}" for k in range(1, 9) for kind in ("orig", "u", "v")]
    ends = [f"conv{k}.{kind}" for k in (0, 9) for kind in ("weight", "bias")]
    assert sorted(network.state_dict()) == sorted(spectral + ends)
    assert network(torch.rand(2, 3, 16, 24)).shape == (2, 1, 16, 24)


def test_the_patch_discriminator_has_pix2pixs_names_and_field() -> None:
    network = PatchDiscriminator(4)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items() if v.ndim == 4}
    assert shapes == {
        "model.0.weight": (4, 3, 4, 4), "model.2.weight": (8, 4, 4, 4), "model.5.weight": (16, 8, 4, 4),
        "model.8.weight": (32, 16, 4, 4), "model.11.weight": (1, 32, 4, 4),
    }  # fmt: skip
    x = torch.rand(1, 3, 96, 96, requires_grad=True)
    z: Tensor = network.eval()(x)
    assert z.shape == (1, 1, 10, 10)
    (gradient,) = torch.autograd.grad(z[0, 0, 5, 5], x)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 70


@pytest.mark.parametrize(
    "network", [UNetDiscriminator(2), PatchDiscriminator(2, layers=1)], ids=["unet", "patch"]
)
def test_compiling_changes_no_name_and_no_logit(
    network: UNetDiscriminator | PatchDiscriminator,
) -> None:
    x, keys = torch.rand(2, 3, 16, 16), list(network.state_dict())
    for _ in range(10):  # vectors that are not yet singular divide by anything
        network(x)
    expected = network.eval()(x)
    network.compile_blocks()
    assert list(network.state_dict()) == keys
    torch.testing.assert_close(network(x), expected)
