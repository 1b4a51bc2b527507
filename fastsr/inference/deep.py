"""PNG and TIFF with 16 bits per sample, which Pillow writes for grey only.

Axes: h w height and width, C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

Bytes = NDArray[np.uint8]

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's number for C samples a pixel."""
ROWS, LEVEL = 256, 4
"""Rows that are filtered at once, and zlib's effort: 16-bit samples hardly shrink more with a greater one."""
SUB, UP, PAETH = 1, 2, 4


def write_png(
    file: BinaryIO, pixels: NDArray[np.uint16], icc_profile: bytes | None, exif: bytes | None
) -> None:
    """A PNG of `[h, w, C]`. Raises OSError."""
    h, w, count = pixels.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", w, h, 16, COLOUR_TYPES[count], 0, 0, 0))
    if icc_profile:
        write_chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if exif:
        write_chunk(file, b"eXIf", exif)
    squeeze = zlib.compressobj(LEVEL)
    for rows in filtered(pixels):
        if data := squeeze.compress(rows.tobytes()):
            write_chunk(file, b"IDAT", data)
    write_chunk(file, b"IDAT", squeeze.flush())
    write_chunk(file, b"IEND", b"")


def write_chunk(file: BinaryIO, name: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + name + data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def filtered(pixels: NDArray[np.uint16]) -> Iterator[Bytes]:
    """Rows behind PNG's filters, `ROWS` at once: of each row the filter with the smallest differences."""
    h, w, count = pixels.shape
    above = np.zeros((1, w * count * 2), np.uint8)
    for start in range(0, h, ROWS):
        raw = pixels[start : start + ROWS].astype(">u2").view(np.uint8).reshape(-1, w * count * 2)
        up = np.concatenate([above, raw[:-1]])
        yield smallest(raw, up, 2 * count)
        above = raw[-1:]


def smallest(raw: Bytes, up: Bytes, step: int) -> Bytes:
    """`[rows, 1 + bytes]`: each row's filter and its differences. `step` is the bytes of a pixel."""
    left, corner = shifted(raw, step), shifted(up, step)
    choices = np.stack([raw - left, raw - up, raw - paeth(left, up, corner)])
    cost = np.abs(choices.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = cost.argmin(axis=0)
    rows = choices[best, np.arange(len(raw))]
    return np.concatenate([np.array([SUB, UP, PAETH], np.uint8)[best][:, None], rows], axis=1)


def shifted(rows: Bytes, step: int) -> Bytes:
    """Each row's bytes one pixel further right."""
    return np.pad(rows, ((0, 0), (step, 0)))[:, : rows.shape[1]]


def paeth(left: Bytes, up: Bytes, corner: Bytes) -> Bytes:
    """PNG's predictor: of three neighbours that nearest to left + up - corner."""
    a, b, c = (part.astype(np.int16) for part in (left, up, corner))
    to_left, to_up, to_corner = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    is_left = (to_left <= to_up) & (to_left <= to_corner)
    return np.where(is_left, left, np.where(to_up <= to_corner, up, corner))


def write_tiff(
    file: BinaryIO, pixels: NDArray[np.uint16], icc_profile: bytes | None, exif: bytes | None
) -> None:
    """A TIFF of `[h, w, C]`, deflated, in one strip. Raises OSError."""
    h, w, count = pixels.shape
    data = zlib.compress(pixels.astype("<u2").tobytes(), LEVEL)
    tags = ImageFileDirectory_v2()
    if exif:
        described = Image.Exif()
        described.load(exif)
        tags.update({tag: value for tag, value in described.items() if isinstance(value, str)})
    tags[256], tags[257], tags[258] = w, h, (16,) * count
    tags[259], tags[262], tags[277] = 8, 2 if count > 2 else 1, count
    tags[278], tags[279], tags[273], tags[284] = h, len(data), 0, 1
    if count in (2, 4):
        tags[338] = 2  # alpha that colours are not multiplied by
    if icc_profile:
        tags.tagtype[34675] = 7
        tags[34675] = icc_profile
    header = BytesIO()
    place = tags.save(header)
    file.write(header.getvalue())
    assert place == header.tell()
    file.write(data)
