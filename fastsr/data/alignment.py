"""Given pairs that are not of the same picture, or not in the same place: found by correlation.

Axes: H W high and h w low resolution.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fastsr.data.bicubic import downscale
from fastsr.data.formats import RGB8, PixelFormat, read_pixels
from fastsr.data.given import match, wrong_size
from fastsr.data.native import Samples
from fastsr.errors import UserError

REACH, MIDDLE = 4, 160
"""LR pixels that shifts are looked for in, and the side of the part that is compared."""
ALIKE, CLEARER = 0.6, 0.02
"""Least correlation of a pair, and by how much a shifted one must be higher to be told."""


def misalignment(hr: Samples, lr: Samples, scale: int) -> str | None:
    """Why two pictures of fitting sizes are no pair, if so: a shift in LR pixels, or another content."""
    height, width = (side // scale * scale for side in hr.shape[:2])
    small = downscale(torch.from_numpy(hr[:height, :width].copy()), scale).numpy()
    a, b = middle(small), middle(lr)
    reach = min(REACH, (min(a.shape) - 8) // 2)
    if reach < 1 or a.std() < 2:
        return None  # too small or too flat to tell
    rows, columns = (side - 2 * reach for side in a.shape)
    core = a[reach : reach + rows, reach : reach + columns]
    scores = {
        (dy - reach, dx - reach): correlation(core, b[dy : dy + rows, dx : dx + columns])
        for dy in range(2 * reach + 1)
        for dx in range(2 * reach + 1)
    }
    (dy, dx), best = max(scores.items(), key=lambda item: item[1])
    if best < ALIKE:
        return f"its low resolution shows another picture, or at another scale (correlation {best:.2f})"
    if best > scores[0, 0] + CLEARER:
        return f"its low resolution is shifted by {dx} pixels to the right and {dy} down"
    return None


def middle(image: Samples) -> NDArray[np.float64]:
    """Brightness, the mean of channels, of the middle of a picture, in levels of 8 bits."""
    top, left = (max(0, (side - MIDDLE) // 2) for side in image.shape[:2])
    levels = 1 if image.dtype == np.uint8 else 257
    return image[top : top + MIDDLE, left : left + MIDDLE].mean(2) / levels


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max((a * a).sum() * (b * b).sum(), 1e-9) ** 0.5)


def pair_problems(
    hr: list[Path], lr: list[Path], scale: int, form: PixelFormat = RGB8
) -> list[str]:
    """A line for every file without a partner, and every pair whose sizes, places or contents do not fit."""
    partners, problems = match(hr, lr, scale)
    for high, low in partners.items():
        try:
            a, b = read_pixels(high, form), read_pixels(low, form)
        except UserError as error:
            problems.append(f"{high} or {low}: {error}")
            continue
        sizes = (a.shape[0], a.shape[1]), (b.shape[0], b.shape[1])
        if problem := wrong_size(*sizes, scale) or misalignment(a, b, scale):
            problems.append(f"{high}: {problem}")
    return problems
