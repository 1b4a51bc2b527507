"""A contact sheet of degraded patches: HR, LR, and what was drawn for each.

Axes: N patches, C channels, H W high and h w low resolution.
"""

from math import ceil

import numpy as np
import torch
from fastsr_kernels.degrade import pack, reference
from fastsr_kernels.degrade.draw import SINC, Drawn, RoundDrawn, draw
from fastsr_kernels.degrade.settings import KERNELS, MODES, unpack
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fastsr.config.degrade import DegradeConfig
from fastsr.data.degrade import degradation
from fastsr.data.formats import as_rgb8
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler

GAP, LINE, TEXT_WIDTH = 12, 15, 360
INK, MUTED, PAGE = "#1c2024", "#565e67", "white"


def contact_sheet(
    store: PixelStore, config: DegradeConfig, *, scale: int, patch: int, count: int, seed: int
) -> Image.Image:
    """The first patches of a training with this seed: HR, LR enlarged by nearest neighbour, and a few words."""
    settings = degradation(config, scale)
    side = patch + settings.context
    sampler = PatchSampler(store, scale=scale, patch=side, batch=count, seed=seed)
    step = torch.tensor(0, device=sampler.device)
    numbers_F = pack(settings, sampler.device)
    _, whole_NCHW = sampler.draw(step)
    frame = settings.frame
    lr_NChw, hr_NCHW = reference.degrade(whole_NCHW, frame, numbers_F, seed, step)
    drawn = draw(frame, unpack(numbers_F), seed, step, count, (side, side))
    words = [words_of(drawn, n) for n in range(count)]
    # Whole multiples, so that every pixel is shown as large as the others.
    larger = ceil(LINE * max(map(len, words)) / patch)
    rows = [
        row_of(hr, lr, lines, larger * patch)
        for hr, lr, lines in zip(hr_NCHW, lr_NChw, words, strict=True)
    ]
    small = patch // scale
    names = (
        f"high resolution, {patch}x{patch}",
        f"low, {small}x{small}",
        "drawn for this patch, in order",
    )
    return sheet_of(rows, names)


def sheet_of(rows: list[Image.Image], names: tuple[str, str, str]) -> Image.Image:
    """Rows of one size below each other, under the names of their columns."""
    width, height = rows[0].size
    sheet = Image.new("RGB", (width + 2 * GAP, 2 * GAP + LINE + len(rows) * (height + GAP)), PAGE)
    side = (width - TEXT_WIDTH) // 2
    for k, name in enumerate(names):
        write(sheet, (GAP + k * side, GAP), name, MUTED)
    for n, row in enumerate(rows):
        sheet.paste(row, (GAP, 2 * GAP + LINE + n * (height + GAP)))
    return sheet


def row_of(hr_CHW: Tensor, lr_Chw: Tensor, lines: list[str], side: int) -> Image.Image:
    """HR and LR, both with this side, and the words beside them."""
    hr, lr = Image.fromarray(to_bytes(hr_CHW)), Image.fromarray(to_bytes(lr_Chw))
    row = Image.new("RGB", (2 * (side + GAP) + TEXT_WIDTH, side), PAGE)
    for k, image in enumerate((hr, lr)):
        row.paste(image.resize((side, side), Image.Resampling.NEAREST), (k * (side + GAP), 0))
    for k, line in enumerate(lines):
        write(row, (2 * (side + GAP), k * LINE), line, INK)
    return row


def write(image: Image.Image, place: tuple[int, int], text: str, colour: str) -> None:
    ImageDraw.Draw(image).text(place, text, colour, ImageFont.load_default(12))


def to_bytes(x_CHW: Tensor) -> NDArray[np.uint8]:
    """`[H, W, 3]` to look at, as `as_rgb8` has it."""
    return as_rgb8((x_CHW.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def words_of(drawn: Drawn, n: int) -> list[str]:
    """A line for each thing that was done to sample n, in order."""
    final = drawn.final
    sinc = f"sinc filter, cutoff {float(final.omega[n]):.2f}, {taps_of(int(final.taps[n]))}"
    ends = [
        f"{MODES[int(final.mode[n])]} to the low resolution",
        sinc if final.blurs[n] > 0 else "",
    ]
    jpeg = jpeg_words(drawn.second, n)
    last = [jpeg, *ends] if final.jpeg_first[n] > 0 else [*ends, jpeg]
    lines = [
        *round_words(drawn.first, n),
        jpeg_words(drawn.first, n),
        *round_words(drawn.second, n),
        *last,
    ]
    return [line for line in lines if line] or ["nothing"]


def round_words(drawn: RoundDrawn, n: int) -> list[str]:
    """Blur, resize and noise; empty where there is none."""
    size = f"{MODES[int(drawn.mode[n])]} to {int(drawn.width[n])}x{int(drawn.height[n])}"
    strength = float(drawn.strength[n])
    noise = (
        f"Poisson noise x{strength:.2f}"
        if drawn.poisson[n] > 0
        else f"Gaussian noise {strength:.1f}"
    )
    noise = f"{noise}{', grey' if drawn.gray[n] > 0 else ''}" if drawn.noises[n] > 0 else ""
    return [blur_words(drawn, n), size, noise]


def blur_words(drawn: RoundDrawn, n: int) -> str:
    """The kernel in the words of the settings, with its widths in pixels; empty where there is none."""
    kind, taps = int(drawn.kind[n]), taps_of(int(drawn.taps[n]))
    if drawn.blurs[n] == 0:
        return ""
    if kind == SINC:
        return f"sinc filter, cutoff {float(drawn.omega[n]):.2f}, {taps}"
    name = KERNELS[kind].replace("_", " ").replace("iso", "isotropic")
    wide, high = float(drawn.sigma_x[n]), float(drawn.sigma_y[n])
    sigma = f"{wide:.2f}" if kind % 2 == 0 else f"{wide:.2f} and {high:.2f}"
    exponent = f", exponent {float(drawn.beta[n]):.2f}" if kind > 1 else ""
    return f"blur {name}, sigma {sigma}{exponent}, {taps}"


def taps_of(taps: int) -> str:
    return f"{taps} taps"


def jpeg_words(drawn: RoundDrawn, n: int) -> str:
    """Empty where there is none."""
    quality = int(drawn.quality[n])
    return f"JPEG {quality}" if quality else ""
