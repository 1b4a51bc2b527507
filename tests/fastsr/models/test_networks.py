"""The generators: equal to spandrel's classes, right about what they depend on, and alike compiled or recomputed."""

import pytest
import torch
from torch import Tensor, nn

from fastsr.models import SPAN, Generator
from fastsr.models.architecture import (
    CompactArchitecture,
    GeneratorArchitecture,
    MSRResNetArchitecture,
    RRDBArchitecture,
    SPANArchitecture,
    SRResNetArchitecture,
    from_header,
    header_of,
)
from fastsr.models.networks import build_generator

RRDB = {"blocks": 1, "filters": 8, "growth": 4}
ARCHITECTURES: dict[str, GeneratorArchitecture] = {
    "srresnet x4": SRResNetArchitecture(scale=4, blocks=2, filters=8),
    "srresnet x3 skip": SRResNetArchitecture(scale=3, blocks=1, filters=8, skip="bicubic"),
    "msrresnet x4": MSRResNetArchitecture(scale=4, blocks=2, filters=8),
    "msrresnet x3": MSRResNetArchitecture(scale=3, blocks=1, filters=8),
    "rrdb x8": RRDBArchitecture(scale=8, unshuffle=1, **RRDB),
    "rrdb x4": RRDBArchitecture(scale=4, unshuffle=1, **RRDB),
    "rrdb x2": RRDBArchitecture(scale=2, unshuffle=2, **RRDB),
    "rrdb x2 plain": RRDBArchitecture(scale=2, unshuffle=1, **RRDB),
    "rrdb x1": RRDBArchitecture(scale=1, unshuffle=4, **RRDB),
    "compact x4": CompactArchitecture(scale=4, blocks=3, filters=8),
    "compact x1": CompactArchitecture(scale=1, blocks=1, filters=8),
    "span x4": SPANArchitecture(scale=4, filters=8),
    "span x2 plain": SPANArchitecture(scale=2, filters=8, normalise=False),
}
every = pytest.mark.parametrize("name", ARCHITECTURES)


def random_generator(name: str, seed: int = 0) -> Generator:
    """In evaluation mode, all weights random: zeros and small starts would hide what they are multiplied with."""
    torch.manual_seed(seed)
    generator = build_generator(ARCHITECTURES[name])
    for parameter in generator.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return generator.eval()


def error(sr: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value where that is over one: SPAN's reach 255."""
    return float((sr - expected).abs().max() / expected.abs().max().clamp(min=1))


@every
def test_headers_tell_all_of_an_architecture(name: str) -> None:
    assert from_header(header_of(ARCHITECTURES[name])) == ARCHITECTURES[name]
    assert build_generator(ARCHITECTURES[name]).architecture == ARCHITECTURES[name]


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if "res" not in name])
def test_spandrel_loads_our_weights_and_computes_the_same(name: str) -> None:
    """Its ESRGAN always grows by 32 channels."""
    spandrel = pytest.importorskip("spandrel", reason="the extra `export` is not installed")
    generator = random_generator(name)
    if isinstance(generator.architecture, RRDBArchitecture):
        architecture = generator.architecture
        generator = build_generator(
            RRDBArchitecture(scale=architecture.scale, blocks=2, filters=8, unshuffle=architecture.unshuffle)
        ).eval()  # fmt: skip
    theirs = spandrel.ModelLoader().load_from_state_dict(dict(generator.state_dict()))
    assert theirs.scale == generator.scale
    x = torch.rand(1, 3, 13, 10)
    with torch.no_grad():
        assert error(generator(x), theirs.model.eval()(x)) <= 1e-6


@every
def test_any_size_is_enlarged_by_the_scale_in_fp32(name: str) -> None:
    generator = random_generator(name)
    for height, width in ((1, 1), (7, 13), (8, 4)):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            sr = generator(torch.rand(1, 3, height, width))
        assert sr.shape == (1, 3, generator.scale * height, generator.scale * width)
        assert sr.dtype == torch.float32


def farthest(generator: Generator, side: int) -> int:
    """The distance along an axis of the farthest low-resolution pixel that one in the middle's output depends on."""
    lr, middle, scale = (
        torch.rand(1, 3, side, side).requires_grad_(),
        side // 2,
        generator.scale,
    )
    sr = generator(lr)
    (gradient,) = torch.autograd.grad(
        sr[..., middle * scale : (middle + 1) * scale, middle * scale : (middle + 1) * scale].sum(),
        lr,
    )
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    return int((rows - middle).abs().max())


@every
def test_the_receptive_radius_is_that_of_the_gradients(name: str) -> None:
    """Never more, so that tiles are right, and little less, so that they waste little. What is in one cell of a coarser
    grid depends on where in it the pixel lies."""
    generator = random_generator(name)
    radius = generator.receptive_radius
    found = farthest(generator, 2 * radius + 2 * 8)
    assert radius - max(1, generator.tile_multiple) <= found <= radius


@every
def test_recomputed_blocks_give_the_same_gradients(name: str) -> None:
    def gradients(recompute: bool) -> list[Tensor]:
        generator = random_generator(name).train()
        generator.recompute = recompute
        generator(torch.ones(2, 3, 8, 8) * 0.3).square().sum().backward()
        return [p.grad for p in generator.parameters() if p.grad is not None]

    plain, again = gradients(False), gradients(True)
    assert len(plain) == len(list(random_generator(name).parameters()))
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@every
def test_all_but_the_ends_is_compiled_and_no_name_changes(name: str) -> None:
    generator = random_generator(name)
    keys, blocks = list(generator.state_dict()), list(generator.blocks_to_compile())
    assert blocks
    generator.compile_blocks()
    assert list(generator.state_dict()) == keys
    in_blocks = {id(p) for block in blocks for p in block.parameters()}
    ends = [key for key, p in generator.named_parameters() if id(p) not in in_blocks]
    assert not [
        key for key in ends if key.startswith(("body.0", "blocks.", "block_", "upsamplers."))
    ]


def test_span_is_the_same_trained_and_fused() -> None:
    """Fused at each change to evaluation; what was saved between would be stale, and `settle` mends that."""
    generator = random_generator("span x4")
    x = torch.rand(2, 3, 9, 7)
    torch.testing.assert_close(generator.train()(x), generator.eval()(x), rtol=1e-4, atol=1e-4)
    convolution = generator.get_submodule("block_2.c1_r.sk")
    assert isinstance(convolution, nn.Conv2d) and isinstance(generator, SPAN)
    before = generator(x)
    convolution.weight.data += 1
    torch.testing.assert_close(generator(x), before, rtol=0, atol=0)
    generator.settle()
    assert (generator(x) - before).abs().max() > 1e-3


PUBLISHED = [
    (RRDBArchitecture(scale=4), 16_697_987), (RRDBArchitecture(scale=2, unshuffle=2), 16_703_171),
    (MSRResNetArchitecture(scale=4), 1_517_571), (CompactArchitecture(scale=4, blocks=32), 1_213_296),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "parameters"), PUBLISHED, ids=lambda value: str(value))
def test_sizes_are_those_of_published_models(
    architecture: GeneratorArchitecture, parameters: int
) -> None:
    """RealESRGAN_x4plus and x2plus, BasicSR's MSRResNet x4, realesr-general-x4v3."""
    with torch.device("meta"):
        generator = build_generator(architecture)
    assert sum(p.numel() for p in generator.parameters()) == parameters
