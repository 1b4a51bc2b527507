"""Packs under kills, full disks and damage."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastsr.data.pack import STALE_SECONDS, TRUST_SECONDS, pack_images
from fastsr.errors import UserError
from tests.fastsr.data.packing import Packer, assert_holds, save_images

KILLED = """
import os, signal, sys
from pathlib import Path
from fastsr.data.pack import pack_images

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
    with pytest.raises(
        UserError, match=f"cannot write the pack in {pack.cache}/packs: .*another --cache folder"
    ):
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
    "index without checksums": without("crc32"),
    "index with a checksum too few": damage_index(lambda index: {**index, "crc32": [1]}),
    "index with a name too few": damage_index(lambda index: {**index, "names": index["names"][1:]}),
    "index with sizes of one number": damage_index(lambda index: {**index, "sizes": [[1]]}),
    "index with sizes as text": damage_index(lambda index: {**index, "sizes": [["a", "b"]]}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_pack_is_told_and_made_again(
    pack: Packer, paths: list[Path], damage: Callable[[Path], object]
) -> None:
    pack(paths)
    (folder,) = pack.packs
    damage(folder)
    assert_holds(pack(paths), paths)
    (said,) = pack.said
    assert "\n" not in said
    assert said.startswith(f"the pack {folder} is damaged (")
    assert said.endswith("); its images are packed again")
    assert (pack.packings, pack.packs, pack.leftovers) == (2, [folder], [])


def flip(folder: Path) -> None:
    """One bit of the second image."""
    with (folder / "pixels.bin").open("r+b") as file:
        file.seek(3 * 480 + 100)
        bits = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([bits ^ 4]))


def test_flipped_bits_are_seen_and_packed_again(pack: Packer, paths: list[Path]) -> None:
    pack(paths)
    (folder,) = pack.packs
    flip(folder)
    assert_holds(pack(paths), paths)
    reason = f"the pixels of {paths[1]} have changed"
    assert pack.said == [f"the pack {folder} is damaged ({reason}); its images are packed again"]


def test_pixels_are_compared_again_after_a_day(pack: Packer, paths: list[Path]) -> None:
    """A failing disk changes bytes and no time of modification."""
    pack(paths)
    pack(paths)
    (folder,) = pack.packs
    old = time.time() - 1000
    flip(folder)
    os.utime(folder / "pixels.bin", (old, old))
    pack(paths)
    assert pack.said == []
    yesterday = time.time() - TRUST_SECONDS - 60
    for name in ("pixels.bin", "checked"):
        os.utime(folder / name, (yesterday, yesterday))
    assert_holds(pack(paths), paths)
    assert len(pack.said) == 1


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
