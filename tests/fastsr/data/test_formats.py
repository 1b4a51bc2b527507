"""Images of other channels and bits than RGB of 8 bits: read, packed, and told."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastsr.data.conversions import conversions
from fastsr.data.formats import RGB8, PixelFormat, as_rgb8, read_pixels
from fastsr.data.images import find_images, read_rgb8
from fastsr.data.pack import pack_images
from fastsr.errors import UserError
from fastsr.inference.deep import write_png, write_tiff
from tests.images import random_image

RGB = random_image(9, 7)
DEEP = np.random.default_rng(1).integers(0, 65536, (9, 7, 4)).astype(np.uint16)
PLANES = np.random.default_rng(2).integers(0, 256, (9, 7, 5)).astype(np.uint8)


def deep_file(folder: Path, channels: int, kind: str = "png") -> Path:
    file = folder / f"deep{channels}.{kind}"
    with file.open("wb") as opened:
        (write_png if kind == "png" else write_tiff)(opened, DEEP[..., :channels], None, None)
    return file


def stack_file(folder: Path) -> Path:
    file = folder / "stack.tif"
    first, *others = (Image.fromarray(PLANES[..., c].copy()) for c in range(5))
    first.save(file, save_all=True, append_images=others)
    return file


def array_file(folder: Path, array: np.ndarray = PLANES) -> Path:
    np.save(folder / "array.npy", array)
    return folder / "array.npy"


def test_colours_become_grey_as_pillow_has_it(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    want = np.array(Image.fromarray(RGB).convert("L"))[..., None]
    assert np.array_equal(read_pixels(tmp_path / "a.png", PixelFormat(1)), want)


def test_grey_stays_grey_and_loses_alpha(tmp_path: Path) -> None:
    grey, alpha = RGB[..., 0], RGB[..., 1]
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]).save(tmp_path / "a.png")
    assert np.array_equal(read_pixels(tmp_path / "a.png", PixelFormat(1)), grey[..., None])
    both = read_pixels(tmp_path / "a.png", PixelFormat(2))
    assert np.array_equal(both, np.dstack([grey, alpha]))


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_read_whole(tmp_path: Path, channels: int, kind: str) -> None:
    file = deep_file(tmp_path, channels, kind)
    want = DEEP[..., :channels]
    assert np.array_equal(read_pixels(file, PixelFormat(channels, 16)), want)
    assert np.array_equal(read_pixels(file, PixelFormat(channels, 8)), want >> 8)
    if channels != 1:
        assert np.array_equal(read_pixels(file, PixelFormat(3, 16)), DEEP[..., :3])


def test_8_bits_become_16_from_black_to_white(tmp_path: Path) -> None:
    ends = np.stack([np.zeros((3, 4), np.uint8), np.full((3, 4), 255, np.uint8)] * 2, 2)[..., :3]
    Image.fromarray(ends).save(tmp_path / "a.png")
    pixels = read_pixels(tmp_path / "a.png", PixelFormat(3, 16))
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, ends.astype(np.uint16) * 257)


def test_pages_and_arrays_are_channels(tmp_path: Path) -> None:
    for file in (stack_file(tmp_path), array_file(tmp_path), array_file(tmp_path, PLANES)):
        assert np.array_equal(read_pixels(file, PixelFormat(5)), PLANES)
    swapped = array_file(tmp_path, DEEP.astype(">u2"))
    assert np.array_equal(read_pixels(swapped, PixelFormat(4, 16)), DEEP)


def test_four_channels_are_alpha_or_print_colours(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, RGB[..., :1]])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    Image.fromarray(rgba, mode="CMYK").save(tmp_path / "a.tif")
    for name in ("a.png", "a.tif"):
        assert np.array_equal(read_pixels(tmp_path / name, PixelFormat(4)), rgba)


@pytest.mark.parametrize(
    ("make", "channels", "reason"),
    [
        (lambda folder: deep_file(folder, 3), 4, "has 3 channels, not 4; give images of 4"),
        (stack_file, 4, "has 5 channels, not 4"),
        (stack_file, 1, "has 5 channels, not 1"),
        (lambda folder: array_file(folder, np.zeros((4, 5, 1))), 1, "an array of float64"),
        (lambda folder: array_file(folder, np.zeros(4, np.uint8)), 1, "an array of (4,)"),
        (lambda folder: folder / "gone.npy", 1, "does not exist"),
    ],
)
def test_other_channels_are_refused(tmp_path: Path, make, channels: int, reason: str) -> None:
    with pytest.raises(UserError) as error:
        read_pixels(make(tmp_path), PixelFormat(channels))
    assert reason in str(error.value)


def test_pages_in_colour_are_no_channels(tmp_path: Path) -> None:
    pages = [Image.fromarray(RGB)] * 2
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match="pages that are not grey"):
        read_pixels(tmp_path / "a.tif", PixelFormat(2))


def test_arrays_are_found_where_images_are_not_rgb(tmp_path: Path) -> None:
    array_file(tmp_path)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    found = find_images((tmp_path,), suffixes=PixelFormat(5).suffixes)
    assert [path.name for path in found] == ["a.png", "array.npy"]
    assert [path.name for path in find_images((tmp_path,))] == ["a.png"]


@pytest.mark.parametrize("form", [PixelFormat(1), PixelFormat(4), PixelFormat(4, 16), RGB8])
def test_packs_keep_channels_and_bits(tmp_path: Path, form: PixelFormat) -> None:
    file = deep_file(tmp_path, 4)
    for _ in range(2):  # made, then opened
        store = pack_images([file], minimum_side=1, form=form, cache=tmp_path / "cache")
        assert store.channels == form.channels
        assert np.array_equal(store.image(0).numpy(), read_pixels(file, form))
    others = {PixelFormat(1), PixelFormat(4), PixelFormat(4, 16), RGB8} - {form}
    digests = {
        pack_images([file], minimum_side=1, form=one, cache=tmp_path / "cache").digest
        for one in others
    }
    assert store.digest not in digests


def test_packs_from_before_there_were_others_are_rgb_of_8_bits(tmp_path: Path) -> None:
    file = deep_file(tmp_path, 3)
    made = pack_images([file], minimum_side=1, cache=tmp_path / "cache")
    (index,) = (tmp_path / "cache" / "packs").glob("*/index.json")
    content = json.loads(index.read_text())
    del content["channels"], content["bits"]
    index.write_text(json.dumps(content))
    told: list[str] = []
    again = pack_images([file], minimum_side=1, cache=tmp_path / "cache", tell=told.append)
    assert not told
    assert again.digest == made.digest
    assert np.array_equal(again.image(0).numpy(), read_rgb8(file))


@pytest.mark.parametrize(
    ("channels", "form", "note"),
    [
        (3, RGB8, "--bits 16 uses all"),
        (1, PixelFormat(3, 16), "--channels 1 keeps one channel"),
        (3, PixelFormat(1, 16), "deep3.png, become grey"),
        (3, PixelFormat(3, 16), ""),
    ],
)
def test_notes_on_samples(tmp_path: Path, channels: int, form: PixelFormat, note: str) -> None:
    notes = conversions([deep_file(tmp_path, channels)], form)
    assert len(notes) == bool(note)
    assert note in "".join(notes)


def test_notes_on_mixed_bits(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    files = [deep_file(tmp_path, 3), tmp_path / "a.png"]
    assert conversions(files, PixelFormat(3, 16)) == [
        "images of 8 bits, such as a.png, become 16 bits by a factor of 257"
    ]
    assert conversions(files, RGB8) == []


def test_a_note_on_cmyk_among_other_images_of_four_channels(tmp_path: Path) -> None:
    for mode in ("CMYK", "RGBA"):
        Image.fromarray(RGB).convert(mode).save(tmp_path / f"{mode}.tif")
    files = [tmp_path / "RGBA.tif", tmp_path / "CMYK.tif"]
    (note,) = conversions(files, PixelFormat(4))
    assert note.startswith("warning: CMYK.tif is CMYK and RGBA.tif is not")
    assert conversions(files[:1], PixelFormat(4)) == conversions(files[1:], PixelFormat(4)) == []


def test_any_channels_are_shown_as_rgb_of_8_bits() -> None:
    assert np.array_equal(as_rgb8(DEEP), DEEP[..., :3] >> 8)
    assert np.array_equal(as_rgb8(PLANES[..., :2]), np.repeat(PLANES[..., :1], 3, 2))
