"""The generator's last convolution by rows: the same values and gradients, wherever the image is cut."""

import pytest
import torch
from torch import Tensor, nn

from fastsr.models import SRResNet
from fastsr.models.tail import Tail, always_plain, train_by_rows


def tail(channels: int, dtype: torch.dtype = torch.float64) -> Tail:
    torch.manual_seed(1)
    return Tail(channels, 3, 9, padding=4).to(dtype)


def plain(network: nn.Conv2d, x_NCHW: Tensor) -> Tensor:
    return nn.Conv2d.forward(network, x_NCHW)


def in_layout(x: Tensor, layout: torch.memory_format) -> Tensor:
    return x.contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(2, 11, 7), (1, 1, 1), (3, 1, 5), (1, 24, 3)], ids=str)
def test_values_and_gradients_are_those_of_the_convolution(
    shape: tuple[int, int, int], layout: torch.memory_format
) -> None:
    network, (images, h, w) = tail(5), shape
    x = in_layout(torch.randn(images, 5, h, w, dtype=torch.float64), layout).requires_grad_()
    gradient = torch.randn(images, 3, h, w, dtype=torch.float64)
    assert network.bias is not None
    wanted_of = {"x": x, "weight": network.weight, "bias": network.bias}
    want, got = plain(network, x), network.sum_of_rows(x)
    torch.testing.assert_close(got, want)
    expected, found = (
        torch.autograd.grad(y, list(wanted_of.values()), gradient) for y in (want, got)
    )
    for name, a, b in zip(wanted_of, expected, found, strict=True):
        torch.testing.assert_close(b, a, msg=lambda text, n=name: f"gradient of {n}: {text}")


def test_a_cpu_evaluates_by_rows_and_trains_by_the_convolution() -> None:
    network, x = tail(16, torch.float32), torch.randn(1, 16, 20, 20)
    assert torch.equal(network(x), plain(network, x))
    train_by_rows(nn.Sequential(network), True)
    assert torch.equal(network(x), network.sum_of_rows(x))
    train_by_rows(nn.Sequential(network), False)
    network.eval()
    assert torch.equal(network(x), network.sum_of_rows(x))
    always_plain(nn.Sequential(network))
    assert torch.equal(network(x), plain(network, x))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(
    ("whole", "cut"),
    [
        ((1, 265, 144), (93, 118, 70, 56)),
        ((2, 90, 130), (20, 61, 3, 77)),
        ((1, 60, 323), (11, 40, 70, 144)),
    ],
    ids=str,
)
def test_a_tile_is_the_same_part_of_the_whole_bit_for_bit(
    whole: tuple[int, int, int], cut: tuple[int, int, int, int], dtype: torch.dtype | None
) -> None:
    network, (images, h, w), (top, tall, left, wide) = tail(64, torch.float32).eval(), whole, cut
    x = in_layout(torch.randn(images, 64, h, w), torch.channels_last)
    part = in_layout(x[:, :, top : top + tall, left : left + wide], torch.channels_last)
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        inside = network(x)[:, :, top + 4 : top + tall - 4, left + 4 : left + wide - 4]
        assert torch.equal(network(part)[:, :, 4:-4, 4:-4], inside)


@torch.no_grad()
def test_rows_are_added_in_fp32_under_autocast() -> None:
    """So that nine roundings to bf16 weigh no more than the convolution's own last one."""
    network, x = tail(64, torch.float32).eval(), torch.randn(1, 64, 40, 40)
    want = plain(network, x)
    with torch.autocast("cpu", torch.bfloat16):
        rows, convolution = network(x), plain(network, x)
    assert rows.dtype == torch.float32
    assert (rows - want).square().mean() <= 1.5 * (convolution.float() - want).square().mean()


def test_its_weights_have_the_names_and_shapes_of_a_convolution() -> None:
    state = SRResNet(2, blocks=1, filters=4).state_dict()
    shapes = {name: list(value.shape) for name, value in state.items() if "output_conv" in name}
    assert shapes == {"output_conv.weight": [3, 4, 9, 9], "output_conv.bias": [3]}
