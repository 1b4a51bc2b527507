"""A file of ours that appears when it is complete, and not otherwise."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fastsr.errors import UserError
from fastsr.files import sync


def check_place(file: Path, overwrite: bool) -> None:
    """Raises UserError where a file is in the way."""
    if file.is_dir() or (file.exists() and not overwrite):
        raise UserError(f"--out {file} exists already; add --overwrite, or give another --out")


@contextmanager
def written(file: Path, overwrite: bool) -> Generator[Path, None, None]:
    """A name to write to, which becomes `file` at the end. Raises UserError where it cannot be written, or exists."""
    check_place(file, overwrite)
    temporary = file.with_name(f".{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(file)
    except OSError as error:
        raise UserError(
            f"--out {file} cannot be written ({error.strerror or error}); give another --out"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
