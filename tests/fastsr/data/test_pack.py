"""Packs: made once, found again, and honest about files that cannot be used."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fastsr.errors import UserError
from tests.fastsr.data.packing import SIZES, Packer, assert_holds, noise, save_images

Track = Callable[[Iterator[Any], int], Iterator[Any]]


def test_a_pack_holds_the_pixels_of_its_files(pack: Packer, paths: list[Path]) -> None:
    store = pack(paths)
    assert_holds(store, paths)
    assert len(store) == len(SIZES)
    assert store.height_I.tolist() == [height for height, _ in SIZES]
    assert store.width_I.tolist() == [width for _, width in SIZES]
    assert store.start_I.tolist() == [0, 480, 480 + 561, 480 + 561 + 640]
    assert store.nbytes == 3 * (480 + 561 + 640 + 256)
    assert store.pixels.dtype == torch.uint8
    assert pack.leftovers == []


def test_images_keep_the_order_of_paths_although_decoded_in_parallel(
    pack: Packer, tmp_path: Path
) -> None:
    # The slow ones come first.
    sizes = tuple((400, 400) if k % 3 == 0 else (16, 16 + k) for k in range(24))
    paths = save_images(tmp_path / "many", sizes)[::-1]
    assert_holds(pack(paths), paths)


def test_an_unchanged_set_of_files_is_not_decoded_again(pack: Packer, paths: list[Path]) -> None:
    pack(paths)
    store = pack(paths)
    assert pack.packings == 1
    assert len(pack.packs) == 1
    assert_holds(store, paths)


def test_another_minimum_side_uses_the_same_pack(pack: Packer, paths: list[Path]) -> None:
    pack(paths)
    assert len(pack(paths, minimum_side=17, skip_bad=True)) == 2
    assert pack.packings == 1


def rewrite(path: Path) -> None:
    """Other pixels in a file of the same size; only the modification time tells."""
    before = path.stat()
    Image.fromarray(noise(*SIZES[1], seed=99)).save(path)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def resize(path: Path) -> None:
    """Another file with the modification time of the old one; only the size tells."""
    before = path.stat()
    Image.fromarray(noise(18, 18, seed=99)).save(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [rewrite, resize], ids=["time", "size"])
def test_a_changed_file_is_packed_again(
    pack: Packer, paths: list[Path], change: Callable[[Path], None]
) -> None:
    pack(paths)
    change(paths[1])
    assert_holds(pack(paths), paths)
    assert pack.packings == 2


@pytest.mark.parametrize(
    "order", [[0, 1, 2], [3, 2, 1, 0], [1]], ids=["one fewer", "reversed", "one"]
)
def test_another_set_or_order_of_files_is_another_pack(
    pack: Packer, paths: list[Path], order: list[int]
) -> None:
    pack(paths)
    chosen = [paths[k] for k in order]
    assert_holds(pack(chosen), chosen)
    assert len(pack.packs) == 2


def test_a_file_that_was_mended_is_packed_again(pack: Packer, paths: list[Path]) -> None:
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[:100])
    with pytest.raises(UserError, match=r"1 of 4 images cannot be used"):
        pack(paths)
    paths[2].write_bytes(whole)
    assert_holds(pack(paths), paths)


def test_file_names_may_be_any_bytes(pack: Packer, tmp_path: Path) -> None:
    """Names from before UTF-8 are not text, and are files all the same."""
    paths = [
        tmp_path / os.fsdecode(name)
        for name in (b"caf\xe9.png", "日本 😀.png".encode(), b"a\nb.png")
    ]
    for k, path in enumerate(paths):
        Image.fromarray(noise(16, 16, k)).save(path, "PNG")
    assert_holds(pack(paths), paths)
    assert_holds(pack(paths), paths)
    assert pack.packings == 1


def spoil(folder: Path) -> list[Path]:
    """Nine files: four good, three unreadable, two small."""
    paths = save_images(
        folder, ((20, 20), (10, 30), (20, 20), (20, 20), (30, 10), (20, 20), (20, 20), (20, 20))
    )
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    paths[5].write_bytes(b"")
    return [*paths, folder / "gone.png"]


def test_one_error_lists_every_unreadable_and_every_small_file(
    pack: Packer, tmp_path: Path
) -> None:
    paths = spoil(tmp_path / "images")
    with pytest.raises(UserError) as error:
        pack(paths)
    first, *lines = str(error.value).splitlines()
    assert first == "5 of 9 images cannot be used; mend them or pass --skip-bad:"
    reasons = {line.strip().partition(": ")[0]: line.partition(": ")[2] for line in lines}
    assert reasons.keys() == {str(paths[k]) for k in (1, 2, 4, 5, 8)}
    assert reasons[str(paths[1])] == "is 30x10, smaller than the 16 pixels that a patch needs"
    assert reasons[str(paths[4])] == "is 10x30, smaller than the 16 pixels that a patch needs"
    assert reasons[str(paths[2])].startswith("cannot be decoded (")
    assert reasons[str(paths[5])] == "is not an image, or is damaged"
    assert reasons[str(paths[8])] == "does not exist"


def test_skip_bad_lists_what_it_leaves_out(pack: Packer, tmp_path: Path) -> None:
    paths = spoil(tmp_path / "images")
    store = pack(paths, skip_bad=True)
    assert_holds(store, [paths[k] for k in (0, 3, 6, 7)])
    (said,) = pack.said
    assert said.startswith("5 of 9 images left out:\n")
    assert {line.strip().partition(": ")[0] for line in said.splitlines()[1:]} == {
        str(paths[k]) for k in (1, 2, 4, 5, 8)
    }


def test_skip_bad_says_the_same_of_a_pack_that_is_reused(pack: Packer, tmp_path: Path) -> None:
    paths = spoil(tmp_path / "images")
    pack(paths, skip_bad=True)
    pack(paths, skip_bad=True)
    assert pack.packings == 1
    assert pack.said[0] == pack.said[1]
    with pytest.raises(UserError, match="5 of 9 images cannot be used"):
        pack(paths)


def test_good_images_are_packed_without_a_word(pack: Packer, paths: list[Path]) -> None:
    pack(paths, skip_bad=True)
    assert pack.said == []


@pytest.mark.parametrize("kind", ["unreadable", "small"])
def test_skip_bad_with_no_image_left_is_an_error(
    pack: Packer, paths: list[Path], kind: str
) -> None:
    if kind == "unreadable":
        for path in paths:
            path.write_text("no image")
    with pytest.raises(UserError, match="no image is left to train on"):
        pack(paths, minimum_side=100, skip_bad=True)
