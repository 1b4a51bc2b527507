"""Test images in both resolutions, read and checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fastsr.config.fixed import FixedDegradation
from fastsr.console import counted
from fastsr.data.bicubic import Border, downscale
from fastsr.data.formats import ARRAY, RGB8, PixelFormat, read_pixels
from fastsr.data.images import find_images, is_grey
from fastsr.data.whole import degrade_image
from fastsr.errors import UserError
from fastsr.evaluation.protocol import GIVEN, Protocol
from fastsr.evaluation.psnr_ssim import SSIM_WINDOW
from fastsr.evaluation.test_sets import ImageFiles


@dataclass(frozen=True)
class Pair:
    """One test image, `[height, width, C]`, uint8 or uint16, in both resolutions."""

    name: str
    lr: Tensor
    hr: Tensor
    grey: bool = False
    """The file stores grey samples, which were read as three equal channels."""
    cropped: bool = False
    """The file is larger: no multiple of the scale, or more than its given low resolution covers."""


def load_pairs(
    sources: tuple[Path, ...],
    scale: int,
    border: Border = "replicate",
    partners: Mapping[Path, Path] | None = None,
    degraded: FixedDegradation | None = None,
    form: PixelFormat = RGB8,
) -> Iterator[Pair]:
    """Test images, cropped to multiples of the scale, with their low resolution: given, degraded, or else bicubic.

    Args:
        partners: the given low resolution of each file.
    Raises:
        UserError: listing all files that cannot be used; nothing is skipped.
    """
    bad: list[str] = []
    for path in find_images(sources, suffixes=form.suffixes):
        try:
            given = partners[path] if partners else None
            yield load_pair(path, scale, border, given, degraded, form)
        except UserError as error:
            bad.append(f"{path}: {error}")
    if bad:
        raise unusable(bad)


def unusable(bad: list[str]) -> UserError:
    """The error that lists files, each with its reason."""
    them = "it" if len(bad) == 1 else "them"
    head = f"{counted(len(bad), 'test image')} cannot be used; mend or remove {them}:"
    return UserError("\n  ".join([head, *bad]))


def load_pair(
    path: Path,
    scale: int,
    border: Border = "replicate",
    lr_path: Path | None = None,
    degraded: FixedDegradation | None = None,
    form: PixelFormat = RGB8,
) -> Pair:
    """One test image, with a given low resolution or our own. Raises UserError with the reason, without the path."""
    hr = torch.from_numpy(read_pixels(path, form))
    lr = torch.from_numpy(read_pixels(lr_path, form)) if lr_path else None
    height, width = cropped_size(hr, lr, scale)
    cropped = hr.shape[:2] != (height, width)
    hr = hr[:height, :width].contiguous()
    if lr is None:
        lr = degrade_image(hr, degraded, scale) if degraded else downscale(hr, scale, border)
    grey = form.channels == 3 and path.suffix.lower() != ARRAY and is_grey(path)
    return Pair(path.name, lr, hr, grey, cropped)


def cropped_size(hr: Tensor, lr: Tensor | None, scale: int) -> tuple[int, int]:
    """Height and width that are compared: a multiple of the scale, or just what a given low resolution covers.

    Raises UserError where that is too small, or the sizes do not belong together.
    """
    size = (hr.shape[0], hr.shape[1]) if lr is None else (lr.shape[0] * scale, lr.shape[1] * scale)
    left = [full - part for full, part in zip(hr.shape[:2], size, strict=True)]
    if lr is not None and not all(0 <= pixels < scale for pixels in left):
        given, of = f"{lr.shape[1]}x{lr.shape[0]}", f"{hr.shape[1]}x{hr.shape[0]}"
        raise UserError(
            f"is {of}, and its low resolution is {given}, which at x{scale} is {size[1]}x{size[0]}"
        )
    height, width = (side // scale * scale for side in size)
    if min(height, width) < 2 * scale + SSIM_WINDOW:
        raise UserError(f"is {hr.shape[1]}x{hr.shape[0]}, too small to compare at x{scale}")
    return height, width


def load(files: ImageFiles, protocol: Protocol) -> Pair:
    """Raises UserError with the reason, without the path."""
    low = files.lr if protocol.lr == GIVEN else None
    return load_pair(
        files.hr, protocol.scale, protocol.border, low, protocol.degraded, protocol.form
    )
