"""Ranges and probabilities of the degradations, and the sides of the canvases that follow from them."""

from math import exp
from typing import NamedTuple

import torch
from torch import Tensor

from fastsr_kernels.degrade.dct import constants

KERNELS = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
MODES = ("area", "bilinear", "bicubic")


class Round(NamedTuple):
    """One round of blur, resize, noise and JPEG. Every number may be a 0-d tensor, every tuple a tensor."""

    blur_prob: float
    kernel_prob: tuple[float, ...]
    """Of each of KERNELS; they need not sum to one."""
    sinc_prob: float
    """Of a sinc filter instead of those."""
    blur_sigma: tuple[float, float]
    """Pixels."""
    betag_range: tuple[float, float]
    """Exponent of generalised Gaussians; half of them are drawn below 1, half above."""
    betap_range: tuple[float, float]
    """Exponent of plateaus, likewise."""
    resize_prob: tuple[float, ...]
    """Up, down, keep; they need not sum to one."""
    resize_range: tuple[float, float]
    """Least and greatest factor: down is drawn from the least to 1, up from 1 to the greatest."""
    noise_prob: float
    gaussian_noise_prob: float
    """Gaussian rather than Poisson."""
    noise_range: tuple[float, float]
    """Standard deviation of Gaussian noise in levels of 255."""
    poisson_scale_range: tuple[float, float]
    """Factor of Poisson noise."""
    gray_noise_prob: float
    """One noise for all channels."""
    jpeg_prob: float
    jpeg_range: tuple[float, float]
    """Least and greatest quality, whole numbers from 1 to 100."""


class Degradation(NamedTuple):
    """The whole pipeline. Numbers that shapes depend on are Python's; `pack` makes a tensor of the others."""

    scale: int
    """HR pixels to one LR pixel."""
    context: int
    """HR pixels, a multiple of the scale, by which the input is larger than the patch that is cut out at the end."""
    usm: bool
    """Sharpen HR first, as target and as input."""
    shuffle: bool
    """Draw the order of blur, resize and noise in each round."""
    blur_taps: tuple[int, int]
    """Least and greatest side of a blur kernel, odd."""
    first: Round
    second: Round
    final_sinc_prob: float

    @property
    def frame(self) -> "Frame":
        return Frame(
            self.scale,
            self.context,
            self.usm,
            self.shuffle,
            *self.blur_taps,
            self.first.resize_range[1],
            self.second.resize_range[1],
        )


class Frame(NamedTuple):
    """Numbers of Python's that shapes and the sequence of operations depend on."""

    scale: int
    context: int
    usm: bool
    shuffle: bool
    least_taps: int
    taps: int
    """Side of the tensor that holds blur kernels."""
    growth: float
    """Greatest factor of the first round's resize; of the second's, with regard to LR."""
    second_growth: float

    def low_side(self, side: int) -> int:
        """Side of the LR image before it is cut, in pixels."""
        return side // self.scale

    def canvas_sides(self, side: int) -> tuple[int, int]:
        """Sides of the canvases of both rounds, which hold whatever is drawn."""
        low = self.low_side(side)
        return max(side, grown(side, self.growth)), max(1, low, grown(low, self.second_growth))


def grown(side: int, growth: float) -> int:
    """The greatest side that is drawn: in fp32, whose product may round up to a whole number that this one misses."""
    return int(side * growth * (1 + 1e-6))


WIDTHS = {
    "blur_prob": 1, "kernel_prob": 6, "sinc_prob": 1, "blur_sigma": 2, "betag_range": 2, "betap_range": 2,
    "resize_prob": 3, "resize_range": 2, "noise_prob": 1, "gaussian_noise_prob": 1, "noise_range": 2,
    "poisson_scale_range": 2, "gray_noise_prob": 1, "jpeg_prob": 1, "jpeg_range": 2,
}  # fmt: skip
"""Numbers of each field of a round, in their order."""
ROUND_NUMBERS = sum(WIDTHS.values())
DCT_AT = 2 * ROUND_NUMBERS + 1
"""Place of JPEG's constants, after both rounds and the last sinc filter."""
USM_AT = DCT_AT + 256
"""Place of the taps of unsharp masking."""
USM_SIGMA, USM_RADIUS = 8.0, 25
NUMBERS = USM_AT + 2 * USM_RADIUS + 1


def pack(degradation: Degradation, device: torch.device | str = "cpu") -> Tensor:
    """Every range and probability, and JPEG's constants, as one fp32 vector.

    It is made once, since a step makes no tensors of Python's numbers. Probabilities of alternatives become running
    sums that end at one.
    """
    numbers: list[float] = []
    for a_round in (degradation.first, degradation.second):
        for name in WIDTHS:
            value = getattr(a_round, name)
            values = [float(x) for x in value] if isinstance(value, tuple) else [float(value)]
            numbers += running_sum(values) if name in ("kernel_prob", "resize_prob") else values
    return torch.tensor(
        [*numbers, degradation.final_sinc_prob, *constants(), *usm_taps()],
        dtype=torch.float32,
        device=device,
    )


def usm_taps() -> list[float]:
    """A Gaussian of sigma 8, which OpenCV takes for 51 taps."""
    offsets = range(-USM_RADIUS, USM_RADIUS + 1)
    weights = [exp(-0.5 * (offset / USM_SIGMA) ** 2) for offset in offsets]
    return [weight / sum(weights) for weight in weights]


def running_sum(weights: list[float]) -> list[float]:
    """Partial sums over the whole sum; the last is exactly one."""
    total, so_far, sums = sum(weights), 0.0, list[float]()
    for weight in weights:
        so_far += weight
        sums.append(so_far / total)
    return [*sums[:-1], 1.0]


class Numbers(NamedTuple):
    """The packed numbers of `pack`, as views."""

    first: Round
    second: Round
    final_sinc_prob: Tensor
    dct: Tensor
    """`dct.constants`."""
    usm_taps: Tensor


def unpack(numbers_F: Tensor) -> Numbers:
    first, second = (
        unpack_round(numbers_F[k * ROUND_NUMBERS : (k + 1) * ROUND_NUMBERS]) for k in range(2)
    )
    return Numbers(
        first, second, numbers_F[DCT_AT - 1], numbers_F[DCT_AT:USM_AT], numbers_F[USM_AT:]
    )


def unpack_round(numbers_F: Tensor) -> Round:
    parts = dict(zip(WIDTHS, numbers_F.split(list(WIDTHS.values())), strict=True))
    views = {name: part[0] if WIDTHS[name] == 1 else part for name, part in parts.items()}
    return Round(**views)  # pyright: ignore[reportArgumentType]
