"""A picture into a file of any kind that training reads: whole, or not there."""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastsr.data.native import Samples
from fastsr.errors import UserError
from fastsr.files import sync
from fastsr.inference.deep import write_png, write_tiff
from fastsr.inference.exif import PREFIX
from fastsr.inference.picture import Picture

LARGEST_SIDE = {"jpg": 65_500, "webp": 16_383}
"""Pixels along an edge that these formats can hold."""
SUFFIXES = {
    "png": (".png",),
    "jpg": (".jpg", ".jpeg"),
    "webp": (".webp",),
    "bmp": (".bmp",),
    "tiff": (".tif", ".tiff"),
    "npy": (".npy",),
}
PILLOW = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "tiff": "TIFF"}
DEEP = ("png", "tiff", "npy")
"""Kinds that can hold 16 bits."""
OPAQUE = ("jpg", "bmp")
"""Kinds that hold no alpha."""
LOSSLESS = 100


def check_room(kind: str, height: int, width: int, has_alpha: bool) -> None:
    """Raises UserError, without the path, where a picture of that size does not go into a file of that kind."""
    if max(height, width) > LARGEST_SIDE.get(kind, max(height, width)):
        raise UserError(
            f"would be {width}x{height}, and {kind} holds {LARGEST_SIDE[kind]:,} pixels a side; add --format png"
        )
    if has_alpha and kind in OPAQUE:
        raise UserError(
            f"is transparent in places, which {kind} cannot keep; add --format png or webp"
        )


def check_planes(kind: str, picture: Picture) -> None:
    """Raises UserError, without the path, where a file of that kind does not hold what a picture's channels are."""
    if picture.planes and kind not in ("tiff", "npy"):
        raise UserError(f"has planes that {kind} cannot keep; leave --format out")


def save_picture(picture: Picture, file: Path, kind: str, quality: int) -> None:
    """Writes a file that is complete, or not there.

    Args:
        kind: png, jpg, webp, bmp, tiff or npy.
        quality: of jpg and webp, 1 to 100; webp is lossless at 100.
    Raises:
        OSError: it cannot be written.
    """
    # Names of images may be as long as names can be.
    temporary = file.with_name(f".{os.getpid()}-{abs(hash(file.name)):x}.part")
    try:
        with temporary.open("w+b") as opened:
            write(picture, opened, kind, quality)
        sync(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write(picture: Picture, file: BinaryIO, kind: str, quality: int) -> None:
    pixels, profile, exif = picture.pixels, picture.icc_profile, picture.exif
    if kind == "npy":
        np.save(file, pixels)
        return
    if picture.planes:
        write_pages(file, pixels)
        return
    if pixels.dtype == np.uint16:
        write_deep = write_png if kind == "png" else write_tiff
        write_deep(file, pixels.astype(np.uint16, copy=False), profile, exif)
        return
    options: dict[str, object] = {"exif": PREFIX + exif} if exif and kind != "bmp" else {}
    if profile and kind != "bmp":
        options["icc_profile"] = profile
    if kind == "jpg":
        options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    elif kind == "webp":
        options |= {"quality": quality, "lossless": quality == LOSSLESS, "exact": True}
    elif kind == "png":
        options["compress_level"] = 4  # photos hardly shrink more, and twice the time
    elif kind == "tiff":
        options["compression"] = "tiff_adobe_deflate"
    as_image(pixels.astype(np.uint8, copy=False), kind).save(file, PILLOW[kind], **options)


def write_pages(file: BinaryIO, pixels: Samples) -> None:
    """A TIFF with a page in grey for each channel. Raises OSError."""
    first, *others = (
        Image.fromarray(page) for page in np.ascontiguousarray(pixels.transpose(2, 0, 1))
    )
    first.save(file, "TIFF", save_all=True, append_images=others, compression="tiff_adobe_deflate")


def as_image(pixels: NDArray[np.uint8], kind: str) -> Image.Image:
    """8-bit samples as Pillow has them, in a mode that files of that kind know."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if kind in OPAQUE:  # whose alpha is full all over, where there is one
        return image.convert(image.mode.removesuffix("A"))
    return image.convert("RGBA") if image.mode == "LA" and kind == "webp" else image
