"""Inputs of batch normalisation, what float64 autograd of torch's own operators makes of them, and comparisons.

Axes: N images, C channels, H W their sides, S slopes.
"""

from typing import NamedTuple

import torch
from fastsr_kernels.batch_norm import batch_norm
from torch import Tensor
from torch.nn import functional

LEAK, MOMENTUM, EPS = 0.2, 0.1, 1e-5
TOLERANCE = 5e-6  # of fp32 arithmetic; 5e-7 is the largest error seen
KINK = 0.01
"""So near to the kink of the activation no gradient comes back: either side of it would be right."""
Shape = tuple[int, int, int, int]


class Case(NamedTuple):
    """What follows the normalisation: so many learnt slopes (1, or C as -1, 0: `leak`), and whether a sum."""

    slopes: int
    leak: float
    shortcut: bool


CASES = {
    "alone": Case(0, 1.0, False),
    "shortcut": Case(0, 1.0, True),
    "LeakyReLU": Case(0, LEAK, False),
    "PReLU": Case(-1, 1.0, False),
    "shared PReLU, shortcut": Case(1, 1.0, True),
}


class Inputs(NamedTuple):
    x: Tensor
    weight: Tensor
    bias: Tensor
    slope: Tensor | None
    shortcut: Tensor | None
    mean: Tensor
    variance: Tensor
    seed: Tensor
    """The gradient of the result."""
    leak: float


def channels_last(x_NCHW: Tensor, dtype: torch.dtype) -> Tensor:
    return x_NCHW.to(dtype).contiguous(memory_format=torch.channels_last)


def drawn(
    shape: Shape, case: Case, dtype: torch.dtype = torch.float32, offset: float = 0
) -> Inputs:
    """With parameters in fp32, as mixed precision has them."""
    channels, seeded = shape[1], torch.Generator().manual_seed(sum(shape))

    def normal(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=seeded)

    slopes = channels if case.slopes < 0 else case.slopes
    inputs = Inputs(
        channels_last(2 * normal(*shape) + offset, dtype), normal(channels), normal(channels),
        normal(slopes).abs() if slopes else None, channels_last(normal(*shape), dtype) if case.shortcut else None,
        normal(channels), normal(channels).abs(), normal(*shape), case.leak,
    )  # fmt: skip
    straight = inputs._replace(slope=None, shortcut=None, leak=1.0)
    seed = inputs.seed * (by_autograd(straight)["result"].abs() > KINK)
    return inputs._replace(seed=channels_last(seed, dtype))


def by_autograd(inputs: Inputs) -> dict[str, Tensor]:
    """Everything by name, by torch's own operators in float64 on the CPU; by hand for one row, which torch refuses."""
    x, weight, bias, slope, shortcut, mean, variance = (
        None if t is None else t.detach().cpu().double().clone() for t in inputs[:7]
    )
    leaves = {"x": x, "weight": weight, "bias": bias, "slope": slope, "shortcut": shortcut}
    leaves = {name: t.requires_grad_() for name, t in leaves.items() if t is not None}
    assert x is not None and weight is not None and bias is not None
    if x.numel() == x.shape[1]:
        y = 0 * x * weight[:, None, None] + bias[:, None, None]
        mean, variance = mean.lerp(x.detach().flatten(), MOMENTUM), variance * (1 - MOMENTUM)  # type: ignore
    else:
        y = functional.batch_norm(x, mean, variance, weight, bias, True, MOMENTUM, EPS)
    if slope is not None:
        y = functional.prelu(y, slope)
    elif inputs.leak != 1:
        y = functional.leaky_relu(y, inputs.leak)
    y = y if shortcut is None else y + shortcut
    return collected(y, mean, variance, leaves, inputs.seed.cpu().double())


def by_operator(inputs: Inputs, device: str = "cpu") -> dict[str, Tensor]:
    """The same by the operator."""
    moved = [None if t is None else t.detach().to(device) for t in inputs[:7]]
    x, weight, bias, slope, shortcut, mean, variance = moved
    assert x is not None and weight is not None and bias is not None
    assert mean is not None and variance is not None
    mean, variance = mean.clone(), variance.clone()
    leaves = {"x": x, "weight": weight, "bias": bias, "slope": slope, "shortcut": shortcut}
    leaves = {name: t.requires_grad_() for name, t in leaves.items() if t is not None}
    y = batch_norm(
        x, weight, bias, mean, variance, MOMENTUM, EPS, inputs.leak if slope is None else slope, shortcut
    )  # fmt: skip
    return collected(y, mean, variance, leaves, inputs.seed.to(device))


def collected(
    y: Tensor, mean: Tensor | None, variance: Tensor | None, leaves: dict[str, Tensor], seed: Tensor
) -> dict[str, Tensor]:
    assert mean is not None and variance is not None
    gradients = torch.autograd.grad(y, list(leaves.values()), seed)
    named = {f"gradient of {name}": g for name, g in zip(leaves, gradients, strict=True)}
    return {"result": y.detach(), "running mean": mean, "running variance": variance} | named


def assert_close(
    got: dict[str, Tensor], inputs: Inputs, tolerance: float = TOLERANCE, ulps: float = 1.0
) -> None:
    """Compares every output by name, as an error relative to the largest entry, beside rounding to the images' dtype.

    x's gradient may be far smaller than what was subtracted from what: it is held to the size of that.
    """
    want = by_autograd(inputs)
    assert got.keys() == want.keys()
    x_C = inputs.x.double().transpose(0, 1).flatten(1)
    factor = (inputs.weight / (x_C.var(1, correction=0) + EPS).sqrt()).abs().max()
    for name, b in want.items():
        a = got[name]
        assert a.shape == b.shape, name
        smallest = float(factor * inputs.seed.abs().max()) if name == "gradient of x" else 1e-30
        error = float((a.double().cpu() - b).abs().max()) / max(
            float(b.abs().max()), smallest, 1e-30
        )
        rounding = ulps * torch.finfo(a.dtype).eps if a.dtype == inputs.x.dtype else 0.0
        assert error <= tolerance + rounding, f"{name}: relative error {error:.1e}"
