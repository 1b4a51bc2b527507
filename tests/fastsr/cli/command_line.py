"""Helpers of the command line's tests."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file, save_file

from fastsr.models import SRResNet
from fastsr.models.model_file import save_generator

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


def save_images(folder: Path, count: int = 3, height: int = 40, width: int = 44) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(count)
    for k in range(count):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            folder / f"{k}.png"
        )
    return folder


@dataclass(frozen=True)
class Trained:
    folder: Path
    data: Path
    said: str


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
        true = {
            "architecture": "fastsr.SRResNet",
            "scale": str(scale),
            "blocks": "1",
            "filters": "4",
        }
        save_file(
            load_file(file),
            file,
            {name: value for name, value in (true | header).items() if value is not None},
        )
    return file
