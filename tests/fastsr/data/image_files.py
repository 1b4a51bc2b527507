"""Image files that tests write."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


NOISE: Pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


GREY: Pixels = NOISE[..., 0].copy()


ALPHA: Pixels = np.full((7, 5), 0, np.uint8)


WORDS = np.array([[0, 255, 256], [257, 32767, 65535]], np.uint16)


def three(grey: Pixels) -> Pixels:
    return np.repeat(grey[..., None], 3, axis=2)


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes]) -> bytes:
    """A PNG file of given samples, for the bit depths that Pillow reads and does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def tiff(pixels: NDArray[np.uint16], leave_out: int = 0, second_page: bytes = b"") -> bytes:
    """An uncompressed little-endian TIFF of 16-bit RGB, perhaps without one of its tags, perhaps with another page."""
    height, width, _ = pixels.shape
    data = pixels.astype("<u2").tobytes()
    short, long = 3, 4
    tags = [
        (256, long, 1, width), (257, long, 1, height), (258, short, 3, 8 + len(data)), (259, short, 1, 1),
        (262, short, 1, 2), (273, long, 1, 8), (277, short, 1, 3), (278, long, 1, height), (279, long, 1, len(data)),
    ]  # fmt: skip
    entries = [struct.pack("<HHII", *tag) for tag in tags if tag[0] != leave_out]
    # Of the directory: behind the header, the pixels and the three bit depths.
    first = 8 + len(data) + 6
    following = first + 2 + 12 * len(entries) + 4 if second_page else 0
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", following)
    return (
        b"II*\0"
        + struct.pack("<I", first)
        + data
        + struct.pack("<HHH", 16, 16, 16)
        + directory
        + second_page
    )


def palette_image(mode: str) -> tuple[Image.Image, Pixels]:
    colours = np.array([[10, 20, 30], [200, 100, 0], [255, 255, 255]], np.uint8)
    index = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    image = Image.fromarray(index, "P")
    image.putpalette(colours.tobytes())
    if mode == "PA":
        image = image.convert("PA")
        image.putalpha(Image.fromarray(np.array([[0, 128, 255], [0, 0, 0]], np.uint8)))
    return image, colours[index]
