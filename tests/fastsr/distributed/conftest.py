"""Fixtures of the tests of ranks."""

from pathlib import Path

import pytest

from tests.fastsr.distributed.ranks import run, words
from tests.images import write_images


@pytest.fixture(scope="package")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("ranks") / "images", count=3, side=40)


@pytest.fixture(scope="package")
def alone(images: Path) -> Path:
    """The run of one process with three peers."""
    out = images.parent / "alone"
    run(out.parent / "logs", words(images, out), 1)
    return out
