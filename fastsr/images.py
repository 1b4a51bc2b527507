"""Image files as 8-bit RGB, by one stated rule.

EXIF orientation is applied. Grey becomes three equal channels, palettes their colours, CMYK Pillow's RGB. Alpha is
dropped and the stored colours kept. 16-bit samples keep their upper 8 bits. Animations, several pages, and float or
32-bit samples are refused: no single 8-bit picture is meant by them.
"""

import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fastsr.errors import UserError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
DIRECT_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
)


def find_images(sources: tuple[Path, ...]) -> list[Path]:
    """All image files in folders (searched recursively, hidden ones left out) and single files, sorted per source.

    Raises UserError for a source that does not exist or holds no image.
    """
    found: list[Path] = []
    for source in sources:
        if source.is_file():
            found.append(source)
            continue
        if not source.is_dir():
            raise UserError(f"{source} does not exist; give a folder of images, or an image file")
        images = sorted(
            Path(folder) / name
            for folder, _, names in os.walk(source, followlinks=True)
            for name in names
            if Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")
        )
        if not images:
            raise UserError(f"{source} holds no image ({' '.join(sorted(EXTENSIONS))}); give another folder")
        found += images
    return found


def read_rgb8(path: Path) -> NDArray[np.uint8]:
    """Decodes one file into `[H, W, 3]` uint8 by the rule above.

    Raises UserError with the reason, without the path, so that callers can list many.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise UserError(
                    f"has {getattr(image, 'n_frames', 1)} frames; save the one you mean as a file of its own"
                )
            return to_rgb8(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise UserError("is not an image, or is damaged") from None
    except Image.DecompressionBombError:
        raise UserError(f"has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; cut it into tiles") from None
    except FileNotFoundError:
        raise UserError("does not exist") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:  # Pillow raises all of these on damage
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot be decoded ({error})") from None


def to_rgb8(image: Image.Image) -> NDArray[np.uint8]:
    """One Pillow image as `[H, W, 3]` uint8. Raises UserError for float and 32-bit samples."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode not in DIRECT_MODES:
        raise UserError(f"has samples of mode {image.mode} (float or 32 bit); save it with 8 or 16 bits per sample")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    return np.array(image.convert("RGB"))


def is_grey(path: Path) -> bool:
    """Whether a readable file stores grey samples, as opposed to three equal channels."""
    with Image.open(path) as image:
        return image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I;16")
