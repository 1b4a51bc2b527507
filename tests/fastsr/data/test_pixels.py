"""Packs of pixels: made once, never half, never wrong in silence."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fastsr.data.images import read_rgb8
from fastsr.data.pack import STALE_SECONDS, pack_images
from fastsr.data.pixels import PixelStore, place
from fastsr.errors import UserError
from fastsr.files import default_cache

Track = Callable[[Iterator[Any], int], Iterator[Any]]
SIZES = ((20, 24), (17, 33), (40, 16), (16, 16))
CPU = torch.device("cpu")


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

    def __call__(self, paths: list[Path], minimum_side: int = 16, skip_bad: bool = False) -> PixelStore:
        def track(items: Iterator[Any], total: int) -> Iterator[Any]:
            assert total == len(paths)
            self.packings += 1
            yield from items

        return pack_images(
            paths, minimum_side=minimum_side, skip_bad=skip_bad, cache=self.cache, tell=self.said.append, track=track
        )

    def __post_init__(self) -> None:
        self.said: list[str] = []

    @property
    def packs(self) -> list[Path]:
        return sorted(path for path in (self.cache / "packs").glob("*") if not path.name.startswith("."))

    @property
    def leftovers(self) -> list[Path]:
        return list((self.cache / "packs").glob(".packing-*"))


@pytest.fixture
def pack(tmp_path: Path) -> Packer:
    return Packer(tmp_path / "cache")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return save_images(tmp_path / "images")


def assert_holds(store: PixelStore, paths: list[Path]) -> None:
    assert store.names == tuple(map(str, paths))
    for index, path in enumerate(paths):
        assert np.array_equal(store.image(index).numpy(), read_rgb8(path)), path


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


def test_images_keep_the_order_of_paths_although_decoded_in_parallel(pack: Packer, tmp_path: Path) -> None:
    sizes = tuple((400, 400) if k % 3 == 0 else (16, 16 + k) for k in range(24))  # the slow ones come first
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
def test_a_changed_file_is_packed_again(pack: Packer, paths: list[Path], change: Callable[[Path], None]) -> None:
    pack(paths)
    change(paths[1])
    assert_holds(pack(paths), paths)
    assert pack.packings == 2


@pytest.mark.parametrize("order", [[0, 1, 2], [3, 2, 1, 0], [1]], ids=["one fewer", "reversed", "one"])
def test_another_set_or_order_of_files_is_another_pack(pack: Packer, paths: list[Path], order: list[int]) -> None:
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
    paths = [tmp_path / os.fsdecode(name) for name in (b"caf\xe9.png", "日本 😀.png".encode(), b"a\nb.png")]
    for k, path in enumerate(paths):
        Image.fromarray(noise(16, 16, k)).save(path, "PNG")
    assert_holds(pack(paths), paths)
    assert_holds(pack(paths), paths)
    assert pack.packings == 1


def spoil(folder: Path) -> list[Path]:
    """Nine files: four good, three unreadable, two small."""
    paths = save_images(folder, ((20, 20), (10, 30), (20, 20), (20, 20), (30, 10), (20, 20), (20, 20), (20, 20)))
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    paths[5].write_bytes(b"")
    return [*paths, folder / "gone.png"]


def test_one_error_lists_every_unreadable_and_every_small_file(pack: Packer, tmp_path: Path) -> None:
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
def test_skip_bad_with_no_image_left_is_an_error(pack: Packer, paths: list[Path], kind: str) -> None:
    if kind == "unreadable":
        for path in paths:
            path.write_text("no image")
    with pytest.raises(UserError, match="no image is left to train on"):
        pack(paths, minimum_side=100, skip_bad=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from fastsr.pixels import pack_images

def track(items, total):
    for count, item in enumerate(items):
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield item

pack_images([Path(path) for path in sys.argv[3:]], minimum_side=1, cache=Path(sys.argv[1]), track=track)
"""


def test_a_process_killed_while_packing_leaves_no_pack(pack: Packer, paths: list[Path]) -> None:
    command = [sys.executable, "-c", KILLED, str(pack.cache), "2", *map(str, paths)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert len(pack.leftovers) == 1  # it was under way
    assert pack.packs == []
    assert_holds(pack(paths), paths)


def test_an_exception_while_packing_leaves_nothing_behind(pack: Packer, paths: list[Path]) -> None:
    def stop(items: Iterator[Any], total: int) -> Iterator[Any]:
        yield next(items)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_images(paths, minimum_side=1, cache=pack.cache, track=stop)
    assert list((pack.cache / "packs").iterdir()) == []


def test_two_processes_may_pack_the_same_files_at_once(pack: Packer, paths: list[Path]) -> None:
    def meanwhile(items: Iterator[Any], total: int) -> Iterator[Any]:
        yield next(items)
        assert_holds(pack(paths), paths)  # the other one finishes first
        yield from items

    assert_holds(pack_images(paths, minimum_side=1, cache=pack.cache, track=meanwhile), paths)
    assert len(pack.packs) == 1
    assert pack.leftovers == []


def test_what_dead_processes_left_is_removed_after_a_day(pack: Packer, paths: list[Path]) -> None:
    old, young = (pack.cache / "packs" / f".packing-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "pixels.bin").write_bytes(b"0")
    long_ago = time.time() - STALE_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    pack(paths)
    assert pack.leftovers == [young]


@contextmanager
def file_size_limit(limit: int) -> Generator[None]:
    """No file may grow beyond the limit: writing then fails as on a full disk (EFBIG; Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("side", "which"), [(64, "pixels.bin"), (1, "index.json")])
def test_a_write_that_fails_is_one_error_and_leaves_nothing(
    pack: Packer, tmp_path: Path, side: int, which: str
) -> None:
    paths = save_images(tmp_path / "images", ((side, side),) * 8)
    with file_size_limit(100), pytest.raises(UserError) as error:
        pack(paths, minimum_side=1)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(f"cannot write the pack in {pack.cache}/packs: File too large")
    assert "free space there or give another --cache folder" in text
    assert list((pack.cache / "packs").iterdir()) == []
    assert_holds(pack(paths, minimum_side=1), paths)
    assert (pack.packs[0] / which).stat().st_size > 100  # the file that hit the limit above


@pytest.mark.parametrize("place", ["cache", "cache/packs"])
def test_a_file_in_the_way_of_the_cache_is_one_error(
    pack: Packer, tmp_path: Path, paths: list[Path], place: str
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("")
    with pytest.raises(UserError, match=f"cannot write the pack in {pack.cache}/packs: .*another --cache folder"):
        pack(paths)


def damage_index(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps(change(index)))

    return damage


def without(key: str) -> Callable[[Path], None]:
    return damage_index(lambda index: {name: value for name, value in index.items() if name != key})


def cut(name: str, kept: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, kept)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "pixels cut": cut("pixels.bin", 1000),
    "pixels empty": cut("pixels.bin", 0),
    "pixels longer": lambda folder: (folder / "pixels.bin").write_bytes(b"0" * 99_999),
    "pixels gone": lambda folder: (folder / "pixels.bin").unlink(),
    "index cut": cut("index.json", 40),
    "index empty": cut("index.json", 0),
    "index not text": lambda folder: (folder / "index.json").write_bytes(b"\xff\xfe\xfd"),
    "index a list": damage_index(lambda index: []),
    "index null": damage_index(lambda index: None),
    "index without sizes": without("sizes"),
    "index without names": without("names"),
    "index without unreadable": without("unreadable"),
    "index with a name too few": damage_index(lambda index: {**index, "names": index["names"][1:]}),
    "index with sizes of one number": damage_index(lambda index: {**index, "sizes": [[1]]}),
    "index with sizes as text": damage_index(lambda index: {**index, "sizes": [["a", "b"]]}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_pack_is_named_and_mended_by_deleting_it(
    pack: Packer, paths: list[Path], damage: Callable[[Path], object]
) -> None:
    pack(paths)
    (folder,) = pack.packs
    damage(folder)
    with pytest.raises(UserError) as error:
        pack(paths)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"the pack {folder} is damaged (")
    assert str(error.value).endswith("; delete that folder and run again")
    shutil.rmtree(folder)
    assert_holds(pack(paths), paths)


def test_a_pack_without_its_index_is_made_again_or_named(pack: Packer, paths: list[Path]) -> None:
    """Half of a pack, such as a cleaner of caches leaves, must not be in the way for good."""
    pack(paths)
    (folder,) = pack.packs
    (folder / "index.json").unlink()
    try:
        assert_holds(pack(paths), paths)
    except UserError as error:
        assert str(folder) in str(error)
        assert "delete that folder and run again" in str(error)


def test_few_images_are_decoded_ahead(pack: Packer, tmp_path: Path) -> None:
    """Memory holds two images a thread and the one at hand: files beyond those may vanish, for nobody has read them."""
    ahead = 2 * (os.cpu_count() or 1) + 1
    paths = save_images(tmp_path / "images", ((16, 16),) * (ahead + 6))

    def remove_the_rest(items: Iterator[Any], total: int) -> Iterator[Any]:
        yield next(items)
        time.sleep(0.3)  # whatever is on its way to be read ahead of its turn gets there
        for path in paths[ahead:]:
            path.unlink()
        yield from items

    with pytest.raises(UserError) as error:
        pack_images(paths, minimum_side=16, cache=pack.cache, track=remove_the_rest)
    assert str(error.value).startswith(f"6 of {len(paths)} images cannot be used")
    assert str(error.value).count(": does not exist") == 6


def test_images_are_let_go_once_written(pack: Packer, tmp_path: Path) -> None:
    """Together with the test above: the memory that packing needs does not grow with the number of images."""
    paths = save_images(tmp_path / "images", ((16, 16),) * 20)
    alive: list[int] = []

    def count(items: Iterator[Any], total: int) -> Iterator[Any]:
        given: list[weakref.ref[Any]] = []
        for path, image in items:
            given.append(weakref.ref(image))
            alive.append(sum(reference() is not None for reference in given))
            yield path, image

    pack_images(paths, minimum_side=16, cache=pack.cache, track=count)
    assert len(alive) == 20
    assert max(alive) <= 2  # the one at hand, and the one before it until its name is bound anew


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


def test_training_pixels_can_be_changed_in_memory_without_touching_the_pack(pack: Packer, paths: list[Path]) -> None:
    pack(paths).pixels.fill_(0)
    assert_holds(pack(paths), paths)


def test_the_default_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "fastsr"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache() == tmp_path / "home/.cache/fastsr"


def test_the_default_cache_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, paths: list[Path]) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert_holds(pack_images(paths, minimum_side=1), paths)
    assert len(list((tmp_path / "xdg/fastsr/packs").iterdir())) == 1
