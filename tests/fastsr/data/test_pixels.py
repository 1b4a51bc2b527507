"""Pixels in memory, and where they are placed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fastsr.data.pack import pack_images
from fastsr.data.pixels import PixelStore, memory_for, place
from fastsr.files import default_cache
from tests.fastsr.data.packing import SIZES, Packer, assert_holds, noise

CPU = torch.device("cpu")


def test_from_images_holds_the_images() -> None:
    images = [noise(*size, seed=k) for k, size in enumerate(SIZES)]
    store = PixelStore.from_images(images, names=("a", "b", "c", "d"))
    assert store.names == ("a", "b", "c", "d")
    assert store.device == CPU
    for index, image in enumerate(images):
        assert np.array_equal(store.image(index).numpy(), image)


def test_from_images_numbers_images_without_names() -> None:
    assert PixelStore.from_images([noise(2, 3), noise(3, 2)]).names == ("image 0", "image 1")


def test_image_is_a_view() -> None:
    store = PixelStore.from_images([noise(2, 3), noise(3, 2)])
    store.image(1).fill_(7)
    assert store.pixels[18:].tolist() == [7] * 18
    assert store.pixels[:18].tolist() == noise(2, 3).reshape(-1).tolist()


@pytest.mark.parametrize("kept", [[0, 3], [1], [0, 1, 2, 3], []], ids=str)
def test_only_keeps_the_chosen_images_on_the_same_pixels(kept: list[int]) -> None:
    images = [noise(*size, seed=k) for k, size in enumerate(SIZES)]
    store = PixelStore.from_images(images)
    chosen = store.only(torch.tensor([k in kept for k in range(len(images))]))
    assert chosen.names == tuple(f"image {k}" for k in kept)
    assert len(chosen) == len(chosen.height_I) == len(kept)
    assert chosen.pixels is store.pixels
    for index, k in enumerate(kept):
        assert np.array_equal(chosen.image(index).numpy(), images[k])


def test_on_the_cpu_pixels_stay_in_the_mapped_file(pack: Packer, paths: list[Path]) -> None:
    store = pack(paths)
    placed = place(store, CPU)
    assert placed is store
    assert_holds(store.to(CPU), paths)


@pytest.mark.parametrize(
    ("gigabytes", "device", "training", "host", "memory"),
    [
        (6.8, 141, 8, 64, "device"),
        (6.8, 24, 8, 64, "device"),  # more than a quarter: what training needs decides
        (6.8, 12, 8, 64, "pinned"),
        (6.8, 12, 8, 17.3, "pinned"),  # torch takes 8.6 GB for it
        (6.8, 12, 8, 16, "file"),
        (80, 24, 8, 64, "file"),
    ],
)
def test_pixels_are_where_there_is_room(
    gigabytes: float, device: float, training: float, host: float, memory: str
) -> None:
    size, room, need, free = (int(1e9 * x) for x in (gigabytes, device, training, host))
    assert memory_for(size, room, lambda: need, free) == memory
    if size < room // 4:
        assert memory_for(size, room, lambda: pytest.fail("asked in vain"), free) == memory


def test_training_pixels_can_be_changed_in_memory_without_touching_the_pack(
    pack: Packer, paths: list[Path]
) -> None:
    pack(paths).pixels.fill_(0)
    assert_holds(pack(paths), paths)


def test_the_default_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "fastsr"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache() == tmp_path / "home/.cache/fastsr"


def test_the_default_cache_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, paths: list[Path]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert_holds(pack_images(paths, minimum_side=1), paths)
    assert len(list((tmp_path / "xdg/fastsr/packs").iterdir())) == 1
