"""Words on a command line as image files, each with its place below the output folder."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from fastsr.data.images import EXTENSIONS, images_of
from fastsr.errors import UserError

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Source:
    """An image file, and its path below the folder that was named, or its name where it was named itself."""

    path: Path
    place: Path


def find_sources(
    words: Iterable[str],
    tell: Callable[[str], None] = lambda text: None,
    suffixes: Collection[str] = EXTENSIONS,
) -> list[Source]:
    """Image files meant by files, folders, globs and `-`, for which standard input lists paths, one a line.

    A file that several words mean counts once, where it is first. Of folders, the trees are kept; pictures that fastsr
    made are left out unless their folder is named, and `tell` gets a line that says so. `suffixes`: endings of images.

    Raises UserError for a word that means no image.
    """
    found: dict[str, Source] = {}
    made: dict[Path, int] = {}
    for word in expanded(words, suffixes):
        base = word if word.is_dir() else word.parent
        for path in images_of(word, made, suffixes):
            found.setdefault(os.path.realpath(path), Source(path, path.relative_to(base)))
    if made:
        folders = ", ".join(f"{folder} ({count})" for folder, count in sorted(made.items())[:4])
        tell(f"images that fastsr made are left out: {folders}")
    if not found:
        raise UserError("no image is given; name image files, folders or globs, or - for a list")
    return list(found.values())


def expanded(words: Iterable[str], suffixes: Collection[str] = EXTENSIONS) -> Iterator[Path]:
    """Paths that words mean. Raises UserError for a glob that matches nothing."""
    for word in words:
        if word == STANDARD_INPUT:
            yield from (Path(line) for line in sys.stdin.read().splitlines() if line.strip())
        elif Path(word).exists() or not set(word) & set("*?["):
            yield Path(word)
        else:
            yield from matches(word, suffixes)


def matches(pattern: str, suffixes: Collection[str] = EXTENSIONS) -> list[Path]:
    """Images and folders that a glob matches; ** means any folders between."""
    found = [Path(name) for name in sorted(glob(pattern, recursive=True))]  # noqa: PTH207 - of any root
    wanted = [path for path in found if path.is_dir() or path.suffix.lower() in suffixes]
    files = [path for path in wanted if not path.is_dir()] if "**" in pattern else wanted
    if not files:
        raise UserError(f"{pattern} matches no image ({' '.join(sorted(suffixes))})")
    return files
