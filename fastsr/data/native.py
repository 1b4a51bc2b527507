"""Image files with the samples that they hold: grey, alpha, 16 bits of grey and of colours.

Pillow decodes 16-bit colours by their upper bytes alone; the lower ones come from decoding a file a second time.

Axes: h w height and width, C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
"""

import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from fastsr.data.images import DIRECT_MODES, open_image, upright
from fastsr.errors import UserError

Samples = NDArray[np.uint8 | np.uint16]
OTHER_HALF = {
    "16B": "16L",
    "16L": "16B",
    "16N": "16B" if sys.byteorder == "little" else "16L",
}
"""Raw modes by which Pillow decodes the lower bytes of 16-bit colours, of which it only gives the upper ones."""
OWN_SPACE = ("CMYK", "YCbCr", "LAB", "HSV")
"""Modes that become RGB, to which their colour profile does not belong."""


def split_colours(image: Image.Image) -> "list[Image.core.Tile] | None":
    """Tiles of an image with the lower bytes of 16-bit colours as its samples; None for one that has no such.

    Raises nothing: what Pillow stores otherwise, such as planes, is read with 8 bits.
    """
    tiles = []
    for tile in getattr(image, "tile", []):
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        mode, _, form = str(arguments[0] if arguments else "").partition(";")
        if (
            mode == "LA" and form == "16B"
        ):  # read as four bytes a pixel: both of grey, both of alpha
            other = "RGBA"
        elif mode in ("RGB", "RGBA") and form in OTHER_HALF:
            other = f"{mode};{OTHER_HALF[form]}"
        else:
            return None
        args = (other, *arguments[1:]) if isinstance(tile.args, tuple) else other
        tiles.append(tile._replace(args=args))
    return tiles or None


def with_lower_bytes(
    high: Image.Image, path: Path, halves: "list[Image.core.Tile]"
) -> NDArray[np.uint16]:
    """16-bit samples of an upright image that was decoded by its upper bytes, and of its file decoded once more."""
    with open_image(path) as again:
        assert isinstance(again, ImageFile.ImageFile)
        again.tile = halves
        low = samples(upright(again))
    return joined(samples(high), low, halves)


def joined(high: Samples, low: Samples, halves: "list[Image.core.Tile]") -> NDArray[np.uint16]:
    """16-bit samples from their upper and lower bytes."""
    if halves[0].args == "RGBA":  # grey and alpha, whose four bytes are all in `low`
        high, low = low[..., 0::2], low[..., 1::2]
    return np.bitwise_or(high.astype(np.uint16) << 8, low, dtype=np.uint16)


def converted(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in a mode of its own samples: L, LA, RGB, RGBA or I;16.

    Raises UserError for float and 32-bit samples.
    """
    if image.mode.startswith("I;16"):
        return image
    if image.mode not in DIRECT_MODES:
        raise UserError(
            f"has samples of mode {image.mode} (float or 32 bit); save it with 8 or 16 bits per sample"
        )
    if image.mode == "CMYK" and profile:
        return by_profile(image, profile)
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("LA" if image.has_transparency_data else "L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """CMYK as sRGB. A profile that cannot be used counts as none."""
    try:
        printed = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        screen = ImageCms.createProfile("sRGB")
        shown = ImageCms.profileToProfile(image, printed, screen, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        shown = None
    return shown or image.convert("RGB")


def samples(image: Image.Image) -> Samples:
    """`[h, w, C]`, a copy."""
    array = np.array(image)
    array = array.astype(np.uint16) if array.dtype.itemsize == 2 else array
    return array[..., None] if array.ndim == 2 else array
