"""Test images, and generators run on them whole: the part of evaluation that training's validation shares."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fastsr.bicubic import Border, downscale, upscale
from fastsr.errors import UserError
from fastsr.images import find_images, is_grey, read_rgb8
from fastsr.models import SRResNet
from fastsr.precision import Precision
from fastsr.quality import SSIM_WINDOW, psnr_y, ssim_y


@dataclass(frozen=True)
class Pair:
    """One test image, uint8 `[height, width, 3]` in both resolutions."""

    name: str
    lr: Tensor
    hr: Tensor
    grey: bool = False
    """Whether the file stores grey samples."""
    cropped: bool = False
    """Whether the file is larger: no multiple of the scale, or more than its given low resolution covers."""


@dataclass(frozen=True)
class Score:
    psnr: float
    """dB."""
    ssim: float


def load_pairs(sources: tuple[Path, ...], scale: int, border: Border = "replicate") -> Iterator[Pair]:
    """Test images, cropped to multiples of the scale, with their bicubic low resolution.

    Raises UserError listing all files that cannot be used; nothing is skipped.
    """
    bad: list[str] = []
    for path in find_images(sources):
        try:
            yield load_pair(path, scale, border)
        except UserError as error:
            bad.append(f"{path}: {error}")
    if bad:
        raise UserError(f"{len(bad)} test images cannot be used; mend or remove them:\n  " + "\n  ".join(bad))


def load_pair(path: Path, scale: int, border: Border = "replicate", lr_path: Path | None = None) -> Pair:
    """One test image, with a given low resolution or our own. Raises UserError with the reason, without the path."""
    hr = torch.from_numpy(read_rgb8(path))
    lr = torch.from_numpy(read_rgb8(lr_path)) if lr_path else None
    height, width = cropped_size(hr, lr, scale)
    cropped = hr.shape[:2] != (height, width)
    hr = hr[:height, :width].contiguous()
    return Pair(path.name, downscale(hr, scale, border) if lr is None else lr, hr, is_grey(path), cropped)


def cropped_size(hr: Tensor, lr: Tensor | None, scale: int) -> tuple[int, int]:
    """What is compared of an image: a multiple of the scale, or just what a given low resolution covers.

    Raises UserError where that is too small, or the sizes do not belong together.
    """
    size = (hr.shape[0], hr.shape[1]) if lr is None else (lr.shape[0] * scale, lr.shape[1] * scale)
    left = [full - part for full, part in zip(hr.shape[:2], size, strict=True)]
    if lr is not None and not all(0 <= pixels < scale for pixels in left):
        given, of = f"{lr.shape[1]}x{lr.shape[0]}", f"{hr.shape[1]}x{hr.shape[0]}"
        raise UserError(f"is {of}, and its low resolution is {given}, which at x{scale} is {size[1]}x{size[0]}")
    height, width = (side // scale * scale for side in size)
    if min(height, width) < 2 * scale + SSIM_WINDOW:
        raise UserError(f"is {hr.shape[1]}x{hr.shape[0]}, too small to compare at x{scale}")
    return height, width


@torch.no_grad()
def super_resolve(generator: SRResNet, lr_hwC: Tensor, precision: Precision | None = None) -> Tensor:
    """uint8 `[h, w, 3]` to uint8 `[scale*h, scale*w, 3]`, rounded; runs where the generator is, returns to the CPU."""
    device = next(generator.parameters()).device
    x = lr_hwC.to(device).permute(2, 0, 1)[None].float() / 255
    # Every image has another size: for cuDNN to search for the best algorithm would not pay.
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
    with exact, (precision or Precision()).autocast(device):
        sr = generator(x.contiguous(memory_format=torch.channels_last))[0]
    return (sr * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu()


def score(sr: Tensor, pair: Pair, scale: int) -> Score:
    return Score(psnr_y(sr, pair.hr, scale, pair.grey), ssim_y(sr, pair.hr, scale, pair.grey))


def evaluate(
    generators: Mapping[str, SRResNet], pairs: Iterator[Pair] | list[Pair], scale: int, border: Border = "replicate"
) -> dict[str, Score]:
    """Mean scores over images of each generator, and of `bicubic` before them."""
    methods: dict[str, Callable[[Tensor], Tensor]] = {"bicubic": lambda lr: upscale(lr, scale, border)}
    for name, generator in generators.items():
        methods[name] = lambda lr, g=generator: super_resolve(g, lr)
    scores = [{name: score(method(pair.lr), pair, scale) for name, method in methods.items()} for pair in pairs]
    return {name: mean_score([row[name] for row in scores]) for name in methods}


def mean_score(scores: list[Score]) -> Score:
    return Score(sum(s.psnr for s in scores) / len(scores), sum(s.ssim for s in scores) / len(scores))
