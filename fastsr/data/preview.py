"""A contact sheet of degraded patches: HR, LR, and what was drawn for each.

Axes: N patches, C channels, H W high and h w low resolution.
"""

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

GAP, LINE, TEXT_WIDTH = 8, 14, 330


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
    rows = [
        row_of(hr, lr, words_of(drawn, n))
        for n, (hr, lr) in enumerate(zip(hr_NCHW, lr_NChw, strict=True))
    ]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height + GAP for row in rows)), "white")
    for n, row in enumerate(rows):
        sheet.paste(row, (0, n * (row.height + GAP)))
    return sheet


def row_of(hr_CHW: Tensor, lr_Chw: Tensor, lines: list[str]) -> Image.Image:
    """HR, LR at the same size, and the words beside them."""
    hr, lr = Image.fromarray(to_bytes(hr_CHW)), Image.fromarray(to_bytes(lr_Chw))
    side = max(hr.width, LINE * (len(lines) + 1))
    row = Image.new("RGB", (2 * (side + GAP) + TEXT_WIDTH, side), "white")
    for k, image in enumerate((hr, lr)):
        row.paste(image.resize((side, side), Image.Resampling.NEAREST), (k * (side + GAP), 0))
    pen, font = ImageDraw.Draw(row), ImageFont.load_default(11)
    for k, line in enumerate(lines):
        pen.text((2 * (side + GAP), k * LINE), line, "black", font)
    return row


def to_bytes(x_CHW: Tensor) -> NDArray[np.uint8]:
    """`[H, W, 3]` to look at, as `as_rgb8` has it."""
    return as_rgb8((x_CHW.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy())


def words_of(drawn: Drawn, n: int) -> list[str]:
    """A line for each thing that was done to sample n."""
    lines = [*round_words(drawn.first, n, "1"), *round_words(drawn.second, n, "2")]
    final = drawn.final
    sinc = f"sinc {float(final.omega[n]):.2f} rad, {int(final.taps[n])} taps"
    ends = [f"{MODES[int(final.mode[n])]} to LR, {sinc if final.blurs[n] > 0 else 'no sinc'}"]
    jpeg = jpeg_words(drawn.second, n, "2")
    return [*lines, *([jpeg, *ends] if final.jpeg_first[n] > 0 else [*ends, jpeg])]


def round_words(drawn: RoundDrawn, n: int, name: str) -> list[str]:
    kind, taps = int(drawn.kind[n]), int(drawn.taps[n])
    if drawn.blurs[n] == 0:
        blur = "no blur"
    elif kind == SINC:
        blur = f"sinc {float(drawn.omega[n]):.2f} rad, {taps} taps"
    else:
        sigma = f"{float(drawn.sigma_x[n]):.2f} {float(drawn.sigma_y[n]):.2f}"
        power = f", exponent {float(drawn.beta[n]):.2f}" if kind > 1 else ""
        blur = f"{KERNELS[kind].replace('_', ' ')} {sigma} px, {taps} taps{power}"
    size = f"{MODES[int(drawn.mode[n])]} to {int(drawn.width[n])}x{int(drawn.height[n])}"
    strength = float(drawn.strength[n])
    noise = f"Poisson x {strength:.2f}" if drawn.poisson[n] > 0 else f"Gaussian {strength:.1f}"
    noise = f"{noise}{', grey' if drawn.gray[n] > 0 else ''}" if drawn.noises[n] > 0 else "no noise"
    lines = [f"{name}: {blur}", f"    {size}; {noise}"]
    return [*lines, jpeg_words(drawn, n, name)] if name == "1" else lines


def jpeg_words(drawn: RoundDrawn, n: int, name: str) -> str:
    quality = int(drawn.quality[n])
    return f"{name}: JPEG {quality}" if quality else f"{name}: no JPEG"
