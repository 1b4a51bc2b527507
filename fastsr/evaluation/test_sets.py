"""Test sets as they lie on people's disks: originals, and the low-resolution images that may come with them.

Known layouts of a set's folder, tried in this order (scale 4):

    x4/img_001_HR.png, img_001_LR.png         or image_SRF_4/img_001_SRF_4_HR.png, ..._LR.png
    HR/baby.png, LR_bicubic/X4/babyx4.png     or GTmod12/baby.png, LRbicx4/baby.png, or original/baby.png, LR/baby.png
    baby.png, ...                             DIV2K_valid_HR/0801.png has DIV2K_valid_LR_bicubic/X4/0801x4.png beside it
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from fastsr.data.images import EXTENSIONS
from fastsr.download.catalogue import DATASETS
from fastsr.errors import UserError

COUNTS = {"set5": 5, "set14": 14, "bsd100": 100, "b100": 100, "urban100": 100, "manga109": 109}
ALIASES = {"bsd100": ("b100", "bsds100"), "b100": ("bsd100",)}
ORIGINALS = ("HR", "GTmod12", "GTmod4", "original", "GT")
HIGH = re.compile(r"(_SRF_\d+)?_HR$", re.IGNORECASE)
MARKED_LOW = re.compile(r"_(LR|LRBI)$", re.IGNORECASE)
LOW = re.compile(r"(_SRF_\d+)?_(LR|LRBI)$|(_LRBI)?_?x\d$", re.IGNORECASE)


@dataclass(frozen=True)
class ImageFiles:
    """One test image: its name, the original, and its low resolution where one is given."""

    name: str
    hr: Path
    lr: Path | None = None


@dataclass(frozen=True)
class ImageSet:
    """Test images under one name."""

    name: str
    folder: Path
    images: tuple[ImageFiles, ...]


def find_set(
    word: str,
    root: Path,
    scale: int,
    given: bool = False,
    suffixes: Collection[str] = EXTENSIONS,
) -> ImageSet:
    """The images of a test set, in order of their names.

    Args:
        word: the name of a set below `root`, or a folder. given: whether its low-resolution images are wanted.
        suffixes: endings of images' files.
    Raises:
        UserError: no such set; a well-known set is incomplete; originals without low resolution, or the reverse.
    """
    folder = locate(word, root)
    originals = find_originals(folder, scale, suffixes)
    place = next(iter(originals.values())).parent
    expected = COUNTS.get(folder.name.lower(), len(originals))
    if len(originals) != expected:
        raise UserError(
            f"{folder.name} has {expected} images, and {place} holds {len(originals)}; "
            "complete it, or give the folder another name"
        )
    low = find_low(folder, place, scale, suffixes) if given else {}
    if given:
        check_match(folder, originals, low)
    images = tuple(
        ImageFiles(name, path, low.get(name)) for name, path in sorted(originals.items())
    )
    return ImageSet(folder.name, folder, images)


def locate(word: str, root: Path) -> Path:
    """The folder of a set, whatever the case of its name. Raises UserError, saying what there is."""
    wanted = (word.lower(), *ALIASES.get(word.lower(), ()))
    for parent in (root, root / "benchmark"):
        below = (
            {path.name.lower(): path for path in parent.iterdir() if path.is_dir()}
            if parent.is_dir()
            else {}
        )
        for name in wanted:
            if name in below:
                return below[name]
    if Path(word).is_dir():
        return Path(word).absolute()
    fetched = f", or fetch it: fastsr data fetch {word.lower()}" if word.lower() in DATASETS else ""
    held = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    raise UserError(
        f"--sets {word}: no such folder, and --data-root {root} holds {', '.join(held) or 'no set'}; "
        f"give a folder of images, or another --data-root{fetched}"
    )


def find_originals(
    folder: Path, scale: int, suffixes: Collection[str] = EXTENSIONS
) -> dict[str, Path]:
    """High-resolution images by name. Raises UserError where no known layout fits, or two files share a name."""
    for name in (f"image_SRF_{scale}", f"x{scale}", f"X{scale}", *ORIGINALS, "."):
        images = images_in(folder / name, suffixes)
        marked = [path for path in images if HIGH.search(path.stem)]
        originals = marked or [path for path in images if not MARKED_LOW.search(path.stem)]
        if originals:
            return by_name(originals, lambda stem: HIGH.sub("", stem))
    inside = sorted(path.name for path in folder.iterdir() if path.is_dir())
    folders = f" (only the folders {', '.join(inside)})" if inside else ""
    raise UserError(
        f"{folder} holds no test images{folders}; put the originals into it, or into a folder HR in it"
    )


def by_name(paths: list[Path], key: Callable[[str], str]) -> dict[str, Path]:
    """Files by what their stems mean. Raises UserError where two mean the same image."""
    named: dict[str, Path] = {}
    for path in paths:
        other = named.setdefault(key(path.stem), path)
        if other is not path:
            raise UserError(f"{other} and {path.name} are the same test image; remove one")
    return named


def find_low(
    folder: Path, originals: Path, scale: int, suffixes: Collection[str] = EXTENSIONS
) -> dict[str, Path]:
    """Given low-resolution images by name, for originals in a folder of the set. Raises UserError where none is."""
    places = [
        folder / name
        for name in (f"LR_bicubic/X{scale}", f"LRbicx{scale}", f"LR/X{scale}", f"LR/x{scale}", "LR")
    ]
    if folder.name.endswith("_HR"):  # DIV2K
        places.append(
            folder.with_name(folder.name.removesuffix("_HR") + "_LR_bicubic") / f"X{scale}"
        )
    for place in places:
        if images := images_in(place, suffixes):
            return by_name(images, lambda stem: LOW.sub("", stem))
    marked = [path for path in images_in(originals, suffixes) if MARKED_LOW.search(path.stem)]
    if marked:
        return by_name(marked, lambda stem: LOW.sub("", stem))
    raise UserError(
        f"--lr given: {folder} holds no low-resolution images of scale {scale} (such as {places[0]}); use --lr bicubic"
    )


def check_match(folder: Path, originals: dict[str, Path], low: dict[str, Path]) -> None:
    """Raises UserError listing what has no counterpart."""
    lonely = [
        f"{originals[name]} has no low resolution" for name in sorted(originals.keys() - low.keys())
    ]
    lonely += [f"{low[name]} has no original" for name in sorted(low.keys() - originals.keys())]
    if lonely:
        raise UserError(
            f"{folder.name} has {len(originals)} originals and {len(low)} low-resolution images that do not match; "
            "complete it, or use --lr bicubic:\n  " + "\n  ".join(lonely)
        )


def images_in(folder: Path, suffixes: Collection[str] = EXTENSIONS) -> list[Path]:
    """Image files right in a folder; none where there is no such folder."""
    if not folder.is_dir():
        return []
    found = (
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )
    return sorted(path for path in found if path.is_file())
