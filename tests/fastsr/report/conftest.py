"""Fixtures of the tests of reports."""

import shutil
from pathlib import Path

import pytest

from tests.fastsr.report.report_fixture import write_reproduction, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return write_run(tmp_path_factory.mktemp("report") / "x4")


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only."""
    return write_reproduction(tmp_path_factory.mktemp("report") / "reproduction")


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run to damage."""
    return Path(shutil.copytree(run, tmp_path / "copy"))
