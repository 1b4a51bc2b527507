"""Image files that cannot be used, and the reasons given."""

import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastsr.data.conversions import conversions
from fastsr.data.formats import RGB8
from fastsr.data.images import is_grey, read_rgb8
from fastsr.errors import UserError
from tests.fastsr.data.image_files import ALPHA, GREY, NOISE, WORDS, palette_image, png, three, tiff


def reason(file: Path) -> str:
    """The reason why a file is refused; always one line without the path, so that callers can list many."""
    with pytest.raises(UserError) as error:
        read_rgb8(file)
    text = str(error.value)
    assert str(file) not in text
    assert "\n" not in text
    return text


def save_frames(file: Path, name: str) -> None:
    first, *others = (Image.fromarray(np.roll(NOISE, k)) for k in range(3))
    first.save(file, name, save_all=True, append_images=others)


@pytest.mark.parametrize(
    ("dtype", "mode"), [(np.float32, "F"), (np.int32, "I")], ids=["float", "32 bit"]
)
def test_float_and_32_bit_samples_are_refused(
    file: Path, dtype: type[np.generic], mode: str
) -> None:
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
    assert conversions([file], RGB8) == []  # reading it tells what is wrong


def test_images_below_the_limit_are_decoded_without_a_warning(file: Path) -> None:
    side = 9_460  # 89.5 million pixels: Pillow warns beyond 89, and refuses beyond 179
    file.write_bytes(png(side, side, 1, 0, [b"\xff" * (side // 8 + 1)] * side))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = read_rgb8(file)
        assert is_grey(file)
        assert "all images are grey" in conversions([file], RGB8)[0]
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
def test_is_grey_tells_grey_samples_from_equal_channels(
    file: Path, image: Image.Image, expected: bool
) -> None:
    image.save(file, "PNG")
    assert is_grey(file) is expected
