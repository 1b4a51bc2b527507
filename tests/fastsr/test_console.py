"""Output that lasts: encodings that lack signs, streams that end."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import track

from fastsr.console import LastingOutput, counted, doing, encodable, is_live, say

HOME = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("a → b", "utf-8", "a → b"),
        ("x4 … 2×3 ↑", "ascii", "x4 ~ 2x3 ^"),
        ("größe", "ascii", "gr\\xf6\\xdfe"),
        ("größe", "latin-1", "größe"),
        ("not-utf8-\udcff", "utf-8", "not-utf8-\\udcff"),
    ],
)
def test_signs_that_the_encoding_lacks(text: str, encoding: str, shown: str) -> None:
    assert encodable(text, encoding) == shown
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    say(Console(file=LastingOutput(stream)), text)
    stream.seek(0)
    assert stream.read() == f"{shown}\n"


def test_a_bar_in_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    console = Console(file=LastingOutput(stream), force_terminal=True, width=80)
    assert list(track(range(3), "packing", console=console)) == [0, 1, 2]
    stream.seek(0)
    text = stream.read()
    assert "packing" in text and "-----" in text


@pytest.mark.parametrize(("term", "live"), [("xterm", True), ("dumb", False), ("unknown", False)])
def test_a_dumb_terminal_gets_lines(term: str, live: bool) -> None:
    """As in an editor's shell: nothing can be drawn again, and what is not said in lines would not be seen."""
    stream = io.StringIO()
    environment = {"TERM": term, "COLUMNS": "80"}
    console = Console(file=stream, force_terminal=True, width=80, _environ=environment)
    assert is_live(console) == live
    with doing(console, "building"):
        pass
    assert (stream.getvalue() == "building\n") == (not live)


def test_a_stream_that_ends_is_left_alone() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        output = LastingOutput(stream)
        console = Console(file=output)
        say(console, "heard")
        assert os.read(reading, 100) == b"heard\n"
        os.close(reading)
        for _ in range(3):
            say(console, "unheard")
        assert output.stream is None


def test_no_stream_at_all() -> None:
    say(Console(file=LastingOutput(None)), "unheard")


def test_a_cuda_toolkit_without_a_gpu_is_no_warning(tmp_path: Path) -> None:
    """torch looks for nvcc beside CUDA_HOME, and warns where no GPU comes with it."""
    program = (
        "import sys; {} import torch.utils.cpp_extension as c; sys.exit(0 if c.CUDA_HOME else 3)"
    )
    errors = []
    for hush in ("", "from fastsr.console import hush_cuda_home; hush_cuda_home();"):
        outcome = subprocess.run(
            [sys.executable, "-c", program.format(hush)], capture_output=True, text=True, cwd=HOME,
            env={**os.environ, "CUDA_HOME": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
        if outcome.returncode == 3:
            pytest.skip("this torch is built without CUDA")
        errors.append(outcome.stderr)
    assert "No CUDA runtime is found" in errors[0]
    assert errors[1] == ""


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 image"), (0, "0 images"), (2000, "2,000 images")]
)
def test_counted(count: int, text: str) -> None:
    assert counted(count, "image") == text
