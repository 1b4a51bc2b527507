"""Signals to real processes of every command that works for a while: the exit status, and nothing half-written."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.fastsr.cli.command_line import TINY, Trained, save_images

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
MANY = 80
NETWORKS = (
    "--blocks", "1", "--filters", "4", "--discriminator-filters", "2", "--patch", "16", "--batch", "2",
    "--content", "pixel",
)  # fmt: skip


@contextmanager
def ctrl_c_is_heard() -> Iterator[None]:
    """Processes that are started meanwhile hear SIGINT, also where tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stopped_at(part: str, number: signal.Signals, *words: object) -> str:
    """Runs a command, sends it a signal at the first line that holds `part`, and returns what it said after it.

    Asserts the exit status, and that no traceback is shown.
    """
    command = [sys.executable, "-m", "fastsr", *map(str, words)]
    with ctrl_c_is_heard():
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    with process:
        assert process.stdout is not None and process.stderr is not None
        said = ""
        while part not in said:
            line = process.stdout.readline()
            assert line, said + process.stderr.read()
            said += line
        process.send_signal(number)
        rest, errors = process.communicate(timeout=200)
    assert (errors, process.returncode) == ("", 128 + number), said + rest
    return rest


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More images than are enlarged or scored before a signal arrives."""
    folder = save_images(tmp_path_factory.mktemp("many") / "photos", 1, 300, 300)
    for k in range(1, MANY):
        os.link(folder / "0.png", folder / f"{k}.png")
    return folder


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_eval(trained: Trained, many: Path, number: signal.Signals) -> None:
    words = ("--sets", many, "--metrics", "psnr", "ssim", "--out", "scores", "--device", "cpu")
    stopped_at(f"scoring photos: {MANY} images", number, "eval", trained.folder, *words)
    assert not Path("scores").exists()
    assert list(Path().rglob(".*")) == []


def test_upscale(trained: Trained, many: Path) -> None:
    words = ("upscale", trained.folder, many, "--out", "big", "--device", "cpu")
    stopped_at("big/0-x2.png", signal.SIGTERM, *words)
    made = [path for path in Path("big").iterdir() if path.name != ".fastsr"]
    assert 1 <= len(made) < MANY
    for path in made:
        with Image.open(path) as image:
            image.load()
            assert image.size == (600, 600)


def test_packing(many: Path) -> None:
    words = ("--data", many, *TINY, "--cache", "packed", "--out", "run")
    rest = stopped_at(f"packing {MANY} images", signal.SIGINT, "train", *words)
    assert rest == "stopping, with nothing to save yet; Ctrl-C once more leaves without\n"
    assert list(Path("packed/packs").iterdir()) == []
    assert not Path("run").exists()


def test_reproduce(data: Path) -> None:
    """While it evaluates: training is stopped as that of any run."""
    words = (
        "reproduce", "--data", data, *NETWORKS, "--steps", 1, "--scales", 2, "--sets", data, "--metrics", "psnr",
        "--cache", "packed", "--out", "again", "--device", "cpu",
    )  # fmt: skip
    rest = stopped_at("scoring data: 3 images", signal.SIGHUP, *words)
    assert "everything goes on with: fastsr reproduce " in rest
    left = {path.name for path in Path("again").rglob("*") if path.name.startswith(".")}
    assert left <= {".lock", ".fastsr"}
    assert not Path("again/x2-seed0/evaluation").exists()
