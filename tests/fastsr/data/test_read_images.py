"""Image files: their pixels, by the rule in the docstring of fastsr.data.images."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fastsr.data.images import read_rgb8
from tests.fastsr.data.image_files import (
    ALPHA,
    GREY,
    NOISE,
    WORDS,
    Pixels,
    palette_image,
    png,
    three,
    tiff,
)

UPPER_BYTES = np.array([[0, 0, 1], [1, 127, 255]], np.uint8)


def words(pixels: NDArray[np.uint16]) -> list[bytes]:
    return [row.astype(">u2").tobytes() for row in pixels]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ],
    ids=["PNG", "BMP", "WebP lossless", "TIFF", "TIFF LZW", "TIFF deflate"],
)
def test_lossless_formats_give_the_pixels_saved(
    file: Path, name: str, options: dict[str, object]
) -> None:
    Image.fromarray(NOISE).save(file, name, **options)
    pixels = read_rgb8(file)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, NOISE)


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
def test_lossy_formats_give_the_pixels_decoded(file: Path, name: str) -> None:
    Image.fromarray(NOISE).save(file, name, quality=90)
    with Image.open(file) as image:
        decoded = np.array(image)
    assert np.abs(decoded.astype(int) - NOISE).mean() < 60  # the right picture, although lossy
    assert np.array_equal(read_rgb8(file), decoded)


def test_grey_jpeg_becomes_three_equal_channels(file: Path) -> None:
    Image.new("L", (8, 8), 100).save(file, "JPEG", quality=100)  # a constant block survives JPEG
    assert np.array_equal(read_rgb8(file), np.full((8, 8, 3), 100, np.uint8))


def test_cmyk_jpeg_is_what_pillow_makes_of_it(file: Path) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(file, "JPEG", quality=100)
    pixels = read_rgb8(file)
    with Image.open(file) as image:
        assert image.mode == "CMYK"
        assert np.array_equal(pixels, np.array(image.convert("RGB")))
    assert np.abs(pixels.astype(int) - (0, 255, 255)).max() <= 2  # cyan, not its negative


def test_the_array_is_writable_and_contiguous(file: Path) -> None:
    Image.fromarray(NOISE).save(file, "PNG")
    pixels = read_rgb8(file)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


def test_one_bit_is_black_and_white(file: Path) -> None:
    bits = GREY > 127
    Image.fromarray(bits).save(file, "PNG")
    with Image.open(file) as image:
        assert image.mode == "1"
    assert np.array_equal(read_rgb8(file), three(bits.astype(np.uint8) * 255))


def test_grey_becomes_three_equal_channels(file: Path) -> None:
    Image.fromarray(GREY).save(file, "PNG")
    assert np.array_equal(read_rgb8(file), three(GREY))


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_grey_with_alpha_drops_alpha(file: Path, name: str) -> None:
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]).save(file, name)
    assert np.array_equal(read_rgb8(file), three(GREY))


@pytest.mark.parametrize(
    ("name", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})],
    ids=["PNG", "TIFF", "WebP"],
)
def test_alpha_is_dropped_and_stored_colours_kept(
    file: Path, name: str, options: dict[str, object]
) -> None:
    channels = [Image.fromarray(channel) for channel in (*np.moveaxis(NOISE, 2, 0), ALPHA)]
    Image.merge("RGBA", channels).save(file, name, **options)
    assert np.array_equal(read_rgb8(file), NOISE)


@pytest.mark.parametrize("name", ["PNG", "TIFF", "BMP"])
def test_palette_becomes_its_colours(file: Path, name: str) -> None:
    image, colours = palette_image("P")
    image.save(file, name)
    with Image.open(file) as saved:
        assert saved.mode == "P"
    assert np.array_equal(read_rgb8(file), colours)


@pytest.mark.parametrize("transparency", [1, b"\x00\x80\xff"], ids=["one index", "alpha per index"])
def test_transparent_palette_keeps_its_colours(file: Path, transparency: int | bytes) -> None:
    image, colours = palette_image("P")
    image.save(file, "PNG", transparency=transparency)
    assert np.array_equal(read_rgb8(file), colours)


def test_palette_with_alpha_drops_alpha(file: Path) -> None:
    image, colours = palette_image("PA")
    image.save(file, "TIFF")
    with Image.open(file) as saved:
        assert saved.mode == "PA"
    assert np.array_equal(read_rgb8(file), colours)


def test_rgb_with_a_transparent_colour_keeps_it(file: Path) -> None:
    Image.fromarray(NOISE).save(file, "PNG", transparency=tuple(NOISE[0, 0].tolist()))
    assert np.array_equal(read_rgb8(file), NOISE)


def test_cmyk_tiff_is_multiplied_out(file: Path) -> None:
    inks = np.array([[[255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 0], [128, 0, 255, 128]]], np.uint8)
    Image.fromarray(inks, "CMYK").save(file, "TIFF")
    assert read_rgb8(file).tolist() == [[[0, 255, 255], [0, 0, 0], [255, 255, 255], [63, 127, 0]]]


@pytest.mark.parametrize(("mode", "name"), [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF")])
def test_16_bit_grey_keeps_its_upper_byte(file: Path, mode: str, name: str) -> None:
    samples = WORDS.astype(">u2" if mode == "I;16B" else "<u2")
    Image.frombytes(mode, (3, 2), samples.tobytes()).save(file, name)
    with Image.open(file) as image:
        assert image.mode == mode
    assert np.array_equal(read_rgb8(file), three(UPPER_BYTES))


@pytest.mark.parametrize(
    ("colour", "channels"), [(2, 3), (6, 4), (4, 2)], ids=["RGB", "RGB and alpha", "grey and alpha"]
)
def test_16_bit_png_keeps_its_upper_bytes(file: Path, colour: int, channels: int) -> None:
    samples = np.stack([WORDS, WORDS.T.reshape(2, 3), WORDS[::-1], WORDS[:, ::-1]], axis=2)[
        ..., :channels
    ]
    file.write_bytes(png(3, 2, 16, colour, words(samples)))
    upper = (samples // 256).astype(np.uint8)
    assert np.array_equal(read_rgb8(file), upper[..., :3] if channels > 2 else three(upper[..., 0]))


def test_16_bit_rgb_tiff_keeps_its_upper_bytes(file: Path) -> None:
    samples = np.stack([WORDS, WORDS[::-1], WORDS[:, ::-1]], axis=2)
    file.write_bytes(tiff(samples))
    assert np.array_equal(read_rgb8(file), samples // 256)


def test_2_bit_grey_png_spans_black_to_white(file: Path) -> None:
    file.write_bytes(png(4, 1, 2, 0, [bytes([0b00_01_10_11])]))
    assert np.array_equal(read_rgb8(file), three(np.array([[0, 85, 170, 255]], np.uint8)))


UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = value
    return exif


@pytest.mark.parametrize("value", UPRIGHT)
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(file: Path, name: str, value: int) -> None:
    Image.fromarray(NOISE).save(
        file, name, exif=orientation(value), **({"lossless": True} if name == "WEBP" else {})
    )
    assert np.array_equal(read_rgb8(file), UPRIGHT[value](NOISE))


def test_exif_orientation_of_a_jpeg_is_applied(file: Path, tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(file, "JPEG")
    Image.fromarray(NOISE).save(tmp_path / "turned", "JPEG", exif=orientation(6))
    assert np.array_equal(read_rgb8(tmp_path / "turned"), np.rot90(read_rgb8(file), -1))


def test_exif_orientation_is_applied_to_16_bit_grey(file: Path) -> None:
    Image.frombytes("I;16", (3, 2), WORDS.tobytes()).save(file, "PNG", exif=orientation(6))
    assert np.array_equal(read_rgb8(file), np.rot90(three(UPPER_BYTES), -1))


@pytest.mark.parametrize(
    "entry",
    [struct.pack("<HHI4s", 282, 2, 4, b"abc\0"), struct.pack("<HHIi", 256, 9, 1, -5)],
    ids=["resolution as text", "negative width"],
)
def test_odd_exif_beside_the_orientation_does_no_harm(file: Path, entry: bytes) -> None:
    """Cameras and editors write such tags, and every viewer shows the photo."""
    entries = [struct.pack("<HHIHH", 274, 3, 1, 6, 0), entry]
    exif = (
        b"Exif\0\0II*\0"
        + struct.pack("<IH", 8, len(entries))
        + b"".join(entries)
        + struct.pack("<I", 0)
    )
    Image.fromarray(NOISE).save(file, "PNG", exif=exif)
    assert np.array_equal(read_rgb8(file), np.rot90(NOISE, -1))
