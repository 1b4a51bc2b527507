"""Images of as many channels and bits as are asked for, by one stated rule.

Three channels of 8 bits are read by the rule of `fastsr.data.images`. Otherwise: one channel is grey, which colours
become (0.299 R + 0.587 G + 0.114 B) and alpha is dropped from; three channels are RGB, which grey becomes and alpha is
dropped from; any other number must be that of the file: grey and alpha (2), RGBA or CMYK (4), a TIFF whose pages are
channels in grey, or a .npy array `[H, W]` or `[H, W, C]`. 16 bits become 8 by their upper half, and 8 bits 16 by a
factor of 257, which keeps black and white.

Axes: H W height and width, C channels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastsr.config.settings import TrainConfig
from fastsr.console import counted
from fastsr.data.images import EXTENSIONS, open_image, read_rgb8, upright
from fastsr.data.native import Samples, converted, samples, split_colours, with_lower_bytes
from fastsr.errors import UserError

ARRAY = ".npy"
LUMA = (19595, 38470, 7471)
"""Shares of red, green and blue in grey, as Pillow has them, in 65,536ths."""


@dataclass(frozen=True)
class PixelFormat:
    """Channels of a pixel, and bits of a sample."""

    channels: int = 3
    bits: Literal[8, 16] = 8

    @property
    def suffixes(self) -> frozenset[str]:
        """Endings of files that are looked for in folders: arrays, too, where images are not RGB."""
        return EXTENSIONS if self.channels == 3 else EXTENSIONS | {ARRAY}

    @property
    def pixel_bytes(self) -> int:
        return self.channels * self.bits // 8

    def __str__(self) -> str:
        return f"{counted(self.channels, 'channel')} of {self.bits} bits"


RGB8 = PixelFormat()


def format_of(config: TrainConfig) -> PixelFormat:
    """The channels and bits of a training's images."""
    return PixelFormat(config.model.channels, config.images.bits)


def read_pixels(path: Path, form: PixelFormat = RGB8) -> Samples:
    """Decodes one file into `[H, W, C]` uint8 or uint16 by the rule above.

    Raises UserError with the reason, without the path, so that callers can list many.
    """
    if form == RGB8 and path.suffix.lower() != ARRAY:
        return read_rgb8(path)
    return np.ascontiguousarray(with_bits(read_channels(path, form.channels), form.bits))


def read_channels(path: Path, channels: int) -> Samples:
    """As many channels as are wanted, with the bits of the file. Raises UserError where it has others."""
    if path.suffix.lower() == ARRAY:
        return exactly(read_array(path), channels)
    with open_image(path, stacks=channels != 3) as image:
        if is_stack(image):
            return exactly(read_stack(image), channels)
        halves = split_colours(image)
        turned = upright(image)
        if turned.mode == "CMYK" and channels == 4:
            return samples(turned)
        if not halves:
            return with_channels(samples(converted(turned, None)), channels)
    return with_channels(with_lower_bytes(turned, path, halves), channels)


def read_array(path: Path) -> Samples:
    """A .npy file as `[H, W, C]`. Raises UserError for other arrays."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError("does not exist") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot be read as an array ({error})") from None
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or 0 in array.shape:
        raise UserError(f"is an array of {array.shape}; save one of [height, width, channels]")
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise UserError(f"is an array of {array.dtype}; save uint8 or uint16 samples")
    return array.astype(np.uint8 if array.dtype.itemsize == 1 else np.uint16, copy=False)


def is_stack(image: Image.Image) -> bool:
    """True for a TIFF of several pages."""
    return image.format == "TIFF" and getattr(image, "n_frames", 1) > 1


def read_stack(image: Image.Image) -> Samples:
    """A TIFF of several grey pages, which are its channels. Raises UserError for pages that differ or have colours."""
    pages: list[Samples] = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        pages.append(samples(converted(image, None)))
    kinds = {(page.shape, page.dtype) for page in pages}
    if len(kinds) > 1 or pages[0].shape[2] > 1:
        raise UserError(
            f"has {len(pages)} pages that are not grey or not alike; only pages of one size, in grey, are channels"
        )
    return np.concatenate(pages, axis=2)


def with_channels(pixels: Samples, channels: int) -> Samples:
    """Raises UserError where the channels that there are do not become those that are wanted."""
    has = pixels.shape[2]
    if has == channels:
        return pixels
    if channels == 1 and has <= 4:
        return pixels[..., :1] if has == 2 else grey(pixels)
    if channels == 3 and has <= 2:
        return np.repeat(pixels[..., :1], 3, axis=2)
    if channels == 3 and has == 4:
        return pixels[..., :3]
    return exactly(pixels, channels)


def exactly(pixels: Samples, channels: int) -> Samples:
    """The pixels as they are. Raises UserError where they have other channels."""
    has = pixels.shape[2]
    if has != channels:
        raise UserError(
            f"has {counted(has, 'channel')}, not {channels}; give images of {channels}, or train with --channels {has}"
        )
    return pixels


def grey(pixels: Samples) -> Samples:
    """Brightness `[H, W, 1]` of `[H, W, 3]` or `[H, W, 4]`, with Pillow's weights and rounding."""
    wide = pixels[..., :3].astype(np.uint32)
    total = sum(weight * wide[..., k] for k, weight in enumerate(LUMA)) + 32768
    return np.asarray(total >> 16).astype(pixels.dtype)[..., None]


def with_bits(pixels: Samples, bits: int) -> Samples:
    """Samples of so many bits: the upper ones, or times 257."""
    if pixels.dtype.itemsize * 8 == bits:
        return pixels
    if bits == 8:
        return (pixels >> 8).astype(np.uint8)
    return pixels.astype(np.uint16) * np.uint16(257)


def as_rgb8(pixels: Samples) -> NDArray[np.uint8]:
    """`[H, W, 3]` to look at: RGB as it is, one or two channels as grey, of more the first three; the upper 8 bits."""
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]
    return np.ascontiguousarray(with_bits(pixels, 8).astype(np.uint8, copy=False))
