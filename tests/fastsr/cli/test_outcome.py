"""How commands end: signals, streams that fail, and characters that streams cannot take."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from fastsr.cli.outcome import exit_status
from fastsr.errors import UserError
from fastsr.evaluation.output import temporary_folder, write_csv

PROGRAM = [sys.executable, "-m", "fastsr"]
FILLING = """
import sys
from pathlib import Path
from rich.console import Console
from fastsr.cli.outcome import exit_status
from fastsr.evaluation.output import temporary_folder

def command():
    with temporary_folder(Path(sys.argv[1])):
        Console().print("scores " * 10)

sys.exit(exit_status(command))
"""
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_by_its_number_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    def command() -> None:
        with temporary_folder(tmp_path / "evaluation") as folder:
            (folder / "half").write_text("")
            os.kill(os.getpid(), number)
            time.sleep(60)

    assert exit_status(command) == 128 + number
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_second_signal_does_not_interrupt_cleaning_up() -> None:
    cleaned = []

    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned.append(True)

    assert exit_status(command) == 128 + signal.SIGHUP
    assert cleaned == [True]


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As nohup wishes."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert exit_status(lambda: os.kill(os.getpid(), signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def raising(error: BaseException) -> int:
    def command() -> None:
        raise error

    return exit_status(command)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("--batch 1 cannot be used"), 2, "fastsr: --batch 1 cannot be used\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (MemoryError(), 2, "fastsr: out of memory: use smaller images or settings\n"),
        (OSError(28, "No space left on device"), 2, "fastsr: the system refuses: No space left on device\n"),
        (OSError(36, "File name too long", "x.png"), 2, "fastsr: x.png: File name too long\n"),
    ],
    ids=["user", "Ctrl-C", "pipe", "memory", "full", "long name"],
)  # fmt: skip
def test_what_is_said(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == status
    assert capsys.readouterr() == ("", said)


def test_faults_of_ours_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["data", "--help"]])
def test_a_reader_who_leaves_early_is_no_error(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*PROGRAM, *words], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@needs_full
@pytest.mark.parametrize("words", [["--version"], ["train", "--help"], ["data", "list"]])
def test_a_full_disk_behind_stdout_is_one_line(words: list[str]) -> None:
    with FULL.open("w") as out:
        done = subprocess.run([*PROGRAM, *words], stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr == b"fastsr: standard output cannot be written (No space left on device)\n"


@needs_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_not_taken_for_that_of_a_folder(
    tmp_path: Path, unbuffered: str
) -> None:
    command = [sys.executable, "-c", FILLING, str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with FULL.open("w") as out:
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, env=environment, check=False
        )
    assert done.returncode == 2
    assert done.stderr == b"fastsr: standard output cannot be written (No space left on device)\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"PSNR ^ NIQE v caf\\xe9 \xff\n"),
        ("latin-1", b"PSNR ^ NIQE v caf\xe9 \xff\n"),
        ("utf-8", "PSNR ↑ NIQE ↓ café ".encode() + b"\xff\n"),
    ],
)
def test_streams_take_any_text(
    monkeypatch: pytest.MonkeyPatch, encoding: str, written: bytes
) -> None:
    """Also names of files that are no text, which come out as the bytes that they are."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict", newline="\n")
    monkeypatch.setattr(sys, "stdout", stream)
    name = os.fsdecode(b"\xff")
    assert exit_status(lambda: Console().print(f"PSNR ↑ NIQE ↓ café {name}")) == 0
    assert stream.buffer.getvalue() == written  # type: ignore[attr-defined]


def test_names_that_are_no_text_come_back_from_csv(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    write_csv(tmp_path / "images.csv", ["image"], [{"image": name}])
    assert (tmp_path / "images.csv").read_bytes() == b"image\r\n\xff.png\r\n"
