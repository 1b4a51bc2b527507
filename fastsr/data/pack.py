"""Packs: every training image decoded once into one file, mapped ever after."""

import hashlib
import json
import mmap
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fastsr.data.decoding import decode_all, read_or_reason
from fastsr.data.formats import RGB8, PixelFormat
from fastsr.data.pixels import PixelStore, store_of
from fastsr.errors import UserError
from fastsr.files import default_cache, real_paths, sync

FORMAT = 3  # counted up whenever the decoding rule or the layout of a pack changes
STALE_SECONDS = 24 * 3600
INDEX, PIXELS = "index.json", "pixels.bin"
TRUST_SECONDS = 24 * 3600
"""Time for which pixels are trusted that were compared with their checksums."""
CHECKED_BYTES = 4 * 10**9
"""Pixels that are compared at a start at most: of larger packs another part each day."""
MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Linux's flag for a mapping that no memory is set aside for; Python 3.11 has no name for it."""


def pack_images(
    paths: list[Path],
    *,
    minimum_side: int,
    form: PixelFormat = RGB8,
    skip_bad: bool = False,
    cache: Path | None = None,
    tell: Callable[[str], None] = print,
    track: Callable[[Iterator[Any], int], Iterator[Any]] = lambda items, total: items,
) -> PixelStore:
    """Decodes images into a pack on disk, or reuses the pack made of the same unchanged files, and maps it.

    Args:
        paths: image files. minimum_side: in pixels; smaller images cannot hold a patch.
        form: channels and bits of the pixels, which files are converted to by the rule of `fastsr.data.formats`.
        skip_bad: leave unreadable and small images out, listed through `tell`, instead of raising.
        cache: folder of packs, `~/.cache/fastsr` by default. track: wraps the decoded images for a progress bar.
    Raises:
        UserError: one error that lists every unreadable and small file; or the disk is full.
    """
    folder = (cache or default_cache()) / "packs" / pack_key(paths, form)
    store, unreadable = open_sound_pack(folder, tell) if folder.exists() else (None, [])
    if store is None or any(
        not isinstance(read_or_reason(Path(path), form), str) for path, _ in unreadable
    ):
        remove_pack(folder)  # it is damaged, or what could not be read then can be read now
        write_pack(folder, paths, form, track)
        store, unreadable = open_pack(folder)
    with suppress(OSError):
        os.utime(folder / INDEX)  # when it was used last, for `fastsr data packs`
    small_I = torch.minimum(store.height_I, store.width_I) < minimum_side
    bad = [f"{path}: {reason}" for path, reason in unreadable]
    bad += [
        f"{name}: is {width}x{height}, smaller than the {minimum_side} pixels that a patch needs"
        for name, height, width in zip(
            store.names, store.height_I.tolist(), store.width_I.tolist(), strict=True
        )
        if min(height, width) < minimum_side
    ]
    if bad and not skip_bad:
        raise UserError(
            f"{len(bad)} of {len(paths)} images cannot be used; mend them or pass --skip-bad:\n  "
            + "\n  ".join(bad)
        )
    if bad:
        tell(f"{len(bad)} of {len(paths)} images left out:\n  " + "\n  ".join(bad))
    if len(bad) == len(paths):
        raise UserError("no image is left to train on; give another folder or a smaller --patch")
    return store.only(~small_I)


def pack_key(paths: list[Path], form: PixelFormat = RGB8) -> str:
    """Names a pack by its files' paths, sizes and modification times, and by what their pixels became."""
    digest = hashlib.sha256(str(FORMAT).encode())
    if form != RGB8:
        digest.update(f"{form}\0".encode())
    for real, path in zip(real_paths(paths), paths, strict=True):
        try:
            stat = path.stat()
            digest.update(
                f"{real}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape")
            )
        except OSError:
            digest.update(f"{path}\0unreadable\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:20]


def write_pack(
    folder: Path,
    paths: list[Path],
    form: PixelFormat,
    track: Callable[[Iterator[Any], int], Iterator[Any]],
) -> None:
    """Streams decoded images to `pixels.bin` beside `index.json`, under a temporary name until complete."""
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(folder.parent)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".packing-"))
        index: dict[str, list[Any]] = {"sizes": [], "names": [], "unreadable": [], "crc32": []}
        digest = hashlib.sha256()
        with (temporary / PIXELS).open("wb") as out:
            for path, image in track(decode_all(paths, form), len(paths)):
                if isinstance(image, str):
                    index["unreadable"].append([str(path), image])
                else:
                    out.write(image.data)
                    digest.update(image.data)
                    index["sizes"].append(image.shape[:2])
                    index["names"].append(str(path))
                    index["crc32"].append(zlib.crc32(image.data))
        (temporary / INDEX).write_text(
            json.dumps(
                {
                    "format": FORMAT,
                    "digest": digest.hexdigest(),
                    "channels": form.channels,
                    "bits": form.bits,
                    **index,
                }
            )
        )
        for file in temporary.iterdir():
            sync(file)
        publish(temporary, folder)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write the pack in {folder.parent}: {reason}; free space there or give another --cache folder"
        ) from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def publish(temporary: Path, folder: Path) -> None:
    """Gives a complete pack its name. Another process that packed the same files at the same time may have won."""
    try:
        temporary.rename(folder)
    except OSError:
        if not (folder / INDEX).exists():
            raise


def remove_pack(folder: Path) -> None:
    """Deletes a pack, if there is one. It loses its name first; a process that has mapped it keeps what it mapped."""
    doomed = folder.with_name(f".packing-{folder.name}.{os.getpid()}")
    with suppress(OSError):
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def remove_stale(folder: Path) -> None:
    """Removes what packing processes that died long ago left behind."""
    for leftover in folder.glob(".packing-*"):
        with suppress(FileNotFoundError):  # another process has just given it its name
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


class DamagedPackError(UserError):
    """A pack that does not hold what was put there."""


def open_sound_pack(
    folder: Path, tell: Callable[[str], None]
) -> tuple[PixelStore | None, list[tuple[str, str]]]:
    """An existing pack as `open_pack` gives it; no store, and a line through `tell`, where it is damaged.

    Its pixels are compared with their checksums once a day, `CHECKED_BYTES` of them: a core does 4 GB/s, a disk less.
    More would hold up those who train on more than fits into memory, and bytes change by failing disks, not by use.
    """
    try:
        store, unreadable = open_pack(folder)
        checked = folder / "checked"
        if not is_younger(checked, TRUST_SECONDS, than=folder / PIXELS):
            check_pixels(store, folder, todays_share(store))
            with suppress(OSError):
                checked.touch()
    except DamagedPackError as error:
        tell(f"{error}; its images are packed again")
        return None, []
    return store, unreadable


def examine_pack(paths: list[Path], cache: Path | None = None, form: PixelFormat = RGB8) -> str:
    """A sentence on the pack of these files, whose pixels are all compared with their checksums."""
    folder = (cache or default_cache()) / "packs" / pack_key(paths, form)
    if not folder.exists():
        return "none yet; made when training starts"
    try:
        check_pixels(open_pack(folder)[0], folder)
    except UserError as error:
        return f"{error}; the next training makes it again"
    return f"{folder}, every pixel as it was packed"


def is_younger(file: Path, seconds: float, than: Path) -> bool:
    """True for a file that is younger than that, and than another file."""
    if not file.exists():
        return False
    return file.stat().st_mtime > max(time.time() - seconds, than.stat().st_mtime)


def todays_share(store: PixelStore, most: int = CHECKED_BYTES) -> range:
    """Indices of about `most` bytes of images: all of a small pack, of a large one others every day, in turn."""
    parts = -(-store.nbytes // most) or 1
    return range(int(time.time() // TRUST_SECONDS) % parts, len(store), parts)


def check_pixels(store: PixelStore, folder: Path, indices: range | None = None) -> None:
    """Raises DamagedPackError naming the first image, of all or some, whose pixels are not those that were packed."""
    indices = range(len(store)) if indices is None else indices
    sums = json.loads((folder / INDEX).read_text())["crc32"]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # crc32 lets other threads run
        now = pool.map(lambda index: zlib.crc32(store.image(index).numpy().data), indices)
        for index, after in zip(indices, now, strict=True):
            if sums[index] != after:
                raise DamagedPackError(
                    f"the pack {folder} is damaged (the pixels of {store.names[index]} have changed)"
                )


def open_pack(folder: Path) -> tuple[PixelStore, list[tuple[str, str]]]:
    """Maps a pack. Returns the store and the files (with reasons) that could not be read when it was made.

    Raises DamagedPackError.
    """
    try:
        index = json.loads((folder / INDEX).read_text())
        sizes = [(int(height), int(width)) for height, width in index["sizes"]]
        names, digest = tuple(map(str, index["names"])), str(index["digest"])
        unreadable = [(str(path), str(reason)) for path, reason in index["unreadable"]]
        if len(names) != len(sizes):
            raise ValueError(f"{len(names)} names of {len(sizes)} images")
        if len(index["crc32"]) != len(sizes):
            raise ValueError(f"{len(index['crc32'])} checksums of {len(sizes)} images")
        # Packs from before there were others say nothing: theirs are RGB of 8 bits.
        channels, bits = int(index.get("channels", 3)), int(index.get("bits", 8))
        expected = sum(channels * bits // 8 * height * width for height, width in sizes)
        actual = (folder / PIXELS).stat().st_size
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedPackError(f"the pack {folder} is damaged ({error})") from None
    if actual != expected:
        raise DamagedPackError(f"the pack {folder} is damaged ({actual} bytes, not {expected})")
    pixels = mapped(folder / PIXELS) if expected else torch.empty(0, dtype=torch.uint8)
    if bits == 16:
        pixels = pixels.view(torch.uint16)
    return replace(store_of(pixels, sizes, names, channels), digest=digest), unreadable


def mapped(file: Path) -> torch.Tensor:
    """The bytes of a file, mapped. What is written to them stays in memory, and the file as it is.

    `torch.from_file` maps so, too, but Linux then counts on memory for all of them, and refuses more than there is.
    """
    with file.open("rb") as opened:
        if sys.platform == "linux":
            flags, protection = mmap.MAP_PRIVATE | MAP_NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            pixels = mmap.mmap(opened.fileno(), 0, flags=flags, prot=protection)
        else:
            pixels = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
    return torch.frombuffer(pixels, dtype=torch.uint8)
