"""What the tests of the command line share.

Fixtures are imported by name, and listed in `__all__` there: each holds in the files that do so.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fastsr.cli.main import main
from fastsr.models import SRResNet
from fastsr.models.weights import save_generator

TINY = (
    "--blocks", "1", "--filters", "4", "--discriminator-filters", "2", "--patch", "16", "--batch", "2", "--scale", "2",
    "--content", "pixel", "--pretrain-steps", "1", "--steps", "2", "--device", "cpu",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Fastsr = Callable[..., Outcome]


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
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests write below their own folder, find no weights of the person who runs them, and reach no network."""
    if "pyiqa" in sys.modules:  # it has settled on a folder already
        monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "torch/pyiqa"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks train many times faster without threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save_images(folder: Path, count: int = 3, height: int = 40, width: int = 44) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for k in range(count):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_images(tmp_path / "data")


@dataclass(frozen=True)
class Trained:
    folder: Path
    data: Path
    said: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run: two peers, x2, three steps. Brackets in a name are text, not markup of the terminal."""
    home = tmp_path_factory.mktemp("trained")
    folder, images = home / "run[v2]", save_images(home / "images[v2]")
    with redirect_stdout(StringIO()) as said:
        assert main(["train", "--data", str(images), *TINY, "--cache", str(home / "cache"), "--out", str(folder)]) == 0
    return Trained(folder, images, said.getvalue())


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the finished run, to be harmed."""
    return Path(shutil.copytree(trained.folder, tmp_path / "run"))


def checkpoint(run: Path) -> Path:
    (found,) = (run / "checkpoints").iterdir()
    return found


def assert_one_line(outcome: Outcome, *parts: object) -> None:
    """Exit status 2, and one line on stderr that holds the parts."""
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("fastsr: "), outcome
    assert outcome.err.count("\n") == 1 and outcome.err.endswith("\n"), outcome
    for part in parts:
        assert str(part) in outcome.err, f"{part} is not in {outcome.err}"


def run_without_torch(*words: object) -> subprocess.CompletedProcess[str]:
    """Runs a command line in a process of its own, which fails if it has imported torch."""
    program = """if True:
        import sys
        from fastsr.cli.main import main
        try:
            code = main(sys.argv[1:])
        except SystemExit as stop:
            code = stop.code
        sys.exit("torch was imported" if "torch" in sys.modules else code)
    """
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_text(file: Path) -> None:
    file.write_text("no weights\n")


def write_nothing(file: Path) -> None:
    file.write_bytes(b"")


def generator(file: Path, scale: int = 2, header: dict[str, str | None] | None = None) -> Path:
    """A generator's file, perhaps with other words in its header."""
    save_generator(SRResNet(scale, blocks=1, filters=4), file)
    if header:
        true = {"architecture": "fastsr.SRResNet", "scale": str(scale), "blocks": "1", "filters": "4"}
        save_file(load_file(file), file, {name: value for name, value in (true | header).items() if value is not None})
    return file
