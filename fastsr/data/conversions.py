"""Sentences on the samples of image files: what they become, and what else could become of them.

Only headers are read, of as many files as decide.
"""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from fastsr.data.formats import ARRAY, PixelFormat
from fastsr.data.images import open_image
from fastsr.data.native import split_colours
from fastsr.errors import UserError

GREY = ("1", "L", "LA", "La")


def conversions(paths: list[Path], form: PixelFormat) -> list[str]:
    """A sentence on each conversion that a set of files needs, and on samples that all have and are not used."""
    notes: list[str] = []
    if form.bits == 16 and (path := first_with(paths, lambda image: not is_deep(image))):
        notes.append(f"images of 8 bits, such as {path.name}, become 16 bits by a factor of 257")
    elif form.bits == 8 and not first_with(paths, lambda image: not is_deep(image), True):
        notes.append("all images have 16 bits, of which the upper 8 are used; --bits 16 uses all")
    if form.channels == 1 and (path := first_with(paths, lambda image: not is_grey(image))):
        notes.append(f"images in colour, such as {path.name}, become grey")
    elif form.channels == 3 and not first_with(paths, lambda image: not is_grey(image), True):
        notes.append("all images are grey and become RGB; --channels 1 keeps one channel")
    if (
        form.channels == 4
        and (path := first_with(paths, is_cmyk))
        and (other := first_with(paths, lambda image: not is_cmyk(image), True))
    ):
        notes.append(
            f"warning: {path.name} is CMYK and {other.name} is not; their channels are learnt from as if alike"
        )
    return notes


def first_with(
    paths: list[Path], holds: Callable[[Image.Image], bool], unknown: bool = False
) -> Path | None:
    """The first file of which something holds, by its header; of arrays and damaged files `unknown` holds."""
    return next((path for path in paths if told(path, holds, unknown)), None)


def told(path: Path, holds: Callable[[Image.Image], bool], unknown: bool) -> bool:
    if path.suffix.lower() == ARRAY:
        return unknown
    try:
        with open_image(path, stacks=True) as image:
            return holds(image)
    except UserError:
        return unknown  # reading it tells what is wrong


def is_grey(image: Image.Image) -> bool:
    return image.mode in GREY or image.mode.startswith("I;16")


def is_cmyk(image: Image.Image) -> bool:
    return image.mode == "CMYK"


def is_deep(image: Image.Image) -> bool:
    """True for 16 bits of grey or of colours."""
    return image.mode.startswith("I;16") or split_colours(image) is not None
