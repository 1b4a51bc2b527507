"""Whole images degraded by the operator's reference, on the CPU: the same on every machine, whatever trains there.

Axes: H W high- and h w low-resolution sides, C channels, N = 1 images.
"""

import hashlib

import torch
from fastsr_kernels.degrade import pack
from fastsr_kernels.degrade.draw import draw
from fastsr_kernels.degrade.reference import degrade_whole
from fastsr_kernels.degrade.settings import Frame, unpack
from torch import Tensor

from fastsr.config.fixed import FixedDegradation
from fastsr.data.degrade import degradation

FIRST_COUNTER = 2**62
"""No training counts its patches so far, so that no patch shares its random numbers with an image."""


def degrade_image(hr_HWC: Tensor, fixed: FixedDegradation, scale: int) -> Tensor:
    """The low resolution of an image, `[h, w, C]`: a pure function of its pixels, the settings and the seed.

    Args:
        hr_HWC: uint8 or uint16, sides multiples of the scale. The result has the same type, and levels of 8 bits.
    """
    height, width = hr_HWC.shape[:2]
    settings = degradation(fixed.config, scale)
    numbers_F = pack(settings)
    counter = torch.tensor(counter_of(hr_HWC))
    frame = settings.frame._replace(context=0)
    drawn = draw(frame, unpack(numbers_F), fixed.seed, counter, 1, (height, width))
    first, second = (
        max((int(d.height) + 1) / sides[0], (int(d.width) + 1) / sides[1])
        for d, sides in (
            (drawn.first, (height, width)),
            (drawn.second, (height // scale, width // scale)),
        )
    )
    finer = 1 if hr_HWC.dtype == torch.uint8 else 257
    hr_NCHW = (hr_HWC.permute(2, 0, 1)[None].float() / (255 * finer)).contiguous()
    fitting = narrowed(frame, first, second)
    lr_NChw, _, _ = degrade_whole(hr_NCHW, fitting, numbers_F, fixed.seed, counter)
    level_Chw = (lr_NChw[0] * 255).round() * finer
    return level_Chw.to(hr_HWC.dtype).permute(1, 2, 0).contiguous()


def narrowed(frame: Frame, first: float, second: float) -> Frame:
    """A frame whose canvases hold what was drawn for one image, not all that could be: a fraction of the memory."""
    return frame._replace(
        growth=min(frame.growth, max(1.0, first)),
        second_growth=min(frame.second_growth, max(1.0, second)),
    )


def counter_of(hr_HWC: Tensor) -> int:
    """The number of an image among all images, by its pixels: 61 bits, from FIRST_COUNTER on."""
    digest = hashlib.sha256(repr(tuple(hr_HWC.shape)).encode())
    digest.update(hr_HWC.contiguous().numpy().data)
    return FIRST_COUNTER + (int.from_bytes(digest.digest()[:8], "big") >> 3)
