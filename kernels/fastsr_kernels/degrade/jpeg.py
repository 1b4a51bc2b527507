"""JPEG as libjpeg computes it, in whole numbers: encoding and decoding at once, without the lossless part between.

Three channels are coded as YCbCr with 4:2:0 chroma; any other number of channels as so many grey pictures.

Axes: N samples, C channels, H W sides of a canvas, P planes, B blocks, I J positions in a block of 8x8.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from fastsr_kernels.degrade.dct import BITS, PASS_BITS


class Constants(NamedTuple):
    """`dct.constants` in fp64, which is exact on whole numbers of this size."""

    forward: Tensor
    """`[8, 8]`."""
    inverse: Tensor
    tables: Tensor
    """`[2, 8, 8]`."""

    @staticmethod
    def of(numbers: Tensor) -> "Constants":
        forward, inverse, *tables = numbers.double().view(4, 8, 8).unbind(0)
        return Constants(forward, inverse, torch.stack(tables))


def descale(x: Tensor, bits: int) -> Tensor:
    """Divides whole numbers by 2^bits and rounds half up."""
    return ((x + 2.0 ** (bits - 1)) * 2.0**-bits).floor()


def quantisation(quality_N: Tensor, tables: Tensor) -> Tensor:
    """libjpeg's tables for qualities from 1 to 100, `[N, 2, 8, 8]`, from 1 to 255."""
    quality = quality_N.double().clamp(min=1)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((tables * percent[:, None, None, None] + 50) / 100).floor().clamp(1, 255)


def coded(plane_NHW: Tensor, table_N88: Tensor, constants: Constants) -> Tensor:
    """Whole numbers from 0 to 255 after DCT, quantisation and back; sides are multiples of 8."""
    batch, height, width = plane_NHW.shape
    forward, inverse, _ = constants
    blocks = (plane_NHW - 128).view(batch, height // 8, 8, width // 8, 8).transpose(2, 3)
    rows = descale(blocks @ forward.T, BITS - PASS_BITS)
    coefficients = descale(forward @ rows, BITS + PASS_BITS)
    step = table_N88[:, None, None]
    # Coefficients are 8 times those of the DCT. Halves are rounded away from zero.
    level = ((coefficients.abs() + 4 * step) / (8 * step)).floor() * coefficients.sign()
    columns = descale(inverse @ (level * step), BITS - PASS_BITS)
    back = descale(columns @ inverse.T, BITS + PASS_BITS + 3) + 128
    return back.clamp(0, 255).transpose(2, 3).reshape(batch, height, width)


def to_ycc(rgb_N3HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Brightness and colour of whole numbers, rounded as libjpeg does."""
    r, g, b = rgb_N3HW.unbind(1)
    return (
        descale(19595 * r + 38470 * g + 7471 * b, 16),
        ((-11059 * r - 21709 * g + 32768 * b + (128 * 65536 + 32767)) * 2.0**-16).floor(),
        ((32768 * r - 27439 * g - 5329 * b + (128 * 65536 + 32767)) * 2.0**-16).floor(),
    )


def to_rgb(y_NHW: Tensor, cb_NHW: Tensor, cr_NHW: Tensor) -> Tensor:
    """The reverse, clamped to 8 bits: `[N, 3, H, W]`."""
    cb, cr = cb_NHW - 128, cr_NHW - 128
    red = y_NHW + descale(91881 * cr, 16)
    green = y_NHW + descale(-22554 * cb - 46802 * cr, 16)
    blue = y_NHW + descale(116130 * cb, 16)
    return torch.stack([red, green, blue], 1).clamp(0, 255)


def taken(plane_NHW: Tensor, row_NH: Tensor, column_NW: Tensor) -> Tensor:
    index_N = torch.arange(len(plane_NHW), device=plane_NHW.device)[:, None, None]
    return plane_NHW[index_N, row_NH[:, :, None], column_NW[:, None, :]]


def halved(plane_NHW: Tensor, half_N2: Tensor) -> Tensor:
    """Means of 2x2 pixels, halves rounded down and up in turn; the last valid row is repeated."""
    even, odd = plane_NHW[:, ::2], plane_NHW[:, 1::2]
    total = even[..., ::2] + even[..., 1::2] + odd[..., ::2] + odd[..., 1::2]
    columns = torch.arange(total.shape[2], device=total.device)
    mean = ((total + 1 + columns % 2) * 0.25).floor()
    row = torch.arange(total.shape[1], device=total.device)
    return taken(
        mean, torch.minimum(row, half_N2[:, :1] - 1), columns.expand(len(mean), len(columns))
    )


def doubled(plane_NHW: Tensor, half_N2: Tensor) -> Tensor:
    """libjpeg's fancy upsampling: three quarters of the nearest sample and one of the next, along both axes.

    It repeats samples where there are only one or two in a row.
    """
    _, height, width = plane_NHW.shape
    is_narrow_N1 = half_N2[:, 1:] <= 2

    def near_and_far(side: int, axis: int) -> tuple[Tensor, Tensor]:
        position = torch.arange(2 * side, device=plane_NHW.device)
        near, far = position // 2, position // 2 + 2 * (position % 2) - 1
        last_N1 = half_N2[:, axis : axis + 1] - 1
        near_NS, far_NS = (torch.minimum(x.clamp(min=0), last_N1) for x in (near, far))
        return near_NS, torch.where(is_narrow_N1, near_NS, far_NS)

    near_row, far_row = near_and_far(height, 0)
    near_column, far_column = near_and_far(width, 1)
    columns = [
        3 * taken(plane_NHW, near_row, column) + taken(plane_NHW, far_row, column)
        for column in (near_column, far_column)
    ]
    bias = 8 - torch.arange(2 * width, device=plane_NHW.device) % 2
    return ((3 * columns[0] + columns[1] + bias) * 0.0625).floor()


def levels(x: Tensor) -> Tensor:
    """Whole levels of 8 bits; halves are rounded up."""
    return (x.clamp(0, 1) * 255 + 0.5).floor()


def to_whole_blocks(x_NCHW: Tensor, size_N2: Tensor) -> Tensor:
    """Levels of 8 bits on a canvas of whole 16x16 blocks, the last valid row and column repeated; fp64."""
    level = levels(x_NCHW).double()
    _, channels, height, width = level.shape
    row, column = (
        torch.minimum(
            torch.arange(-(-side // 16) * 16, device=level.device), size_N2[:, k : k + 1] - 1
        )
        for k, side in enumerate((height, width))
    )
    return torch.stack([taken(level[:, c], row, column) for c in range(channels)], 1)


def jpeg_levels(
    level_NCHW: Tensor, size_N2: Tensor, quality_N: Tensor, constants: Constants
) -> Tensor:
    """Levels after JPEG, on a canvas of whole blocks."""
    tables = quantisation(quality_N, constants.tables)
    if level_NCHW.shape[1] != 3:
        planes = [coded(plane, tables[:, 0], constants) for plane in level_NCHW.unbind(1)]
        return torch.stack(planes, 1)
    y, cb, cr = to_ycc(level_NCHW)
    half_N2 = (size_N2 + 1) // 2
    chroma = [
        doubled(coded(halved(x, half_N2), tables[:, 1], constants), half_N2) for x in (cb, cr)
    ]
    return to_rgb(coded(y, tables[:, 0], constants), *chroma)


def jpeg(x_NCHW: Tensor, size_N2: Tensor, quality_N: Tensor, constants: Constants) -> Tensor:
    """Each sample saved and read as JPEG of its quality, from 1 to 100; where that is 0 it stays as it is."""
    height, width = x_NCHW.shape[2:]
    levels = jpeg_levels(to_whole_blocks(x_NCHW, size_N2), size_N2, quality_N, constants)
    decoded = (levels[..., :height, :width] * (1 / 255)).float()
    return torch.where(quality_N[:, None, None, None] > 0, decoded, x_NCHW)
