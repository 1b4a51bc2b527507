"""Fixtures of the command line's tests."""

import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch

from fastsr.cli.main import main
from tests.fastsr.cli.command_line import TINY, Fastsr, Outcome, Trained, save_images


@pytest.fixture
def fastsr(capsys: pytest.CaptureFixture[str]) -> Fastsr:
    """Runs a command line in this process, as the installed script does."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(autouse=True)
def away(elsewhere: None) -> None:
    """No command of these tests touches what belongs to the person who runs them."""


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks train many times faster without threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_images(tmp_path / "data")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run: two peers, x2, three steps. Brackets in a name are text, not markup of the terminal."""
    home = tmp_path_factory.mktemp("trained")
    folder, images = home / "run[v2]", save_images(home / "images[v2]")
    with redirect_stdout(StringIO()) as said:
        assert (
            main(
                [
                    "train",
                    "--data",
                    str(images),
                    *TINY,
                    "--cache",
                    str(home / "cache"),
                    "--out",
                    str(folder),
                ]
            )
            == 0
        )
    return Trained(folder, images, said.getvalue())


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run, to be harmed."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))
