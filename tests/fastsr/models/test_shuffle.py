"""Pixel shuffle: torch's numbers, in the layout that came, by one copy each way."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from fastsr.models import SRResNet
from fastsr.models.shuffle import PixelShuffle, shuffled, shuffled_last


class Copies(TorchDispatchMode):
    """Counts copies of tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.count += func.overloadpacket.__name__ in ("clone", "_reshape_copy", "copy_")
        return func(*args, **(kwargs or {}))


def images(factor: int, channels: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(factor)
    x = torch.randn(2, channels * factor**2, 5, 4).to(dtype)
    return x.to(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("factor", [2, 3])
def test_numbers_are_torchs(factor: int, dtype: torch.dtype) -> None:
    x, other = images(factor, dtype=dtype), images(factor, dtype=dtype)
    y, wanted = shuffled_last(x, factor), functional.pixel_shuffle(other, factor)
    gradient = torch.randn_like(wanted).to(memory_format=torch.channels_last)
    y.backward(gradient)
    wanted.backward(gradient)
    assert torch.equal(y, wanted)
    assert x.grad is not None and other.grad is not None and torch.equal(x.grad, other.grad)
    for kept in (y, x.grad):
        assert kept.is_contiguous(memory_format=torch.channels_last)


def test_each_way_is_one_copy() -> None:
    x = images(2, channels=8)
    with Copies() as forward:
        y = shuffled_last(x, 2)
    gradient = torch.randn_like(y)
    with Copies() as backward:
        torch.autograd.grad(y, x, gradient)
    assert (forward.count, backward.count) == (1, 1)


def test_other_layouts_and_a_cpu_take_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(2).detach()
    assert torch.equal(shuffled(x, 2), functional.pixel_shuffle(x, 2))
    monkeypatch.setattr("fastsr.models.shuffle.shuffled_last", None)
    for other in (x.contiguous(), x.contiguous()[0]):
        assert torch.equal(shuffled(other, 2), functional.pixel_shuffle(other, 2))
    with pytest.raises(TypeError):
        shuffled(x, 2)
    assert torch.equal(PixelShuffle(2)(x), functional.pixel_shuffle(x, 2))


@pytest.mark.gpu
def test_a_gpu_keeps_the_layout_through_a_generator() -> None:
    """And what it computes is what the CPU does."""
    network = SRResNet(4, blocks=1, filters=8).eval()
    x = torch.rand(1, 3, 6, 5)
    there = network.to("cuda", memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    kept: list[bool] = []
    for upsampler in there.upsamplers:
        upsampler.register_forward_hook(
            lambda _, __, y: kept.append(y.is_contiguous(memory_format=torch.channels_last))
        )
    with torch.no_grad():
        y = there(x.cuda().to(memory_format=torch.channels_last))
        assert kept == [True, True]
        assert torch.allclose(network.cpu()(x), y.cpu(), atol=1e-2)
