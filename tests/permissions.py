"""Files that may not be read or written, also where tests run as root, who may do everything."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def as_nobody() -> Generator[None, None, None]:
    """Within, root is somebody without privileges; others stay who they are."""
    if not hasattr(os, "geteuid"):
        pytest.skip("no permissions of this kind on this system")
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def common_folder() -> Generator[Path, None, None]:
    """A folder that everybody may reach: pytest's own is its user's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        for path in (folder, *(Path(root) for root, _, _ in os.walk(folder))):
            path.chmod(0o777)
        shutil.rmtree(folder, ignore_errors=True)
