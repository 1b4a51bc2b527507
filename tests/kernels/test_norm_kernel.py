"""The Triton kernels of batch normalisation, interpreted or on a GPU: poisoned memory, chunks, blocks, tiles."""

from typing import Any

import pytest
import torch
from devices import where_kernels_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from norm_cases import CASES, EPS, MOMENTUM, Case, Inputs, Shape, assert_close, drawn
from torch import Tensor

pytest.importorskip("triton")
from fastsr_kernels.batch_norm import kernel

pytestmark = where_kernels_run
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def launched(
    inputs: Inputs, device: str, tile: int = kernel.TILE, chunks: int = kernel.CHUNKS
) -> dict[str, Tensor]:
    """What the kernels write into poisoned memory, by tiles of so many entries and at most so many chunks."""
    moved: list[Any] = [None if t is None else t.to(device) for t in inputs[:8]]
    *tensors, mean, variance, seed = moved
    mean, variance = mean.clone(), variance.clone()
    tiles = kernel.tiling(tensors[0], tile, chunks)
    launches, (y, statistics) = kernel.plan_forward(
        *tensors, mean, variance, MOMENTUM, EPS, inputs.leak, tiles
    )
    run_poisoned(launches, y, statistics)
    launches, gradients = kernel.plan_backward(seed, *tensors[:4], statistics, inputs.leak, tiles)
    run_poisoned(launches, *gradients)
    named = {"x": gradients[0], "weight": gradients[1], "bias": gradients[2]}
    named |= {"slope": gradients[3]} if inputs.slope is not None else {}
    named |= {"shortcut": seed} if inputs.shortcut is not None else {}
    found = {"result": y, "running mean": mean, "running variance": variance}
    return found | {f"gradient of {name}": x for name, x in named.items()}


def run_poisoned(launches: list[Any], *outputs: Tensor) -> None:
    """Fills all that the launches are to write with NaN, and launches them."""
    for launch in launches:
        for name, x in launch.arguments.items():
            if name.startswith("partial") and launch is launches[0]:
                x.fill_(float("nan"))
    for x in outputs:
        x.fill_(float("nan"))
    for launch in launches:
        launch.run()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_equals_float64_autograd(case: Case, dtype: torch.dtype, device: str) -> None:
    """Two blocks of channels, the second not full; two chunks of two tiles, the last not full."""
    inputs = drawn((2, 40, 5, 7), case, dtype)
    assert_close(launched(inputs, device, tile=32 * 32, chunks=2), inputs)


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1, 1), (1, 16, 1, 1), (1, 3, 1, 2), (3, 100, 3, 3), (1, 512, 2, 2), (4, 64, 8, 9)],
    ids=lambda shape: "x".join(map(str, shape)),
)
def test_shapes(shape: Shape, device: str) -> None:
    inputs = drawn(shape, CASES["shared PReLU, shortcut"])
    assert_close(launched(inputs, device), inputs)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.tuples(*(st.integers(1, most) for most in (3, 70, 6, 6))),
    st.sampled_from(list(CASES.values())),
    st.sampled_from(DTYPES),
    st.integers(1, 3),
)
def test_any_shape(device: str, shape: Shape, case: Case, dtype: torch.dtype, chunks: int) -> None:
    inputs = drawn(shape, case, dtype)
    assert_close(launched(inputs, device, tile=1024, chunks=chunks), inputs)


@pytest.mark.parametrize("offset", [100, 1e4])
def test_far_from_zero(offset: float, device: str) -> None:
    """The variance is that of what is left when the mean is gone, not a difference of squares: at 1e4 those have no
    digit left in fp32. The mean itself is rounded to eps of its own size."""
    inputs = drawn((2, 8, 6, 6), CASES["alone"], offset=offset)
    eps = torch.finfo(torch.float32).eps
    assert_close(launched(inputs, device, tile=128, chunks=3), inputs, tolerance=3 * offset * eps)


def test_constant_channels(device: str) -> None:
    """Of a constant nothing is left but the bias, whatever the constant is."""
    inputs = drawn((2, 8, 4, 4), CASES["alone"])
    x = torch.zeros_like(inputs.x)
    x[:, ::2] = 64.0
    got = launched(inputs._replace(x=x), device)
    torch.testing.assert_close(got["result"][1, :, 2, 2].cpu(), inputs.bias)
    assert all(bool(t.isfinite().all()) for t in got.values())


def test_runs_are_equal_bit_for_bit(device: str) -> None:
    inputs = drawn((2, 40, 5, 7), CASES["PReLU"], torch.bfloat16)
    first, second = (launched(inputs, device, tile=1024, chunks=2) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(bool(x.any()) for x in first.values())


def test_nan_in_one_channel_stays_there(device: str) -> None:
    inputs = drawn((2, 40, 4, 4), CASES["LeakyReLU"])
    inputs.x[1, 33, 2, 3] = float("nan")
    result = launched(inputs, device)["result"].cpu()
    assert result[:, 33].isnan().all() and result.isnan().sum() == result[:, 33].numel()
