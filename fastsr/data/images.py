"""Image files as 8-bit RGB, by one stated rule.

EXIF orientation is applied. Grey becomes three equal channels, palettes their colours, CMYK Pillow's RGB. Alpha is
dropped and the stored colours kept. 16-bit samples keep their upper 8 bits. Animations, several pages, and float or
32-bit samples are refused: no single 8-bit picture is meant by them. Of a phone's MPO (a JPEG with a second picture
behind it, such as a gain map) the first counts.
"""

import os
import stat
import struct
import warnings
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fastsr.errors import UserError
from fastsr.files import is_made, real_paths

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
DIRECT_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
)

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error)
"""Exceptions of Pillow on damaged files."""
ORIENTATION = 274
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def find_images(
    sources: tuple[Path, ...],
    tell: Callable[[str], None] = lambda text: None,
    suffixes: Collection[str] = EXTENSIONS,
) -> list[Path]:
    """All image files in folders (searched recursively, hidden ones left out) and single files, sorted per source.

    A file that several sources hold counts once, where it is first. Folders of pictures that fastsr made are left out
    unless named as a source, and `tell` gets a line that says so. `suffixes`: endings of files that are images.

    Raises UserError for a source that does not exist, holds no image, or has a folder in it that cannot be read.
    """
    found: dict[str, Path] = {}
    made: dict[Path, int] = {}
    for source in sources:
        images = images_of(source, made, suffixes)
        for real, path in zip(real_paths(images), images, strict=True):
            found.setdefault(real, path)
    if made:
        folders = ", ".join(f"{folder} ({count})" for folder, count in sorted(made.items())[:4])
        more = f" and {len(made) - 4} folders more" if len(made) > 4 else ""
        tell(f"images that fastsr made are left out: {folders}{more}")
    return list(found.values())


def images_of(
    source: Path, made: dict[Path, int], suffixes: Collection[str] = EXTENSIONS
) -> list[Path]:
    """The image files of one source, sorted; `made` as in `walk`."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        problem = "is neither a folder nor a regular file" if source.exists() else "does not exist"
        raise UserError(f"{source} {problem}; give a folder of images, or an image file")
    images = sorted(walk(source, made, suffixes))
    if not images:
        besides = " besides what fastsr made" if made else ""
        raise UserError(
            f"{source} holds no image{besides} ({' '.join(sorted(suffixes))}); give another folder"
        )
    return images


def walk(
    source: Path, made: dict[Path, int] | None = None, suffixes: Collection[str] = EXTENSIONS
) -> Iterator[Path]:
    """Image files below a folder, through links, but into no folder twice: links may form a circle.

    Args:
        made: gets folders below the source that fastsr made, which are not searched, and how many images each holds.
    """
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(source, onerror=refuse, followlinks=True):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for own in [name for name in folders if is_made(Path(folder) / name)]:
            folders.remove(own)
            if made is not None and (count := count_images(Path(folder) / own, suffixes)):
                made[Path(folder) / own] = count
        yield from (Path(folder) / name for name in names if is_image_name(name, suffixes))


def is_image_name(name: str, suffixes: Collection[str] = EXTENSIONS) -> bool:
    return Path(name).suffix.lower() in suffixes and not name.startswith(".")


def count_images(folder: Path, suffixes: Collection[str] = EXTENSIONS) -> int:
    return sum(is_image_name(name, suffixes) for _, _, names in os.walk(folder) for name in names)


def refuse(error: OSError) -> None:
    """Refuses a folder that a search cannot look into: its images would be missing unseen."""
    if isinstance(error, FileNotFoundError):
        return  # nothing is there, or no longer
    raise UserError(
        f"{error.filename} cannot be read ({error.strerror}); allow reading it, or give other folders"
    ) from None


def read_rgb8(path: Path) -> NDArray[np.uint8]:
    """Decodes one file into `[H, W, 3]` uint8 by the rule above.

    Raises UserError with the reason, without the path, so that callers can list many.
    """
    with open_image(path) as image:
        return to_rgb8(upright(image))


@contextmanager
def open_image(path: Path, stacks: bool = False) -> Generator[Image.Image, None, None]:
    """A file as Pillow opens it, of which one picture is meant; with `stacks` also a TIFF of several pages.

    Raises UserError with the reason, without the path: at once, or for what goes wrong with the image within.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe or a device might never end
            raise UserError("is a folder" if path.is_dir() else "is no regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                if frames > 1 and not (stacks and image.format == "TIFF"):
                    raise UserError(
                        f"has {frames} frames; save the one you mean as a file of its own"
                    )
                yield image
    except UnidentifiedImageError:
        raise UserError("is not an image, or is damaged") from None
    except Image.DecompressionBombError:
        raise UserError(
            f"has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; cut it into tiles"
        ) from None
    except FileNotFoundError:
        raise UserError("does not exist") from None
    except DAMAGE as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot be decoded ({error})") from None


def upright(image: Image.Image) -> Image.Image:
    """The image turned by its EXIF orientation. Pillow's own exif_transpose rewrites all EXIF and fails on odd tags."""
    image.load()  # a TIFF is turned while it is loaded
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def to_rgb8(image: Image.Image) -> NDArray[np.uint8]:
    """One Pillow image as `[H, W, 3]` uint8. Raises UserError for float and 32-bit samples."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode not in DIRECT_MODES:
        raise UserError(
            f"has samples of mode {image.mode} (float or 32 bit); save it with 8 or 16 bits per sample"
        )
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    return np.array(image.convert("RGB"))


def is_grey(path: Path) -> bool:
    """True for a readable file that stores grey samples, as opposed to three equal channels. Raises UserError."""
    with open_image(path) as image:
        return image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I;16")
