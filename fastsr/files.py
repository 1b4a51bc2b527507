"""Where files are kept, and waiting until the disk has them."""

import os
from pathlib import Path


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


def default_cache() -> Path:
    """Where packs of pixels and compiled networks are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastsr"


def default_data_root() -> Path:
    """Where fetched data sets are kept, and test sets looked for."""
    return default_cache() / "data"
