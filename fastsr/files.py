"""Files: where they are kept, reading JSON, waiting until the disk has them, locks, and marks of what fastsr made."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from filelock import BaseFileLock, FileLock, Timeout

from fastsr.errors import UserError

Built = TypeVar("Built")


def sync(path: Path) -> None:
    """Returns when a file's contents, or the names in a folder, are on the disk. Raises OSError."""
    if path.is_dir() and os.name == "nt":
        return  # Windows does not offer this for folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def real_paths(paths: Iterable[Path]) -> Iterator[str]:
    """Paths without links, as `os.path.realpath` has them. A folder is looked up once, not for each of its files."""
    folders: dict[Path, str] = {}
    for path in paths:
        if path.is_symlink() or path.name in ("", ".."):
            yield os.path.realpath(path)
            continue
        if path.parent not in folders:
            folders[path.parent] = os.path.realpath(path.parent)
        yield os.path.join(folders[path.parent], path.name)  # noqa: PTH118 - a text


def read_text(file: Path, errors: str = "strict") -> str:
    """The text of a regular file, in UTF-8. Raises OSError, also for what a read might never end of: devices, pipes.

    Raises UnicodeDecodeError where it is no text, unless `errors` says what to do then.
    """
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(file))
    return file.read_text(encoding="utf-8", errors=errors)


def write_text(file: Path, text: str) -> None:
    """Writes a file whole, under a temporary name until the disk has it. Raises OSError.

    Names of files in it that are no text are written as the bytes that they are.
    """
    temporary = file.with_name(f".{file.name}")
    temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
    sync(temporary)
    temporary.replace(file)


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's contents. Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def lock(file: Path, when_held: str) -> BaseFileLock:
    """A lock that nobody else can take until it is released, or this process ends, however it ends.

    Raises UserError: `when_held` where another has it, and a line of its own where the file cannot be made.
    """
    # Whichever thread took it, any may release it.
    taken = FileLock(file, timeout=0, thread_local=False)
    try:
        taken.acquire()
    except Timeout:
        raise UserError(when_held) from None
    except OSError as error:
        raise UserError(
            f"{file} cannot be written ({error.strerror}); give another folder"
        ) from None
    return taken


MARKER = ".fastsr"
"""Name of the file that tells a folder of pictures made by fastsr from people's own images, as CACHEDIR.TAG tells
caches."""
MARKED = "fastsr made the images of this folder, and looks for none in it. Delete this file to have them found.\n"


def mark(folder: Path) -> None:
    """Notes that fastsr made what is in a folder. Raises OSError."""
    (folder / MARKER).write_text(MARKED, encoding="utf-8")


def is_made(folder: Path) -> bool:
    """True for a folder that is marked, an evaluation, and the pictures of a run, marked or not."""
    try:
        return (
            (folder / MARKER).is_file()
            or all((folder / name).is_file() for name in ("evaluation.json", "images.csv"))
            or (folder.name == "pictures" and (folder.parent / "metrics.jsonl").is_file())
        )
    except PermissionError:  # whoever searches the folder says so
        return False


class OtherFormatError(UserError):
    """A sound file, written by a version of fastsr whose files have another format."""


def read_json(
    file: Path, build: Callable[[dict[str, Any]], Built], form: int, remedy: str
) -> Built:
    """The result of `build` on a JSON file of ours that has the format `form`.

    Raises OtherFormatError where it has another one, and UserError where it is damaged: no JSON, or content that makes
    `build` raise KeyError, TypeError, ValueError, AttributeError or IndexError.
    """
    try:
        content = json.loads(read_text(file))
        if content["format"] != form:
            raise OtherFormatError(
                f"{file} has format {content['format']!r}, not {form}; {remedy} with this fastsr"
            )
        return build(content)
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{file} is damaged (it lacks {error}); {remedy}") from None
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is damaged ({reason}); {remedy}") from None


def read_sessions(file: Path) -> list[dict[str, Any]]:
    """The environments that a run was trained in, oldest first; none where there is no file.

    Files of earlier versions hold the last one alone. Raises UserError where the file is damaged.
    """
    if not file.is_file():
        return []
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return [dict(one.items()) for one in (content if isinstance(content, list) else [content])]
    except (OSError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is damaged ({reason}); restore or delete it") from None


def default_cache() -> Path:
    """The folder for packs of pixels and compiled networks."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastsr"


def default_data_root() -> Path:
    """The folder for fetched data sets, in which test sets are looked for."""
    return default_cache() / "data"
