"""Files: where they are kept, reading JSON, waiting until the disk has them, and locks between processes."""

import hashlib
import json
import os
from collections.abc import Callable
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


def write_text(file: Path, text: str) -> None:
    """Writes a file whole, under a temporary name until the disk has it. Raises OSError."""
    temporary = file.with_name(f".{file.name}")
    temporary.write_text(text, encoding="utf-8")
    sync(temporary)
    temporary.replace(file)


def file_sha256(file: Path) -> str:
    """Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def lock(file: Path, when_held: str) -> BaseFileLock:
    """A lock that nobody else can take until it is released, or this process ends, however it ends.

    Raises UserError: `when_held` where another has it, and a line of its own where the file cannot be made.
    """
    taken = FileLock(
        file, timeout=0, thread_local=False
    )  # whichever thread took it, any may release it
    try:
        taken.acquire()
    except Timeout:
        raise UserError(when_held) from None
    except OSError as error:
        raise UserError(
            f"{file} cannot be written ({error.strerror}); give another folder"
        ) from None
    return taken


class OtherFormatError(UserError):
    """A sound file, written by a version of fastsr whose files have another format."""


def read_json(
    file: Path, build: Callable[[dict[str, Any]], Built], form: int, remedy: str
) -> Built:
    """What `build` makes of a JSON file of ours that has the format `form`.

    Raises OtherFormatError where it has another one, and UserError where it is damaged: no JSON, or content that makes
    `build` raise KeyError, TypeError, ValueError, AttributeError or IndexError.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
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


def default_cache() -> Path:
    """Where packs of pixels and compiled networks are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastsr"


def default_data_root() -> Path:
    """Where fetched data sets are kept, and test sets looked for."""
    return default_cache() / "data"
