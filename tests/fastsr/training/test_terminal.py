"""Training in a terminal, a pipe that closes, a full device and plain ASCII: real processes, signals and a pty."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from fastsr.training.stopping import SAME_WISH
from tests.images import random_image

TINY = (
    "--scale", "2", "--blocks", "1", "--filters", "4", "--discriminator-filters", "2", "--patch", "16", "--batch", "2",
    "--content", "pixel", "--pretrain-steps", "1", "--steps", "5", "--log-every", "1", "--val-every", "3",
)  # fmt: skip
SLOW = (
    "--blocks", "32", "--patch", "96", "--batch", "16", "--content", "pixel", "--steps", "1000",
)  # fmt: skip
"""Steps of seconds, most of them inside single calls of torch."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "größe"
    folder.mkdir()
    for k in range(2):
        Image.fromarray(random_image(100, 110, k)).save(folder / f"{k}.png")
    return folder


def command(images: Path, out: Path, *words: str) -> list[str]:
    return [
        sys.executable, "-m", "fastsr", "train", "--data", str(images), "--val", str(images), "--out", str(out),
        "--cache", str(out.parent / "cache"), "--device", "cpu", *words,
    ]  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", **more}


def finished(out: Path) -> bool:
    return (out / "checkpoints" / "step-00000006" / "state.json").is_file()


class Terminal:
    """A process in a terminal of 80 columns, and what it has shown."""

    def __init__(self, words: list[str]) -> None:
        self.screen, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        env = {name: value for name, value in environment().items() if name != "COLUMNS"}
        self.process = subprocess.Popen(
            words, stdin=child, stdout=child, stderr=child, env=env, start_new_session=True
        )
        os.close(child)
        self.text = ""

    def wait_for(self, pattern: str, seconds: float = 200) -> str:
        """Reads until the pattern appears, colours and cursor movements left out."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text[-3000:]
            with suppress(OSError):  # the process has ended
                data = os.read(self.screen, 65536).decode(errors="replace")
                self.text += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data)
                continue
            assert re.search(pattern, self.text), self.text[-3000:]
        return self.text


@contextmanager
def terminal(words: list[str]) -> Iterator[Terminal]:
    shown = Terminal(words)
    try:
        yield shown
    finally:
        shown.process.kill()
        shown.process.wait()
        with suppress(OSError):
            os.close(shown.screen)


def test_ctrl_c_is_acknowledged_inside_a_step_and_twice_leaves(
    images: Path, tmp_path: Path
) -> None:
    with terminal(command(images, tmp_path / "run", *SLOW)) as shown:
        text = shown.wait_for(r"training +\S* +0/1000")
        said = r"paper: x4, 2 peers .*\r?\n(?s:.*)2 images, 2 for validation; float32 on (?s:.*)run; about "
        assert re.search(said, text)
        assert "checking that every loss is alive" in text
        time.sleep(1)
        shown.process.send_signal(signal.SIGINT)
        shown.wait_for(r"stopping, saving step \d; Ctrl-C once more leaves without")
        time.sleep(2 * SAME_WISH)
        shown.process.send_signal(signal.SIGINT)
        shown.wait_for(r"left at once; (nothing was saved|kept is \S+step-)")
        assert shown.process.wait(timeout=60) == 130
    assert "Traceback" not in shown.text


def test_a_closed_terminal_saves(images: Path, tmp_path: Path) -> None:
    """The kernel sends SIGHUP when the window is gone, and from then on every write fails."""
    words = [*TINY, "--steps", "100000", "--save-every", "100000"]
    with terminal(command(images, tmp_path / "run", *words)) as shown:
        shown.wait_for(r"validation 3 ")
        os.close(shown.screen)
        shown.process.send_signal(signal.SIGHUP)
        assert shown.process.wait(timeout=120) == 128 + signal.SIGHUP
    (checkpoint,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert int(checkpoint.name.removeprefix("step-")) >= 3
    assert (checkpoint / "state.json").is_file()


def test_a_pipe_that_closes_costs_nothing(images: Path, tmp_path: Path) -> None:
    """`fastsr train | head -1`: training goes on silently to its end."""
    with subprocess.Popen(
        command(images, tmp_path / "run", *TINY),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("paper: x2, 2 peers (ml)")
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=200)) == ("", 0)
    assert finished(tmp_path / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_device_costs_nothing(images: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        outcome = subprocess.run(
            command(images, tmp_path / "run", *TINY),
            stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), timeout=200,
        )  # fmt: skip
    assert (outcome.stderr, outcome.returncode) == ("", 0)
    assert finished(tmp_path / "run")


def test_plain_ascii(images: Path, tmp_path: Path) -> None:
    """Names that the encoding lacks are shown by codes; everything of ours is plain."""
    outcome = subprocess.run(
        command(images, tmp_path / "läuft", *TINY, "--verbose"),
        capture_output=True, timeout=200,
        env=environment(LC_ALL="C", PYTHONIOENCODING="ascii:strict"),
    )  # fmt: skip
    assert (outcome.stderr, outcome.returncode) == (b"", 0)
    text = outcome.stdout.decode("ascii")
    assert "l\\xe4uft" in text
    for part in ("validation 3  bicubic ", "D(real)", "SSIM", "next: fastsr upscale"):
        assert part in text
    assert finished(tmp_path / "läuft")
