"""Tiles, orientations and memory: what comes out is what the network makes of the whole image."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fastsr.errors import UserError
from fastsr.inference.engine import Choices, Engine, turned, turned_back
from fastsr.inference.tiles import cut
from fastsr.models import SPAN, Compact, MSRResNet, RRDBNet
from fastsr.models.enlarge import Enlarge
from fastsr.models.fold import folded
from fastsr.system.precision import Precision
from tests.fastsr.inference.conftest import small_generator

PLAIN = Choices()


def engine(
    choices: Choices = PLAIN, *generators: nn.Module, said: list[str] | None = None
) -> Engine:
    tell = (lambda text: None) if said is None else said.append
    return Engine(generators or (small_generator(),), choices, Precision(), tell)  # type: ignore[arg-type]


def image(h: int, w: int, channels: int = 3, count: int = 1, dtype: torch.dtype = torch.uint8) -> Tensor:  # fmt: skip
    torch.manual_seed(h)
    top = 255 if dtype == torch.uint8 else 65_535
    return torch.randint(0, top + 1, (count, h, w, channels)).to(dtype)


def difference(a: Tensor, b: Tensor) -> int:
    return int((a.long() - b.long()).abs().max())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("tile", [48, 56, 90])
def test_tiles_leave_no_trace(channels: int, tile: int) -> None:
    whole, said = image(97, 131, channels, 2), list[str]()
    tiled = engine(Choices(tile=tile), said=said).enlarge(whole, 255)
    assert difference(tiled, engine().enlarge(whole, 255)) <= 1
    assert said == []


NETWORKS = {
    "srresnet": lambda: small_generator(4),
    "msrresnet": lambda: MSRResNet(4, blocks=1, filters=4),
    "rrdb": lambda: RRDBNet(4, blocks=1, filters=4, growth=4),
    "rrdb x2": lambda: RRDBNet(2, blocks=1, filters=4, growth=4),
    "compact": lambda: Compact(4, blocks=2, filters=4),
    "span": lambda: SPAN(4, filters=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_of_every_network_leave_no_trace(name: str) -> None:
    """Odd sides, where networks on a grid of their own fill up the last cell."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval().requires_grad_(False)
    whole, said = image(129, 155), list[str]()
    want = engine(PLAIN, network).enlarge(whole, 255)
    assert difference(engine(Choices(tile=96), network, said=said).enlarge(whole, 255), want) <= 1
    assert said == [] and len(want.unique()) > 10


def test_an_overlap_below_the_receptive_field_is_blended_and_said() -> None:
    whole, said = image(97, 131), list[str]()
    want = engine().enlarge(whole, 255)
    tiled = engine(Choices(tile=56, overlap=8), said=said).enlarge(whole, 255)
    cut_hard = engine(Choices(tile=56, overlap=0)).enlarge(whole, 255)
    assert 0 < difference(tiled, want) < difference(cut_hard, want)
    assert len(said) == 1 and said[0].startswith("tiles overlap by 8 pixels and are blended: the")


@settings(max_examples=60, deadline=None)
@given(
    h=st.integers(1, 400), w=st.integers(1, 400), most=st.integers(2304, 60_000), field=st.integers(0, 90),
    side=st.none() | st.integers(1, 500), overlap=st.none() | st.integers(0, 60),
)  # fmt: skip
def test_cores_cover_every_pixel_once(
    h: int, w: int, most: int, field: int, side: int | None, overlap: int | None
) -> None:
    plan = cut(h, w, most, field, side, overlap)
    count = torch.zeros(h, w, dtype=torch.int)
    for row, column in plan.spans(h, w):
        for span, length in ((row, h), (column, w)):
            assert (
                0 <= span.read.start <= span.kept.start < span.kept.stop <= span.read.stop <= length
            )
            assert span.read.start % 8 == 0
            if side is not None:  # also where the image is narrow
                assert span.read.stop - span.read.start <= max(side, 32)
            if plan.is_exact:
                assert span.read.start == 0 or span.kept.start - span.read.start >= field
                assert span.read.stop == length or span.read.stop - span.kept.stop >= field
        inner = [slice(s.kept.start + s.blend // 2, s.kept.stop) for s in (row, column)]
        count[inner[0], inner[1]] += 1
    assert int(count.min()) >= 1
    if plan.is_exact:
        assert int(count.max()) == 1


def test_the_mean_of_orientations_is_what_the_8_give() -> None:
    x, generator = image(9, 14), small_generator()
    got = engine(Choices(self_ensemble=True), generator).enlarge(x, 255)
    planes = x.permute(0, 3, 1, 2).float() / 255
    one_by_one = [turned_back(generator(turned(planes, k)), k) for k in range(8)]
    want = (torch.stack(one_by_one).mean(0) * 255).round().clamp(0, 255)
    assert difference(got, want.permute(0, 2, 3, 1)) <= 1
    assert difference(got, engine(Choices(), generator).enlarge(x, 255)) > 1
    assert len({turned(planes, k).contiguous().numpy().tobytes() for k in range(8)}) == 8


def test_several_generators_are_averaged() -> None:
    pair = small_generator(seed=1), small_generator(seed=2)
    x = image(9, 14) // 4 + 96  # so that nothing is cut at black or white
    parts = [engine(Choices(), one).enlarge(x, 255).float() for one in pair]
    assert difference(engine(Choices(), *pair).enlarge(x, 255), (parts[0] + parts[1]) / 2) <= 1


def test_grey_and_alpha_and_16_bits() -> None:
    x, run = image(9, 14, 2, dtype=torch.uint16), engine()
    y = run.enlarge(x, 65_535)
    assert y.dtype == torch.uint16 and y.shape == (1, 18, 28, 2)
    coarse = (x.float() / 257).round().to(torch.uint8)
    assert difference((y.float() / 257).round(), run.enlarge(coarse, 255)) <= 4
    alpha = (x[..., 1:].float() / 65_535).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    want = (Enlarge(2, "bicubic")(alpha)[:, :1].clamp(0, 1) * 65_535).round()
    assert difference(y[..., 1:], want.permute(0, 2, 3, 1)) <= 1


def test_folding_batch_normalisation_changes_nothing() -> None:
    generator, x = small_generator(), torch.rand(1, 3, 11, 13)
    plain = folded(generator)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    assert torch.allclose(plain(x), generator(x), atol=1e-5)
    assert any(isinstance(module, nn.BatchNorm2d) for module in generator.modules())


class Greedy(nn.Module):
    """A network that finds memory for small images only, and says so as torch does."""

    scale = 2
    channels = 3
    receptive_radius = 0

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = nn.Parameter(torch.tensor(float(most)), requires_grad=False)
        self.asked: list[tuple[int, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append((x.shape[2], x.shape[3]))
        if x.shape[2] * x.shape[3] > float(self.most):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_out_of_memory_halves_tiles_and_goes_on() -> None:
    network, said = Greedy(90 * 90), list[str]()
    x = image(200, 333)
    y = engine(Choices(), network, said=said).enlarge(x, 255)
    assert torch.equal(y, x.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert [text.partition(";")[0] for text in said] == ["out of memory"] * 2
    assert said[0].endswith("going on with tiles half as long and wide, about 129x129")
    network.asked.clear()
    assert engine_again(network, said, x)


def engine_again(network: Greedy, said: list[str], x: Tensor) -> bool:
    """What was learnt holds for the next image."""
    run = engine(Choices(), network, said=said)
    run.limit = 64 * 64
    run.enlarge(x, 255)
    return all(h * w <= 90 * 90 for h, w in network.asked)


def test_no_memory_even_for_small_tiles_is_one_line() -> None:
    with pytest.raises(UserError, match="out of memory even for tiles of"):
        engine(Choices(), Greedy(1024)).enlarge(image(200, 300), 255)


def test_memory_that_is_granted_bounds_tiles() -> None:
    run = engine(Choices(memory=1))
    assert run.most_pixels(0) == 48 * 48
    whole = image(120, 90)
    assert len(run.plan(whole).spans(120, 90)) > 1
    assert difference(run.enlarge(whole, 255), engine().enlarge(whole, 255)) <= 1


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    generator = small_generator()
    generator.output_conv.bias.fill_(torch.inf)
    with pytest.raises(UserError, match=r"not finite; take another model"):
        engine(Choices(), generator).enlarge(image(5, 5), 255)
