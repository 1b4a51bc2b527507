"""Unpacks archives that may be damaged or hostile: all of a folder, or nothing, and nothing outside it."""

import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Literal, NamedTuple, cast

from rich.filesize import decimal

from fastsr.errors import UserError
from fastsr.files import sync

EXPANSION, EXPANSION_FLOOR, MOST_ENTRIES = 10, 1_000_000, 100_000
"""Contents may have so many times their archive's size (photos: once), or so many bytes, in so many entries."""
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, RuntimeError, ValueError,
)  # fmt: skip
"""Exceptions of the standard library on damaged, encrypted and exotic archives."""


class Entry(NamedTuple):
    """One entry of an archive."""

    name: str
    size: int
    """In bytes, unpacked. The readers below give no more than that."""
    kind: Literal["file", "folder", "other"]
    open: Callable[[], IO[bytes]]


def unpack(
    file: Path,
    members: str,
    target: Path,
    *,
    advance: Callable[[int], Any] = lambda size: None,
    examine: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Unpacks one folder of a zip or tar (.tar, .tar.gz): `target` is there when all of it is, and on the disk.

    Args:
        members: folder inside the archive. advance: is told the bytes of each file. examine: may refuse the result.
    Raises:
        UserError: the archive is damaged, has no such folder, wants to write outside it, holds links or devices there,
            or expands beyond reason; the disk is full. Nothing is left then.
    """
    temporary = target.with_name(f".unpacking-{target.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
        temporary.mkdir(parents=True)
        extract(file, PurePosixPath(members), temporary, advance)
        examine(temporary)
        for path in (*temporary.rglob("*"), temporary):
            sync(path)
        temporary.rename(target)
        sync(target.parent)
    except DAMAGE as error:
        if isinstance(error, UserError):
            raise
        # tarfile lists what it tried on further lines.
        reason = str(error).partition(":\n")[0] or type(error).__name__
        raise UserError(f"{file} is damaged ({reason}); delete it and run again") from None
    except OSError as error:
        need = f"about {decimal(file.stat().st_size)} must be free there"
        raise UserError(
            f"{file} cannot be unpacked to {target} ({error.strerror or error}); {need}"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def extract(
    file: Path, members: PurePosixPath, folder: Path, advance: Callable[[int], Any]
) -> None:
    """Writes the files below `members` into `folder`. Raises UserError, OSError and those of DAMAGE."""
    written = 0
    for entry in harmless(zip_entries(file) if file.suffix == ".zip" else tar_entries(file), file):
        path = PurePosixPath(entry.name)
        if entry.kind == "folder" or not path.is_relative_to(members):
            continue
        if entry.kind == "other":
            raise UserError(f"{file} holds {entry.name}, a link or device; delete it and run again")
        destination = folder / path.relative_to(members)
        destination.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source, destination.open("wb") as out:
            shutil.copyfileobj(source, out)
        advance(entry.size)
        written += 1
    if not written:
        raise UserError(f"{file} holds no folder {members}; delete it and run again")


def harmless(entries: Iterable[Entry], file: Path) -> Iterator[Entry]:
    """Entries as they are. Raises UserError before one that leaves its folder, or that makes the contents too large."""
    limit, total = max(EXPANSION * file.stat().st_size, EXPANSION_FLOOR), 0
    for count, entry in enumerate(entries, 1):
        # It takes both kinds of slashes, and drives, for what they are.
        path = PureWindowsPath(entry.name)
        if path.anchor or ".." in path.parts:
            raise UserError(
                f"{file} holds {entry.name}, a path outside its folder; delete it and run again"
            )
        total += entry.size
        if total > limit or count > MOST_ENTRIES:
            beyond = f"{decimal(limit)} or {MOST_ENTRIES:,} files"
            raise UserError(f"{file} expands to more than {beyond}; delete it and run again")
        yield entry


def zip_entries(file: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
            kind = "folder" if info.is_dir() else "file" if plain else "other"
            yield Entry(info.filename, info.file_size, kind, partial(archive.open, info))


def tar_entries(file: Path) -> Iterator[Entry]:
    with tarfile.open(file) as archive:
        for info in archive:
            kind = "folder" if info.isdir() else "file" if info.isreg() else "other"
            yield Entry(info.name, info.size, kind, cast(Any, partial(archive.extractfile, info)))
