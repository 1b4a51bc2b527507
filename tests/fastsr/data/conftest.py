"""Fixtures of the tests of images and packs."""

from pathlib import Path

import pytest

from tests.fastsr.data.packing import Packer, save_images


@pytest.fixture
def pack(tmp_path: Path) -> Packer:
    return Packer(tmp_path / "cache")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return save_images(tmp_path / "images")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The file for a test's image. Pillow and fastsr go by the contents, so that one name does for all formats."""
    return tmp_path / "image"
