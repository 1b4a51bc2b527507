"""Image files: which are found, and what their pixels are by the rule in the docstring of fastsr.images."""

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fastsr.data.images import EXTENSIONS, find_images, is_grey, read_rgb8
from fastsr.errors import UserError

Pixels = NDArray[np.uint8]
NOISE: Pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
GREY: Pixels = NOISE[..., 0].copy()
ALPHA: Pixels = np.full((7, 5), 0, np.uint8)
WORDS = np.array([[0, 255, 256], [257, 32767, 65535]], np.uint16)
UPPER_BYTES = np.array([[0, 0, 1], [1, 127, 255]], np.uint8)


def three(grey: Pixels) -> Pixels:
    return np.repeat(grey[..., None], 3, axis=2)


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes]) -> bytes:
    """A PNG file of given samples, for the bit depths that Pillow reads and does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


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
    first = 8 + len(data) + 6  # of the directory: behind the header, the pixels and the three bit depths
    following = first + 2 + 12 * len(entries) + 4 if second_page else 0
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", first) + data + struct.pack("<HHH", 16, 16, 16) + directory + second_page


def words(pixels: NDArray[np.uint16]) -> list[bytes]:
    return [row.astype(">u2").tobytes() for row in pixels]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its image. Pillow and fastsr go by the contents, so that one name does for all formats."""
    return tmp_path / "image"


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def test_find_images_searches_folders_recursively_and_sorts(tmp_path: Path) -> None:
    expected = touch(tmp_path, "a.png", "b/a.jpg", "b/c/z.JPEG", "b/d.webp", "c.BMP", "d.tif", "e.tiff")
    touch(tmp_path, "notes.txt", "b/list.csv", "png", "f.png.part")
    assert find_images((tmp_path,)) == expected
    assert {path.suffix.lower() for path in expected} | {".jpg"} == EXTENSIONS


def test_find_images_leaves_out_hidden_files(tmp_path: Path) -> None:
    (shown,) = touch(tmp_path, "shown.png")
    touch(tmp_path, ".hidden.png", "._shown.png")
    assert find_images((tmp_path,)) == [shown]


def test_find_images_leaves_out_hidden_folders(tmp_path: Path) -> None:
    (shown,) = touch(tmp_path, "shown.png")
    touch(tmp_path, ".thumbnails/shown.png", "deep/.cache/shown.png")
    assert find_images((tmp_path,)) == [shown]


def test_find_images_searches_a_hidden_folder_that_is_named(tmp_path: Path) -> None:
    expected = touch(tmp_path / ".data", "a.png")
    assert find_images((tmp_path / ".data",)) == expected


def test_find_images_takes_a_single_file_as_it_is(tmp_path: Path) -> None:
    expected = touch(tmp_path, "scan.dat", ".hidden.png")
    touch(tmp_path, "other.png")
    assert find_images(tuple(expected)) == expected


def test_find_images_keeps_the_order_of_sources(tmp_path: Path) -> None:
    z, a, b = touch(tmp_path, "z/1.png", "a/1.png", "a/2.png")
    assert find_images((tmp_path / "z", tmp_path / "a")) == [z, a, b]


def test_find_images_follows_links_to_folders(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/a.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "elsewhere")
    assert find_images((tmp_path / "data",)) == [tmp_path / "data/link/a.png"]


def test_find_images_finds_each_image_once_where_links_form_a_circle(tmp_path: Path) -> None:
    expected = touch(tmp_path, "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_images((tmp_path,)) == expected


def test_find_images_names_a_missing_source(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(UserError, match=f"{tmp_path}/gone does not exist"):
        find_images((tmp_path, tmp_path / "gone"))


def test_find_images_names_a_folder_without_images(tmp_path: Path) -> None:
    touch(tmp_path, "good/a.png", "empty/notes.txt")
    with pytest.raises(UserError, match=rf"{tmp_path}/empty holds no image \(.*\.png.*\)"):
        find_images((tmp_path / "good", tmp_path / "empty"))


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
def test_lossless_formats_give_the_pixels_saved(file: Path, name: str, options: dict[str, object]) -> None:
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


def palette_image(mode: str) -> tuple[Image.Image, Pixels]:
    colours = np.array([[10, 20, 30], [200, 100, 0], [255, 255, 255]], np.uint8)
    index = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    image = Image.fromarray(index, "P")
    image.putpalette(colours.tobytes())
    if mode == "PA":
        image = image.convert("PA")
        image.putalpha(Image.fromarray(np.array([[0, 128, 255], [0, 0, 0]], np.uint8)))
    return image, colours[index]


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
def test_alpha_is_dropped_and_stored_colours_kept(file: Path, name: str, options: dict[str, object]) -> None:
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
    samples = np.stack([WORDS, WORDS.T.reshape(2, 3), WORDS[::-1], WORDS[:, ::-1]], axis=2)[..., :channels]
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
    Image.fromarray(NOISE).save(file, name, exif=orientation(value), **({"lossless": True} if name == "WEBP" else {}))
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
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + struct.pack("<I", 0)
    Image.fromarray(NOISE).save(file, "PNG", exif=exif)
    assert np.array_equal(read_rgb8(file), np.rot90(NOISE, -1))


def reason(file: Path) -> str:
    """Why a file is refused; always one line without the path, so that callers can list many."""
    with pytest.raises(UserError) as error:
        read_rgb8(file)
    text = str(error.value)
    assert str(file) not in text
    assert "\n" not in text
    return text


def save_frames(file: Path, name: str) -> None:
    first, *others = (Image.fromarray(np.roll(NOISE, k)) for k in range(3))
    first.save(file, name, save_all=True, append_images=others)


@pytest.mark.parametrize(("dtype", "mode"), [(np.float32, "F"), (np.int32, "I")], ids=["float", "32 bit"])
def test_float_and_32_bit_samples_are_refused(file: Path, dtype: type[np.generic], mode: str) -> None:
    Image.fromarray(np.ones((2, 3), dtype)).save(file, "TIFF")
    text = reason(file)
    assert f"mode {mode} " in text
    assert "save it with 8 or 16 bits per sample" in text


@pytest.mark.parametrize("name", ["WEBP", "PNG", "TIFF", "GIF"])
def test_animations_and_several_pages_are_refused(file: Path, name: str) -> None:
    save_frames(file, name)
    assert "has 3 frames; save the one you mean" in reason(file)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.4, 0.9])
def test_truncated_files_are_refused(file: Path, name: str, kept: float) -> None:
    Image.fromarray(np.kron(NOISE, np.ones((8, 8, 1), np.uint8))).save(file, name)
    whole = file.read_bytes()
    read_rgb8(file)
    file.write_bytes(whole[: int(kept * len(whole))])
    assert reason(file).startswith(("cannot be decoded (", "is not an image, or is damaged"))


@pytest.mark.parametrize(
    "content",
    [b"", b"not an image\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"],
    ids=["empty", "text", "PNG magic", "JPEG magic"],
)
def test_what_is_no_image_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert "is not an image, or is damaged" in reason(file)


def test_png_with_damaged_data_is_refused(file: Path) -> None:
    Image.fromarray(NOISE).save(file, "PNG")
    data = bytearray(file.read_bytes())
    data[data.index(b"IDAT") + 10] ^= 0xFF
    file.write_bytes(data)
    assert "cannot be decoded (" in reason(file)


@pytest.mark.parametrize("tag", [256, 257, 273, 258], ids=["width", "height", "offsets", "bits"])
def test_tiff_without_a_tag_it_needs_is_refused(file: Path, tag: int) -> None:
    file.write_bytes(tiff(np.stack([WORDS] * 3, axis=2), leave_out=tag))
    reason(file)


def test_tiff_with_a_damaged_second_page_is_refused(file: Path) -> None:
    without_dimensions = struct.pack("<HHHIII", 1, 259, 3, 1, 1, 0)
    file.write_bytes(tiff(np.stack([WORDS] * 3, axis=2), second_page=without_dimensions))
    reason(file)


def test_a_missing_file_is_refused(file: Path) -> None:
    assert reason(file) == "does not exist"


def test_a_link_to_nothing_is_refused(file: Path) -> None:
    file.symlink_to("nowhere")
    assert reason(file) == "does not exist"


@pytest.mark.parametrize("side", [60_000, 13_500])
def test_decompression_bombs_are_refused_by_their_header(file: Path, side: int) -> None:
    file.write_bytes(png(side, side, 8, 2, [b"\0"]))
    assert "has more than 178,956,970 pixels; cut it into tiles" in reason(file)


def test_images_below_the_limit_are_decoded_without_a_warning(file: Path) -> None:
    side = 9_460  # 89.5 million pixels: Pillow warns beyond 89, and refuses beyond 179
    file.write_bytes(png(side, side, 1, 0, [b"\xff" * (side // 8 + 1)] * side))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = read_rgb8(file)
    assert pixels.shape == (side, side, 3)
    assert pixels[:: side - 1, :: side - 1].min() == 255
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GREY > 127), True),
        (Image.fromarray(GREY), True),
        (Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]), True),
        (Image.frombytes("I;16", (3, 2), WORDS.tobytes()), True),
        (Image.fromarray(three(GREY)), False),
        (palette_image("P")[0], False),
        (Image.fromarray(NOISE), False),
    ],
    ids=["1", "L", "LA", "I;16", "RGB of equal channels", "P", "RGB"],
)
def test_is_grey_tells_grey_samples_from_equal_channels(file: Path, image: Image.Image, expected: bool) -> None:
    image.save(file, "PNG")
    assert is_grey(file) is expected
