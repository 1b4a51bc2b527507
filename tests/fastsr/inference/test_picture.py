"""Pictures read and written: every kind of file, 16 bits, alpha, grey, profiles and EXIF."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from fastsr.errors import UserError
from fastsr.inference.exif import PREFIX
from fastsr.inference.picture import Picture, read_picture
from fastsr.inference.write import check_room, save_picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[271], tags[274] = "maker", orientation
    return tags.tobytes().removeprefix(PREFIX)


def pixels(channels: int, dtype: type, height: int = 270, width: int = 19) -> np.ndarray:
    """More rows than are filtered at once; smooth enough that each filter of PNG is the best somewhere."""
    rng = np.random.default_rng(channels)
    steps = rng.integers(0, 5, (height, width, channels)) * rng.integers(1, 4, (height, 1, 1))
    alternating = np.where(np.arange(height) % 2, 0, 1)[:, None, None]
    smooth = np.cumsum(steps, 0) * alternating + np.cumsum(steps, 1)
    return (smooth * (3 if dtype is np.uint8 else 700)).astype(dtype)


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_8_bits_come_back(tmp_path: Path, kind: str, channels: int) -> None:
    picture = Picture(pixels(channels, np.uint8), kind, PROFILE, exif())
    save_picture(picture, tmp_path / f"a.{kind}", kind, 100)
    again = read_picture(tmp_path / f"a.{kind}")
    want = picture.pixels
    if kind == "webp":  # which knows no grey
        colours, alpha = np.split(want, [-1], 2) if channels % 2 == 0 else (want, want[..., :0])
        want = np.concatenate([np.repeat(colours, 3 // colours.shape[2], 2), alpha], 2)
    assert np.array_equal(again.pixels, want) and again.pixels.dtype == np.uint8
    assert (again.kind, again.icc_profile) == (kind, PROFILE)
    assert again.exif is not None and b"maker" in again.exif


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_come_back(tmp_path: Path, kind: str, channels: int) -> None:
    if (kind, channels) == ("tiff", 2):
        pytest.skip("Pillow reads no such TIFF, so none is ever written")
    picture = Picture(pixels(channels, np.uint16), kind, PROFILE, exif())
    save_picture(picture, tmp_path / "a", kind, 95)
    again = read_picture(tmp_path / "a")
    assert np.array_equal(again.pixels, picture.pixels) and again.pixels.dtype == np.uint16
    assert (again.kind, again.icc_profile) == (kind, PROFILE)
    assert again.exif is not None and b"maker" in again.exif


def test_a_written_16_bit_png_is_what_pillow_sees(tmp_path: Path) -> None:
    want = pixels(3, np.uint16)
    save_picture(Picture(want), tmp_path / "a.png", "png", 95)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), want >> 8)


@pytest.mark.parametrize("kind", ["jpg", "bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_opaque_kinds(tmp_path: Path, kind: str, channels: int) -> None:
    smooth = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, 0)
    picture = Picture(np.repeat(smooth, channels, 2), kind, PROFILE, exif())
    save_picture(picture, tmp_path / "a", kind, 95)
    again = read_picture(tmp_path / "a")
    assert again.pixels.shape == picture.pixels.shape
    assert abs(again.pixels.astype(int) - picture.pixels).max() <= 3
    if kind == "jpg":
        assert again.icc_profile == PROFILE
        assert again.exif is not None and b"maker" in again.exif


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_turned_pictures_are_turned_once(tmp_path: Path, form: str) -> None:
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :8] = 255
    Image.fromarray(wide).save(tmp_path / "a", form, exif=PREFIX + exif(6))
    picture = read_picture(tmp_path / "a")
    assert picture.pixels.shape == (16, 8, 3) and picture.pixels[0, 0, 0] > 200
    assert picture.exif is not None and b"maker" in picture.exif
    save_picture(picture, tmp_path / "b", "png", 95)
    assert np.array_equal(read_picture(tmp_path / "b").pixels, picture.pixels)


def test_exif_that_cannot_be_parsed_is_kept(tmp_path: Path) -> None:
    odd = b"II*\0\x08\0\0\0\x05\0" + struct.pack("<HHII", 274, 3, 1, 6) + b"\xff\xff"
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", exif=odd)
    changed = odd.replace(struct.pack("<HHII", 274, 3, 1, 6), struct.pack("<HHII", 274, 3, 1, 1))
    assert read_picture(tmp_path / "a.png").exif == changed


def test_cmyk_becomes_srgb_without_its_profile(tmp_path: Path) -> None:
    Image.new("CMYK", (5, 4), (255, 0, 0, 0)).save(tmp_path / "a.tif", icc_profile=PROFILE)
    picture = read_picture(tmp_path / "a.tif")  # the profile is of RGB, so it cannot be used
    assert picture.pixels.shape == (4, 5, 3) and tuple(picture.pixels[0, 0]) == (0, 255, 255)
    assert picture.icc_profile is None


def test_a_16_bit_cmyk_tiff_is_a_right_picture(tmp_path: Path) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags, header = ImageFileDirectory_v2(), io.BytesIO()
    tags[256], tags[257], tags[258], tags[259], tags[262], tags[277] = 3, 2, (16,) * 4, 1, 5, 4
    tags[278], tags[279], tags[273] = 2, 48, 0
    tags.save(header)
    ink = np.full((2, 3, 4), (0, 65535, 65535, 0), np.uint16)
    (tmp_path / "a.tif").write_bytes(header.getvalue() + ink.astype("<u2").tobytes())
    picture = read_picture(tmp_path / "a.tif")
    assert picture.pixels.shape == (2, 3, 3) and tuple(picture.pixels[1, 2]) == (255, 0, 0)


def test_transparent_palettes_keep_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=1)
    image.save(tmp_path / "b.png")
    assert tuple(read_picture(tmp_path / "a.png").pixels[0, 0]) == (10, 20, 30, 0)
    assert tuple(read_picture(tmp_path / "b.png").pixels[0, 0]) == (10, 20, 30)


@pytest.mark.parametrize(
    ("kind", "size", "alpha", "message"),
    [
        ("jpg", (120_000, 100), False, "would be 100x120000, and jpg holds 65,500 pixels a side"),
        ("webp", (100, 20_000), False, "webp holds 16,383 pixels a side; add --format png"),
        ("jpg", (10, 10), True, "transparent in places, which jpg cannot keep"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(
    kind: str, size: tuple[int, int], alpha: bool, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_room(kind, *size, alpha)
    check_room("png", *size, alpha)
