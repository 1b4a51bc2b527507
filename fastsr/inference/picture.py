"""A picture with all that belongs to it, read from a file: grey, alpha, 16 bits, colour profile and EXIF.

The rule of `fastsr.data.images` holds for what is refused and how pictures are turned. Unlike there, grey stays grey,
alpha is kept, 16-bit samples keep their 16 bits, and CMYK with a profile becomes sRGB by it. For models of other
channels than RGB, channels may also be the pages of a TIFF, or those of a .npy array.

Axes: h w height and width, C = 1 (grey), 2 (grey and alpha), 3 (RGB), 4 (RGB and alpha), or any number of planes.
"""

from dataclasses import dataclass
from pathlib import Path

from fastsr.console import counted
from fastsr.data.formats import ARRAY, is_stack, read_array, read_stack
from fastsr.data.images import open_image, upright
from fastsr.data.native import (
    OWN_SPACE,
    Samples,
    converted,
    samples,
    split_colours,
    with_lower_bytes,
)
from fastsr.errors import UserError
from fastsr.inference.exif import upright_exif
from fastsr.models.architecture import CHANNELS

KINDS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg", "WEBP": "webp", "BMP": "bmp", "TIFF": "tiff"}
"""Formats of Pillow that training reads, and what the kinds of files are called here."""


@dataclass(frozen=True)
class Picture:
    """Pixels `[h, w, C]`, uint8 or uint16, and what a file says of them."""

    pixels: Samples
    kind: str = "png"
    """png, jpg, webp, bmp, tiff or npy: the file that it comes from."""
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """As in a file that is not turned: the pixels are upright already."""
    planes: bool = False
    """Channels are planes that mean nothing together: pages of a TIFF, or those of an array."""

    @property
    def has_alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4) and not self.planes


def of_planes(pixels: Samples, kind: str, channels: int) -> Picture:
    """Raises UserError where there are other planes than a model takes."""
    if pixels.shape[2] != channels:
        raise UserError(
            f"has {counted(pixels.shape[2], 'channel')}, and the model takes {channels}"
        )
    return Picture(pixels, kind, planes=True)


def read_picture(path: Path, channels: int = CHANNELS) -> Picture:
    """A file for a model of so many channels, which planes must have.

    Raises UserError with the reason, without the path, so that callers can list many.
    """
    if path.suffix.lower() == ARRAY:
        return of_planes(read_array(path), "npy", channels)
    with open_image(path, stacks=channels != CHANNELS) as image:
        if is_stack(image):
            return of_planes(read_stack(image), "tiff", channels)
        kind = KINDS.get(image.format or "")
        if kind is None:
            raise UserError(f"is {image.format}, which is not read here; save it as PNG")
        halves = split_colours(image)
        if image.mode == "CMYK" and channels == 4:
            raise UserError(
                "is CMYK, which is read as RGB here; for a model of CMYK give a .npy array"
            )
        turned = upright(image)
        exif = upright_exif(image)
        profile = image.info.get("icc_profile")
    if halves:
        return Picture(with_lower_bytes(turned, path, halves), kind, profile, exif)
    pixels = samples(converted(turned, profile))
    return Picture(pixels, kind, None if turned.mode in OWN_SPACE else profile, exif)
