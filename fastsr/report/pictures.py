"""Windows of pictures as data URIs: lossless crops to look at closely, and larger lossy windows to compare.

Axes: H W of the image, C = 3.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from fastsr.data.images import read_rgb8
from fastsr.errors import UserError
from fastsr.evaluation.results import ORIGINAL, Picture

Pixels = NDArray[np.uint8]
PER_SET, MOST = 2, 8
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image_HWC: Pixels) -> Pixels:
        return image_HWC[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Level:
    """Size and quality of the pictures: sides of crop and window in pixels, and the quality of WebP (or JPEG)."""

    crop: int
    window: int
    quality: int


LEVELS = (Level(160, 384, 92), Level(128, 320, 90), Level(96, 256, 86), Level(64, 192, 80))


@dataclass(frozen=True)
class Shown:
    """One image of a test set as the page shows it."""

    test_set: str
    image: str
    crop_box: Box
    """Within the whole image."""
    window_box: Box
    crops: Mapping[str, str]
    """Data URIs by method."""
    windows: Mapping[str, str]
    quality: int

    @property
    def size(self) -> int:
        return sum(map(len, (*self.crops.values(), *self.windows.values())))


def chosen(pictures: Sequence[Picture], most: int) -> list[Picture]:
    """The first of each set, as many as there is room for."""
    found: list[Picture] = []
    for picture in pictures:
        if sum(one.test_set == picture.test_set for one in found) < PER_SET:
            found.append(picture)
    return found[:most]


def show_pictures(
    pictures: Sequence[Picture], folder: Path, methods: Sequence[str], budget: int
) -> list[Shown]:
    """Pictures of the evaluation in a folder, as large and good as the budget of characters allows.

    Raises UserError for files that are missing, of unequal size, or outside the folder.
    """
    shown: list[Shown] = []
    for level in LEVELS:
        shown = [show(picture, folder, methods, level) for picture in pictures]
        if sum(one.size for one in shown) <= budget:
            return shown
    while len(shown) > 1 and sum(one.size for one in shown) > budget:
        shown.pop()
    return shown


def show(picture: Picture, folder: Path, methods: Sequence[str], level: Level) -> Shown:
    """The liveliest crop of a picture and a window around it, by every method. Reads the pictures' files."""
    images = read_pictures(picture, folder, methods)
    crop = liveliest(luma(images[ORIGINAL]), level.crop)
    height, width = images[ORIGINAL].shape[:2]
    window = around(crop, height, width, level.window)
    return Shown(
        picture.test_set,
        picture.image,
        crop,
        window,
        {method: data_uri(crop.of(image)) for method, image in images.items()},
        {method: data_uri(window.of(image), level.quality) for method, image in images.items()},
        level.quality,
    )


def read_pictures(picture: Picture, folder: Path, methods: Sequence[str]) -> dict[str, Pixels]:
    """Each method's file, where it has one, and the original, which comes last.

    Raises UserError naming what cannot be used.
    """
    kept = [method for method in methods if method in picture.files]
    files = {method: folder / picture.files[method] for method in (*kept, ORIGINAL)}
    images = {method: read(file, folder) for method, file in files.items()}
    for method, image in images.items():
        if image.shape != images[ORIGINAL].shape:
            (height, width), (h, w) = image.shape[:2], images[ORIGINAL].shape[:2]
            raise UserError(
                f"{files[method]} is {width}x{height}, not {w}x{h} as {files[ORIGINAL].name} is; run fastsr eval again"
            )
    return images


def read(file: Path, folder: Path) -> Pixels:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{file} lies outside {folder}; run fastsr eval again")
    try:
        return read_rgb8(file)
    except UserError as error:
        raise UserError(f"{file} {error}; run fastsr eval again") from None


def luma(image_HWC: Pixels) -> NDArray[np.float64]:
    return image_HWC.astype(np.float64) @ np.array(LUMA)


def liveliest(luma_HW: NDArray[np.float64], side: int) -> Box:
    """The window with the largest variance of luma: where methods differ most visibly."""
    height, width = min(side, luma_HW.shape[0]), min(side, luma_HW.shape[1])
    centred_HW = luma_HW - luma_HW.mean()  # keeps the difference of large sums exact enough
    mean_HW = window_sums(centred_HW, height, width) / (height * width)
    variance_HW = window_sums(centred_HW**2, height, width) / (height * width) - mean_HW**2
    top, left = np.unravel_index(int(variance_HW.argmax()), variance_HW.shape)
    return Box(int(top), int(left), height, width)


def window_sums(values_HW: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Sums over every window of a size, by its top left corner."""
    sums_HW = np.pad(values_HW, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    low, high = slice(None, -height), slice(height, None)
    left, right = slice(None, -width), slice(width, None)
    return sums_HW[high, right] - sums_HW[low, right] - sums_HW[high, left] + sums_HW[low, left]


def around(crop: Box, height: int, width: int, side: int) -> Box:
    """A window of at most `side` pixels with the crop as near to its middle as the image allows."""
    h, w = min(side, height), min(side, width)
    top = min(max(0, crop.top + crop.height // 2 - h // 2), height - h)
    left = min(max(0, crop.left + crop.width // 2 - w // 2), width - w)
    return Box(top, left, h, w)


def data_uri(image_HWC: Pixels, quality: int | None = None) -> str:
    """Lossless without a quality. WebP where this Pillow writes it, else PNG or JPEG."""
    buffer = BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image_HWC))
    if features.check("webp"):
        kind = "webp"
        picture.save(
            buffer, "WEBP", lossless=quality is None, quality=80 if quality is None else quality
        )
    elif quality is None:
        kind = "png"
        picture.save(buffer, "PNG", optimize=True)
    else:
        kind = "jpeg"
        picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode()}"


def grid_uri(file: Path) -> tuple[str, int, int]:
    """A whole picture, lossy, with its width and height. Raises UserError where it cannot be read."""
    try:
        image = read_rgb8(file)
    except UserError as error:
        raise UserError(f"{file} {error}; delete it") from None
    return data_uri(image, 90), image.shape[1], image.shape[0]
