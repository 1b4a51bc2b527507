"""Proves the kernels of batch normalisation: the numbers of their definition in float64, random and extreme input.

Axes: N images, C channels, H W their sides, S slopes.
"""

import math
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from fastsr_kernels.batch_norm import batch_norm
from torch import Tensor

from fastsr.proof.parts import Part, Unproved, part

NORM = "batch norm"
CASES = (
    ((1, 16, 1, 1), 1, True),
    ((16, 64, 24, 24), 64, False),
    ((4, 64, 48, 48), 0, True),
    ((3, 100, 17, 19), 0, False),
)
"""Images, learnt slopes, and whether a shortcut is added: a single row, the paper's blocks, channels that fill none."""
TOLERANCE, EXTREME_TOLERANCE = 1e-5, 1e-3
"""Relative to the largest entry; beside what rounding to the images' dtype takes. Of a mean a hundred deviations away
from zero fp32 has lost as many digits."""
SEED_MARGIN = 0.01
"""So near to the kink of the activation no gradient comes back: either side of it would be right."""
LEAK, EPS, MOMENTUM = 0.2, 1e-5, 0.1
Norm = Callable[..., Tensor]


class Inputs(NamedTuple):
    x_NCHW: Tensor
    weight_C: Tensor
    bias_C: Tensor
    slope_S: Tensor | None
    shortcut_NCHW: Tensor | None
    running_2C: Tensor
    seed_NCHW: Tensor
    """The gradient of the result."""


def prove_batch_norm(device: torch.device, compute: Norm = batch_norm) -> Part:
    """Result, running statistics and every gradient against float64."""

    def check() -> str:
        dtypes = (torch.float32, torch.bfloat16, torch.float16)
        cases = list(product(CASES, dtypes, (False, True)))
        worst = max(norm_error(device, compute, *case) for case in cases)
        return f"{len(cases)} cases, largest error {worst:.1e} beside rounding"

    return part(NORM, "--no-fused", check)


def norm_error(
    device: torch.device,
    compute: Norm,
    case: tuple[tuple[int, int, int, int], int, bool],
    dtype: torch.dtype,
    extreme: bool,
) -> float:
    """The largest relative error of any output. Raises Unproved where it is above the tolerance."""
    inputs = norm_inputs(*case, extreme, dtype)
    got, want = outputs(compute, inputs, device), outputs(batch_norm, inputs, None)
    largest = float(want.pop("seed").abs().max() * want.pop("scale").abs().max())
    worst = 0.0
    for name, b in want.items():
        # What is left of x's gradient may be far smaller than what was subtracted from what.
        smallest = largest if name == "gradient of x" else 1e-30
        a = got[name]
        rounding = torch.finfo(dtype).eps if a.dtype == dtype else 0.0
        difference = float((a.double() - b).abs().nan_to_num(math.inf).max())
        error = difference / max(float(b.abs().max()), smallest)
        allowed = (EXTREME_TOLERANCE if extreme else TOLERANCE) + rounding
        if not error <= allowed:
            kind = "extreme" if extreme else "random"
            raise Unproved(
                f"{name} is off by {error:.1e} (at most {allowed:.0e}) for {kind} {dtype} images, {case[0]}"
            )
        worst = max(worst, error - rounding)
    return worst


def norm_inputs(
    shape: tuple[int, int, int, int], slopes: int, shortcut: bool, extreme: bool, dtype: torch.dtype
) -> Inputs:
    """On the host. Extreme channels: far from zero, tiny, constant, and with one entry that outweighs all others."""
    channels, seeded = shape[1], torch.Generator().manual_seed(shape[1] + slopes)

    def drawn(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=seeded)

    def images(x_NCHW: Tensor) -> Tensor:
        return x_NCHW.to(dtype).contiguous(memory_format=torch.channels_last)

    x = drawn(*shape)
    if extreme:
        x[:, ::4] += 100
        x[:, 1::4] *= 1e-4
        x[:, 2::4] = 0
        x[0, 3::4, 0, 0] = 1e4
    inputs = Inputs(
        images(x), drawn(channels), drawn(channels), drawn(slopes).abs() if slopes else None,
        images(drawn(*shape)) if shortcut else None, torch.stack([drawn(channels), drawn(channels).abs()]),
        drawn(*shape),
    )  # fmt: skip
    straight = inputs._replace(slope_S=torch.ones(1), shortcut_NCHW=None)
    away = outputs(batch_norm, straight, None)["result"].abs() > SEED_MARGIN
    return inputs._replace(seed_NCHW=images(inputs.seed_NCHW * away))


def outputs(compute: Norm, inputs: Inputs, device: torch.device | None) -> dict[str, Tensor]:
    """Everything by name, on the host; without a device computed there in float64."""

    def there(x: Tensor) -> Tensor:
        return x.detach().double() if device is None else x.detach().to(device)

    running_2C = there(inputs.running_2C).clone()
    leaves = {
        name: there(x).requires_grad_()
        for name, x in zip(("x", "weight", "bias", "slope", "shortcut"), inputs, strict=False)
        if x is not None
    }
    y = compute(
        leaves["x"], leaves["weight"], leaves["bias"], running_2C[0], running_2C[1], MOMENTUM, EPS,
        leaves.get("slope", LEAK), leaves.get("shortcut"),
    )  # fmt: skip
    gradients = torch.autograd.grad(y, list(leaves.values()), there(inputs.seed_NCHW))
    found = {"result": y.detach(), "running mean": running_2C[0], "running variance": running_2C[1]}
    found |= {f"gradient of {name}": x for name, x in zip(leaves, gradients, strict=True)}
    if device is None:
        variance_C = torch.var(leaves["x"].detach(), (0, 2, 3), correction=0)
        scale_C = leaves["weight"].detach() / (variance_C + EPS).sqrt()
        found |= {"seed": there(inputs.seed_NCHW), "scale": scale_C}
    return {name: x.cpu() for name, x in found.items()}
