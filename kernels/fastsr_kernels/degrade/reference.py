"""Definition of the degradations in plain torch: HR patches in, LR patches out, a pure function of (seed, step).

Two rounds of blur, resize, noise and JPEG, then the last resize and a sinc filter, with JPEG before or after. Every
sample draws its own parameters. Canvases have fixed sides, and each sample a valid size on them, so that operations
and shapes are the same in every step.

Axes: N samples, C channels, H W high- and h w low-resolution sides.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fastsr_kernels.degrade.blur import blur, final_kernels, round_kernels, sharpen
from fastsr_kernels.degrade.draw import Drawn, RoundDrawn, draw
from fastsr_kernels.degrade.jpeg import Constants, jpeg, levels
from fastsr_kernels.degrade.noise import add_noise
from fastsr_kernels.degrade.resize import resize
from fastsr_kernels.degrade.settings import Frame, unpack

PLAIN = ("blur", "resize", "noise")
SHUFFLED = ("noise", "resize", "noise", "blur", "noise", "resize", "noise")
"""Every order of the three is part of this sequence; each sample skips the others."""
ORDER_SLOTS = ((0, 1, 3), (0, 3, 5), (1, 2, 3), (1, 3, 4), (3, 4, 5), (3, 5, 6))
"""Slots of SHUFFLED that each of the six orders uses."""


class Canvas(NamedTuple):
    """Pictures of different sizes in one tensor."""

    x_NCHW: Tensor
    size_N2: Tensor
    """int64: height and width of the valid part, from the upper left corner."""


class Place(NamedTuple):
    """The arguments of noise besides the pixel."""

    seed: int
    counter_N: Tensor


def used_slots(order_N: Tensor, slots: int) -> list[Tensor]:
    """For each slot of SHUFFLED: the samples whose order uses it."""
    return [
        sum((order_N == k for k, used in enumerate(ORDER_SLOTS) if slot in used), order_N < 0) > 0
        for slot in range(slots)
    ]


def shown_where(active_N: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(active_N.view(-1, *(1,) * (new.ndim - 1)), new, old)


def resized(
    canvas: Canvas, new_N2: Tensor, mode_N: Tensor, active_N: Tensor, side: tuple[int, int]
) -> Canvas:
    """Resizes the active samples; the others keep their size, at which every mode is the identity."""
    target_N2 = shown_where(active_N, new_N2, canvas.size_N2)
    return Canvas(resize(canvas.x_NCHW, canvas.size_N2, target_N2, mode_N, side), target_N2)


def run_round(
    canvas: Canvas,
    drawn: RoundDrawn,
    side: tuple[int, int],
    number: int,
    shuffle: bool,
    taps: int,
    place: Place,
) -> Canvas:
    """Blur, resize and noise, in the drawn order where orders are shuffled."""
    kernels_NTT = round_kernels(drawn, taps)
    new_N2 = torch.stack([drawn.height, drawn.width], 1).long()
    steps = SHUFFLED if shuffle else PLAIN
    everywhere = torch.ones_like(drawn.order, dtype=torch.bool)
    used = used_slots(drawn.order, len(steps)) if shuffle else [everywhere] * len(steps)
    for slot, (step, active_N) in enumerate(zip(steps, used, strict=True)):
        if step == "blur":
            blurred = blur(canvas.x_NCHW, canvas.size_N2, kernels_NTT)
            canvas = canvas._replace(x_NCHW=shown_where(active_N, blurred, canvas.x_NCHW))
        elif step == "resize":
            last = "resize" not in steps[slot + 1 :]
            held = max(side[0], canvas.x_NCHW.shape[2]), max(side[1], canvas.x_NCHW.shape[3])
            canvas = resized(canvas, new_N2, drawn.mode, active_N, side if last else held)
        else:
            noisy = add_noise(
                canvas.x_NCHW, drawn, active_N & (drawn.noises > 0), *place, 16 * number + slot
            )
            canvas = canvas._replace(x_NCHW=noisy)
    return canvas


def compressed(canvas: Canvas, quality_N: Tensor, constants: Constants) -> Canvas:
    return canvas._replace(x_NCHW=jpeg(*canvas, quality_N, constants))


def finish(
    canvas: Canvas, drawn: Drawn, low: tuple[int, int], taps: int, constants: Constants
) -> Tensor:
    """The last resize to the LR size and sinc filter, with the second JPEG before or after; rounded to 8 bits."""
    quality, first = drawn.second.quality, drawn.final.jpeg_first
    canvas = compressed(canvas, quality * first, constants)
    low_N2 = torch.ones_like(canvas.size_N2) * torch.stack(
        [torch.full((), side, device=canvas.size_N2.device) for side in low]
    )
    everywhere = torch.ones_like(first, dtype=torch.bool)
    canvas = resized(canvas, low_N2, drawn.final.mode, everywhere, low)
    filtered = blur(*canvas, final_kernels(drawn.final, taps))
    canvas = compressed(canvas._replace(x_NCHW=filtered), quality * (1 - first), constants)
    return levels(canvas.x_NCHW) * (1 / 255)


def cut(x_NCHW: Tensor, top_N: Tensor, left_N: Tensor, side: tuple[int, int]) -> Tensor:
    """A patch of each sample, channels-last in memory."""
    device = x_NCHW.device
    index_N = torch.arange(len(x_NCHW), device=device)[:, None, None]
    row, column = (
        first_N.long()[:, None] + torch.arange(s, device=device)
        for first_N, s in zip((top_N, left_N), side, strict=True)
    )
    return x_NCHW.movedim(1, -1)[index_N, row[:, :, None], column[:, None, :]].movedim(-1, 1)


def degrade_whole(
    hr_NCHW: Tensor, frame: Frame, numbers_F: Tensor, seed: int, step: Tensor
) -> tuple[Tensor, Tensor, Drawn]:
    """`lr_NChw`, the HR images (sharpened where that is set), both uncut, and what was drawn."""
    batch, _, height, width = hr_NCHW.shape
    scale, taps, numbers = frame.scale, frame.taps, unpack(numbers_F)
    drawn = draw(frame, numbers, seed, step, batch, (height, width))
    place = Place(seed, step * batch + torch.arange(batch, device=step.device))
    hr_NCHW = sharpen(hr_NCHW, numbers.usm_taps) if frame.usm else hr_NCHW
    sides = [frame.canvas_sides(side) for side in (height, width)]
    size_N2 = torch.stack(
        [torch.full((batch,), side, device=step.device) for side in (height, width)], 1
    )
    canvas = Canvas(hr_NCHW, size_N2)
    first, second = ((sides[0][k], sides[1][k]) for k in range(2))
    shuffle, constants = frame.shuffle, Constants.of(numbers.dct)
    canvas = run_round(canvas, drawn.first, first, 0, shuffle, taps, place)
    canvas = compressed(canvas, drawn.first.quality, constants)
    canvas = run_round(canvas, drawn.second, second, 1, shuffle, taps, place)
    low = height // scale, width // scale
    return finish(canvas, drawn, low, taps, constants), hr_NCHW, drawn


def degrade(
    hr_NCHW: Tensor, frame: Frame, numbers_F: Tensor, seed: int, step: Tensor
) -> tuple[Tensor, Tensor]:
    """LR and HR patches `lr_NChw, hr_NCHW` in [0, 1], channels-last; LR is rounded to 8 bits.

    Args:
        hr_NCHW: in [0, 1], sides multiples of the scale. They are larger than the patches by `frame.context`.
        numbers_F: `settings.pack` of the degradation, on the device of `step`.
        step: int64 scalar, not read by the host.
    """
    height, width = hr_NCHW.shape[2:]
    lr, hr, drawn = degrade_whole(hr_NCHW, frame, numbers_F, seed, step)
    scale, context = frame.scale, frame.context
    top, left = drawn.final.top, drawn.final.left
    side = height - context, width - context
    return (
        cut(lr, top, left, (side[0] // scale, side[1] // scale)),
        cut(hr, top * scale, left * scale, side),
    )
