"""Parameters of every sample, drawn from (seed, step, sample) by the counter-based generator.

Axes: N samples, K random words of a sample, F numbers of the settings.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastsr_kernels.degrade.settings import Frame, Numbers, Round
from fastsr_kernels.patch_sampler.reference import below, philox

WORDS = 48
"""Random words of a sample: 20 for each round, 8 for the end."""
ROUND_WORDS = 20
SINC = 6
"""Kind of blur after those of `settings.KERNELS`."""
ORDERS = 6
"""Orders of noise, resize and blur in a round that is shuffled."""
PARAMETERS, NOISE = 1, 2
"""Fourth word of the generator's counter: that of parameters, the first of noise. Patches have 0."""


class RoundDrawn(NamedTuple):
    """Parameters of one round for each sample: fp32 `[N]`, whole numbers and yes (1) or no (0) too."""

    blurs: Tensor
    kind: Tensor
    """Index into KERNELS, or SINC."""
    taps: Tensor
    """Side of the blur kernel."""
    sigma_x: Tensor
    sigma_y: Tensor
    theta: Tensor
    """Turn of the kernel in radians."""
    beta: Tensor
    """Exponent; 1 where it has none."""
    omega: Tensor
    """Cutoff of a sinc filter, in radians a pixel."""
    height: Tensor
    """After resizing."""
    width: Tensor
    mode: Tensor
    """Index into MODES."""
    noises: Tensor
    poisson: Tensor
    """Poisson rather than Gaussian noise."""
    strength: Tensor
    """Standard deviation in levels of 255, or the factor of Poisson noise."""
    gray: Tensor
    quality: Tensor
    """Of JPEG; 0 without."""
    order: Tensor
    """Of noise, resize and blur: index into pipeline.ORDER_SLOTS."""


class FinalDrawn(NamedTuple):
    """Parameters of the last stages: fp32 `[N]`."""

    blurs: Tensor
    taps: Tensor
    omega: Tensor
    mode: Tensor
    jpeg_first: Tensor
    """JPEG comes before the last resize and sinc rather than after them."""
    top: Tensor
    """First row of the LR patch that is cut out, in LR pixels."""
    left: Tensor


class Drawn(NamedTuple):
    """All parameters of a batch."""

    first: RoundDrawn
    second: RoundDrawn
    final: FinalDrawn

    def table(self) -> Tensor:
        """All of them, one column each: `[N, 41]`."""
        return torch.stack([*self.first, *self.second, *self.final], 1)


def words_of(seed: int, step: Tensor, batch: int) -> Tensor:
    """int64 `[N, WORDS]` of 32 random bits. Sample n of step s has counter s * batch + n, as its patch has."""
    index_N = torch.arange(batch, device=step.device)
    group_K = torch.arange(WORDS // 4, device=step.device)
    counter_NK = (step * batch + index_N)[:, None].expand(batch, WORDS // 4)
    tag = torch.full_like(counter_NK, PARAMETERS)
    words = philox(counter_NK, seed, group_K.expand_as(counter_NK), tag)
    return torch.stack(words, 2).flatten(1)


def unit(words: Tensor) -> Tensor:
    """Words as fp32 in [0, 1): their upper 24 bits, exactly."""
    return (words >> 8).float() * 2.0**-24


def between(words: Tensor, bounds: Any) -> Tensor:
    """Uniform from the first to the second of two bounds."""
    low, high = bounds[0], bounds[1]
    return low + (high - low) * unit(words)


def happens(words: Tensor, probability: Any) -> Tensor:
    return (unit(words) < probability).float()


def one_of(words: Tensor, running_sums: Any) -> Tensor:
    """Index of an alternative, by running sums of the probabilities."""
    return (unit(words)[:, None] >= running_sums[None, :-1]).sum(1).float()


def odd_side(words: Tensor, bounds: tuple[int, int]) -> Tensor:
    """An odd number from the first to the second bound."""
    low, high = bounds
    return (low + 2 * below(words, (high - low) // 2 + 1)).float()


def exponent(side: Tensor, words: Tensor, bounds: Any) -> Tensor:
    """From the lower bound to 1 in half of the cases, from 1 to the upper one in the others."""
    u, low, high = unit(words), bounds[0], bounds[1]
    return torch.where(unit(side) < 0.5, low + (1 - low) * u, 1 + (high - 1) * u)


def factor(direction: Tensor, words: Tensor, numbers: Round) -> Tensor:
    """Factor of a resize: up, down or 1."""
    u, (low, high) = unit(words), numbers.resize_range
    chosen = one_of(direction, numbers.resize_prob)
    down = low + (1 - low) * u
    return torch.where(
        chosen == 0, 1 + (high - 1) * u, torch.where(chosen == 1, down, torch.ones_like(u))
    )


def draw_round(
    w: tuple[Tensor, ...], numbers: Round, base: tuple[int, int], frame: Frame
) -> RoundDrawn:
    """Parameters of one round from its 20 words; `base` are the height and width that its factor refers to."""
    is_sinc = unit(w[1]) < numbers.sinc_prob
    kind = torch.where(is_sinc, SINC, one_of(w[0], numbers.kernel_prob))
    taps = odd_side(w[2], (frame.least_taps, frame.taps))
    sigma_x, sigma_y = between(w[3], numbers.blur_sigma), between(w[4], numbers.blur_sigma)
    is_turned = (kind == 1) | (kind == 3) | (kind == 5)
    generalised, plateau = (kind == 2) | (kind == 3), (kind == 4) | (kind == 5)
    beta = torch.where(
        generalised,
        exponent(w[6], w[7], numbers.betag_range),
        torch.where(plateau, exponent(w[6], w[7], numbers.betap_range), torch.ones_like(sigma_x)),
    )
    scale = factor(w[10], w[11], numbers)
    height, width = ((side * scale).floor().clamp(min=1) for side in base)
    poisson = 1 - happens(w[13], numbers.gaussian_noise_prob)
    gaussian_strength, poisson_strength = (
        between(w[14], bounds) for bounds in (numbers.noise_range, numbers.poisson_scale_range)
    )
    low, high = numbers.jpeg_range
    qualities = (high - low + 1).long()  # pyright: ignore[reportAttributeAccessIssue]
    return RoundDrawn(
        blurs=happens(w[9], numbers.blur_prob),
        kind=kind,
        taps=taps,
        sigma_x=sigma_x,
        sigma_y=torch.where(is_turned, sigma_y, sigma_x),
        theta=torch.where(is_turned, PI * (2 * unit(w[5]) - 1), 0.0),
        beta=beta,
        omega=cutoff(w[8], taps),
        height=height,
        width=width,
        mode=below(w[12], 3).float(),
        noises=happens(w[17], numbers.noise_prob),
        poisson=poisson,
        strength=torch.where(poisson > 0, poisson_strength, gaussian_strength),
        gray=happens(w[15], numbers.gray_noise_prob),
        quality=happens(w[18], numbers.jpeg_prob) * (low + below(w[16], qualities).float()),
        order=below(w[19], ORDERS).float(),
    )


PI = 3.141592653589793


def cutoff(words: Tensor, taps: Tensor) -> Tensor:
    """Cutoff of a sinc filter up to pi: from pi/3 for kernels below 13 taps, from pi/5 for larger ones."""
    low = torch.where(taps < 13, PI / 3, PI / 5)
    return low + (PI - low) * unit(words)


def draw(
    frame: Frame,
    numbers: Numbers,
    seed: int,
    step: Tensor,
    batch: int,
    size: tuple[int, int],
) -> Drawn:
    """Parameters of every sample of a step.

    Args:
        numbers: on the device of `step`. step: int64 scalar, not read by the host.
        size: height and width of the input in pixels.
    """
    w = words_of(seed, step, batch).unbind(1)
    low = size[0] // frame.scale, size[1] // frame.scale
    first = draw_round(w[:ROUND_WORDS], numbers.first, size, frame)
    second = draw_round(w[ROUND_WORDS : 2 * ROUND_WORDS], numbers.second, low, frame)
    last, places = w[2 * ROUND_WORDS :], frame.context // frame.scale + 1
    final = FinalDrawn(
        blurs=happens(last[0], numbers.final_sinc_prob),
        taps=odd_side(last[1], (frame.least_taps, frame.taps)),
        omega=PI / 3 + (PI - PI / 3) * unit(last[2]),
        mode=below(last[3], 3).float(),
        jpeg_first=(last[4] >> 31).float(),
        top=below(last[5], places).float(),
        left=below(last[6], places).float(),
    )
    return Drawn(first, second, final)
