"""Given pairs: low-resolution files that belong to high-resolution ones, by their names and sizes."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError

MOST_LINES = 20


def by_stem(paths: Iterable[Path], what: str) -> dict[str, Path]:
    """Files by their names without the ending. Raises UserError where two have the same."""
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise UserError(
                f"{what} has {found[path.stem]} and {path}; partners are found by name, so rename one"
            )
        found[path.stem] = path
    return found


TRAINING = "--data", "--lr-data"
"""Settings that name the folders of pairs, HR first."""
VALIDATION = "--val", "--val-lr-data"


def match(
    hr: list[Path], lr: list[Path], scale: int, settings: tuple[str, str] = TRAINING
) -> tuple[dict[Path, Path], list[str]]:
    """The LR file of each HR file, and a line for each file without a partner.

    Partners have the same name but for the ending; LR's may have x4 (the scale) behind it, as DIV2K's have.
    """
    high, low = by_stem(hr, settings[0]), by_stem(lr, settings[1])
    partners: dict[Path, Path] = {}
    for stem, path in low.items():
        partner = high.get(stem) or high.get(stem.removesuffix(f"x{scale}"))
        if partner is not None and partner not in partners:
            partners[partner] = path
    used = set(partners.values())
    lonely = [f"{path}: has no partner in {settings[1]}" for path in hr if path not in partners]
    lonely += [f"{path}: has no partner in {settings[0]}" for path in lr if path not in used]
    return partners, lonely


def listed(problems: list[str]) -> str:
    left = len(problems) - MOST_LINES
    return "\n  ".join([*problems[:MOST_LINES], *([f"and {left} more"] if left > 0 else [])])


def partners_of(
    hr: list[Path], lr: list[Path], scale: int, settings: tuple[str, str] = TRAINING
) -> dict[Path, Path]:
    """The LR file of each HR file. Raises UserError that lists those without."""
    partners, lonely = match(hr, lr, scale, settings)
    if lonely:
        raise UserError(
            f"{len(lonely)} files of {settings[0]} and {settings[1]} have no partner of their name; "
            f"rename, add or remove them:\n  {listed(lonely)}"
        )
    return partners


def wrong_size(hr: tuple[int, int], lr: tuple[int, int], scale: int) -> str | None:
    """Why a pair of sizes (height, width) does not belong together, if so."""
    fitting = hr[0] // scale, hr[1] // scale
    if lr == fitting:
        return None
    return (
        f"is {hr[1]}x{hr[0]}, and its low resolution {lr[1]}x{lr[0]}, "
        f"not {fitting[1]}x{fitting[0]} as at x{scale}"
    )


def paired(
    store: PixelStore, low: PixelStore, partners: dict[Path, Path], scale: int
) -> PixelStore:
    """A store with the low resolutions of another. Raises UserError that lists sizes that do not belong together."""
    places = {name: index for index, name in enumerate(low.names)}
    order = [places[str(partners[Path(name)])] for name in store.names]
    sizes, low_sizes = (
        list(zip(s.height_I.tolist(), s.width_I.tolist(), strict=True)) for s in (store, low)
    )
    wrong = [
        f"{name}: {problem}"
        for name, size, index in zip(store.names, sizes, order, strict=True)
        if (problem := wrong_size(size, low_sizes[index], scale))
    ]
    if wrong:
        raise UserError(
            f"{len(wrong)} of {len(order)} pairs do not have sizes of --scale {scale}; "
            f"mend them, or give another scale:\n  {listed(wrong)}"
        )
    return replace(
        store,
        lr_pixels=low.pixels,
        lr_start_I=low.start_I[torch.tensor(order, dtype=torch.int64)],
        digest=hashlib.sha256(f"{store.digest} {low.digest}".encode()).hexdigest(),
    )
