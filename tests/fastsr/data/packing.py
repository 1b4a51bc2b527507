"""Packing, as tests call it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastsr.data.images import read_rgb8
from fastsr.data.pack import pack_images
from fastsr.data.pixels import PixelStore

SIZES = ((20, 24), (17, 33), (40, 16), (16, 16))


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_images(folder: Path, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{k}.png" for k in range(len(sizes))]
    for k, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        Image.fromarray(noise(*size, seed=k)).save(path)
    return paths


@dataclass
class Packer:
    """Packs into one cache and counts how often images are decoded."""

    cache: Path
    packings: int = 0

    def __call__(
        self, paths: list[Path], minimum_side: int = 16, skip_bad: bool = False
    ) -> PixelStore:
        def track(items: Iterator[Any], total: int) -> Iterator[Any]:
            assert total == len(paths)
            self.packings += 1
            yield from items

        return pack_images(
            paths,
            minimum_side=minimum_side,
            skip_bad=skip_bad,
            cache=self.cache,
            tell=self.said.append,
            track=track,
        )

    def __post_init__(self) -> None:
        self.said: list[str] = []

    @property
    def packs(self) -> list[Path]:
        return sorted(
            path for path in (self.cache / "packs").glob("*") if not path.name.startswith(".")
        )

    @property
    def leftovers(self) -> list[Path]:
        return list((self.cache / "packs").glob(".packing-*"))


def assert_holds(store: PixelStore, paths: list[Path]) -> None:
    assert store.names == tuple(map(str, paths))
    for index, path in enumerate(paths):
        assert np.array_equal(store.image(index).numpy(), read_rgb8(path)), path
