"""The tiles of an image that does not fit memory: where they are cut, and how their results are put together.

A tile reads `overlap` pixels beyond its core on each side. Where that is the receptive field, the cores, put side by
side, are what the whole image gives. Where it is less, neighbours are blended over half of it, and differ by what the
network sees of the pixels that are left out.

Axes: N images, C channels, h w low resolution, H W high resolution.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

GRID = 8
"""Tiles begin and end at multiples of this, where networks that fold pixels into channels want it."""
LEAST_CORE = 16


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of low resolution."""

    read: slice
    """The part that the network sees."""
    kept: slice
    """The part that is written, blended with the tile before along the first `blend` pixels."""
    blend: int = 0


@dataclass(frozen=True)
class Cut:
    """The sides of a tile and the overlap, in pixels of low resolution."""

    height: int
    width: int
    overlap: int
    is_exact: bool
    """The overlap is the receptive field."""

    def spans(self, h: int, w: int) -> list[tuple[Span, Span]]:
        """All tiles of an image, rows first."""
        columns = list(self.axis(w, self.width))
        return [(row, column) for row in self.axis(h, self.height) for column in columns]

    def axis(self, length: int, side: int) -> Iterator[Span]:
        if length <= side:
            yield Span(slice(0, length), slice(0, length))
            return
        core, half = side - 2 * self.overlap, 0 if self.is_exact else self.overlap // 2
        for start in range(0, length, core):
            end = min(start + core, length)
            read = slice(max(start - self.overlap, 0), min(end + self.overlap, length))
            kept = slice(max(start - half, 0), min(end + half, length))
            yield Span(read, kept, min(2 * half, kept.stop - kept.start) if start else 0)


def cut(
    h: int,
    w: int,
    most_pixels: int,
    field: int,
    side: int | None = None,
    overlap: int | None = None,
) -> Cut:
    """Tiles of at most so many pixels, as large as may be.

    Args:
        field: the receptive field beyond a pixel. side: of a tile, whatever the pixels; None: by memory.
        overlap: None: the field, or an eighth of the tile where the tile would have no core.
    """
    limit = floor(side or int(most_pixels**0.5))

    def along(length: int, other: int) -> int:
        """A tile's side; by memory it is longer where the image is narrow."""
        if length <= limit:
            return length
        return limit if side or other > limit else max(limit, floor(most_pixels // other))

    height, width = along(h, w), along(w, h)
    shortest = min((tile for tile, length in ((height, h), (width, w)) if tile < length), default=0)
    wanted = ceil(field if overlap is None else overlap)
    if shortest and shortest - 2 * wanted < LEAST_CORE:
        wanted = min(ceil(shortest // 8), (shortest - LEAST_CORE) // 2 // GRID * GRID)
    return Cut(height, width, wanted, wanted >= field or not shortest)


def floor(length: int) -> int:
    """A multiple of `GRID`, of at least the smallest core and its overlaps."""
    return max(length // GRID * GRID, LEAST_CORE + 2 * GRID)


def ceil(length: int) -> int:
    return -(-length // GRID) * GRID


def paste(canvas_NHWC: Tensor, tile_NHWC: Tensor, row: Span, column: Span, scale: int) -> None:
    """Writes what is kept of an enlarged tile into the enlarged image, in place."""
    inside = [
        slice((span.kept.start - span.read.start) * scale, (span.kept.stop - span.read.start) * scale)
        for span in (row, column)
    ]  # fmt: skip
    outside = [slice(span.kept.start * scale, span.kept.stop * scale) for span in (row, column)]
    new, place = tile_NHWC[:, inside[0], inside[1]], canvas_NHWC[:, outside[0], outside[1]]
    if row.blend or column.blend:
        rise_H, rise_W = (ramp(span, scale).to(canvas_NHWC.device) for span in (row, column))
        share_HW1 = (rise_H[:, None] * rise_W)[..., None]
        mixed = torch.lerp(place.float(), new.to(place.device).float(), share_HW1)
        new = mixed if place.is_floating_point() else mixed.round()
    place.copy_(new)


def ramp(span: Span, scale: int) -> Tensor:
    """The share of a tile beside the one before it: from 0 to 1 along `blend`, and 1 behind it."""
    length, rise = (span.kept.stop - span.kept.start) * scale, span.blend * scale
    return (
        ((torch.arange(length) + 0.5) / max(rise, 1)).clamp(max=1) if rise else torch.ones(length)
    )
