"""Test images are read once where there is room, and give the same pairs where there is none."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from fastsr.data.formats import PixelFormat
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load
from fastsr.evaluation.protocol import Protocol
from fastsr.evaluation.reading import PairReader
from fastsr.evaluation.test_sets import ImageSet, find_set
from tests.fastsr.evaluation.small_models import write_images

PROTOCOL = Protocol(scale=2, metrics=("psnr",))
SIZES = [(40, 52), (44, 48), (41, 50), (60, 46), (38, 38)]
ONE = 40 * 52 * 3 * 5 // 4
"""Bytes of the first pair."""


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    write_images(tmp_path / "mine", SIZES)
    return find_set("mine", tmp_path, 2)


def assert_equal_pairs(got: list[Pair], images: ImageSet) -> None:
    assert [pair.name for pair in got] == [files.hr.name for files in images.images]
    for pair, files in zip(got, images.images, strict=True):
        want = load(files, PROTOCOL)
        assert torch.equal(pair.hr, want.hr) and torch.equal(pair.lr, want.lr)
        assert (pair.grey, pair.cropped) == (want.grey, want.cropped)


@pytest.mark.parametrize("room", [0, ONE - 1, 3 * ONE, 10**9])
def test_pairs_come_in_order_with_any_room(images: ImageSet, room: int) -> None:
    reader = PairReader(PROTOCOL, room)
    notes = reader.check([images])
    assert notes == {"mine": ["1 of 5 images are cropped to a multiple of 2 pixels"]}
    assert sum(p.hr.numel() + p.lr.numel() for p in reader.kept.values()) <= room
    assert_equal_pairs(list(reader.pairs(images.images)), images)
    assert not reader.kept


def test_samples_of_16_bits_take_twice_the_room(images: ImageSet) -> None:
    deep = Protocol(scale=2, metrics=("psnr",), form=PixelFormat(3, 16))
    for protocol, kept in ((PROTOCOL, 2), (deep, 1)):
        reader = PairReader(protocol, 2 * ONE + 2000)
        reader.check([ImageSet(images.name, images.folder, images.images[:2])])
        assert len(reader.kept) == kept


def test_what_was_kept_is_not_read_again(images: ImageSet) -> None:
    want = [load(files, PROTOCOL) for files in images.images]
    reader = PairReader(PROTOCOL, 10**9)
    reader.check([images])
    for files in images.images:
        files.hr.unlink()
    for pair, once in zip(reader.pairs(images.images), want, strict=True):
        assert torch.equal(pair.hr, once.hr) and torch.equal(pair.lr, once.lr)
    with pytest.raises(UserError, match="does not exist"):
        list(reader.pairs(images.images))


def test_every_bad_image_of_every_set_is_listed(images: ImageSet, tmp_path: Path) -> None:
    write_images(tmp_path / "other", [(40, 40)])
    (tmp_path / "mine/1.png").write_bytes(b"nothing")
    (tmp_path / "mine/3.png").write_bytes((tmp_path / "mine/2.png").read_bytes()[:400])
    Image.new("RGB", (9, 60)).save(tmp_path / "other/small.png")
    with pytest.raises(UserError, match="3 test images cannot be used") as caught:
        PairReader(PROTOCOL, 10**9).check([images, find_set("other", tmp_path, 2)])
    lines = str(caught.value).splitlines()[1:]
    assert [Path(line.split(": ")[0].strip()).name for line in lines] == [
        "1.png",
        "3.png",
        "small.png",
    ]
