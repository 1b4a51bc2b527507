"""Gaussian and Poisson noise from the counter-based generator.

Axes: N samples, C channels, H W sides of a canvas.
"""

import torch
from torch import Tensor

from fastsr_kernels.degrade.draw import NOISE, RoundDrawn, unit
from fastsr_kernels.degrade.jpeg import levels
from fastsr_kernels.patch_sampler.reference import philox

PEAK = 256.0
"""Mean count of Poisson noise at white."""
FEW, MOST_OF_FEW = 4.0, 20
"""Counts of a mean below FEW are found by search; more than MOST_OF_FEW come up once in 10^9."""
LUMA = (0.2989, 0.587, 0.114)
TWO_PI = 6.283185307179586


def words_at(
    seed: int, counter_N: Tensor, slot: int, height: int, width: int, group: int
) -> tuple[Tensor, ...]:
    """Four random words for every pixel, `[N, H, W]`: a function of its row and column, whatever the canvas."""
    device = counter_N.device
    row, column = torch.arange(height, device=device), torch.arange(width, device=device)
    pixel_HW = (row[:, None] << 16) | column[None, :]
    counter_NHW = counter_N[:, None, None].expand(-1, height, width)
    tag = torch.full_like(counter_NHW, NOISE + slot + (group << 8))
    return philox(counter_NHW, seed, pixel_HW.expand_as(counter_NHW), tag)


def normals(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two standard normal values of two words, within 5.9 sigma. Source: Box and Muller, 1958."""
    radius = (-2 * (unit(a) + 2.0**-25).log()).sqrt()
    angle = TWO_PI * unit(b)
    return radius * angle.cos(), radius * angle.sin()


def many(mean: Tensor, z: Tensor) -> Tensor:
    """The Poisson count at the quantile of a normal value, for means from FEW on.

    Source: Giles, "Algorithm 955: approximation of the inverse Poisson cumulative distribution function", 2016.
    """
    root = mean.sqrt()
    z2 = z * z
    first = mean + root * z + (1 / 3 + z2 / 6)
    second = z * (-1 / 36 - z2 / 72) / root
    third = (-8 / 405 + z2 * (7 / 810 + z2 / 270)) / mean
    return (first + second + third).floor().clamp(min=0)


def few(mean: Tensor, u: Tensor) -> Tensor:
    """The Poisson count at a quantile, by search from zero, for means below FEW."""
    chance = (-mean).exp()
    below, count = chance, torch.zeros_like(mean)
    for k in range(1, MOST_OF_FEW + 1):
        count = count + (u >= below).float()
        chance = chance * mean * (1 / k)
        below = below + chance
    return count


def poisson(mean: Tensor, z: Tensor, u: Tensor) -> Tensor:
    """Counts of these means, by a normal value where they are many and a uniform one where they are few."""
    return torch.where(mean < FEW, few(mean.clamp(max=FEW), u), many(mean.clamp(min=FEW), z))


def shot_noise(x: Tensor, z: Tensor, u: Tensor) -> Tensor:
    """Poisson noise of pixels in [0, 1], which are first rounded to 8 bits."""
    level = levels(x) * (1 / 255)
    return poisson(level * PEAK, z, u) * (1 / PEAK) - level


def luma(x_NCHW: Tensor) -> Tensor:
    """Brightness `[N, H, W]`: of three channels as the eye has it, else their mean."""
    if x_NCHW.shape[1] != 3:
        return x_NCHW.mean(1)
    red, green, blue = x_NCHW.unbind(1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def add_noise(
    x_NCHW: Tensor, drawn: RoundDrawn, active_N: Tensor, seed: int, counter_N: Tensor, slot: int
) -> Tensor:
    """Adds each sample's noise and clips to [0, 1]; samples without noise stay as they are.

    Args:
        counter_N: of the samples, step * batch + n. slot: tells this noise from others of the sample.
    """
    _, channels, height, width = x_NCHW.shape
    z: list[Tensor] = []
    u: list[Tensor] = []
    gray_z = gray_u = torch.empty(0)
    for group in range(-(-channels // 3)):
        a, b, c, d = words_at(seed, counter_N, slot, height, width, group)
        (z0, z1), (z2, z3) = normals(a, b), normals(c, d)
        z, u = [*z, z0, z1, z2], [*u, unit(a), unit(b), unit(c)]
        gray_z, gray_u = (z3, unit(d)) if group == 0 else (gray_z, gray_u)
    z_NCHW, u_NCHW = torch.stack(z[:channels], 1), torch.stack(u[:channels], 1)
    is_gray, is_poisson, strength = (
        value_N[:, None, None, None] for value_N in (drawn.gray, drawn.poisson, drawn.strength)
    )
    white = torch.where(is_gray > 0, gray_z[:, None], z_NCHW) * (strength * (1 / 255))
    shot = torch.where(
        is_gray > 0,
        shot_noise(luma(x_NCHW), gray_z, gray_u)[:, None],
        shot_noise(x_NCHW, z_NCHW, u_NCHW),
    )
    noisy = (x_NCHW + torch.where(is_poisson > 0, shot * strength, white)).clamp(0, 1)
    return torch.where(active_N[:, None, None, None], noisy, x_NCHW)
