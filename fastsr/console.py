"""Sentences, and saying them on a terminal, a pipe or a file, whatever becomes of it."""

import io
import logging
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO, cast

from rich.console import Console

PLAIN = {
    "×": "x", "…": "~", "→": "->", "↑": "^", "↓": "v", "–": "-", "—": "-", "·": "-", "•": "*", "±": "~",
}  # fmt: skip
"""Signs of our own sentences, and of rich, as ASCII has them."""


class LastingOutput(io.TextIOBase):
    """A text stream that costs no program its work: it says what its encoding can, and falls silent when it ends.

    A pipe ends when its reader leaves (`| head -1`), a terminal with its window, a file when the disk is full.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self.stream is not None and self.stream.isatty()

    def fileno(self) -> int:
        if self.stream is None:
            raise io.UnsupportedOperation("fileno")
        return self.stream.fileno()

    def write(self, text: str) -> int:
        if self.stream is not None:
            try:
                self.stream.write(encodable(text, self.encoding))
            except (OSError, ValueError):  # ValueError: somebody has closed it
                self.fall_silent()
        return len(text)

    def flush(self) -> None:
        if self.stream is not None:
            try:
                self.stream.flush()
            except (OSError, ValueError):
                self.fall_silent()

    def fall_silent(self) -> None:
        """Sends what is still to come nowhere, also what Python itself flushes when it ends."""
        stream, self.stream = self.stream, None
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)


def encodable(text: str, encoding: str) -> str:
    """The text with signs that the encoding lacks replaced: ours by plain ones, others by their codes."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return (
            text.translate(str.maketrans(PLAIN))
            .encode(encoding, "backslashreplace")
            .decode(encoding)
        )
    return text


def ranks() -> int:
    """Processes that were started together, as torchrun counts them; 1 for one that is alone."""
    size = os.environ.get("WORLD_SIZE", "1") if "RANK" in os.environ else "1"
    return int(size) if size.isdigit() else 1


def rank() -> int:
    """Number of this process among those that train together, as torchrun counts them; 0 for one that is alone."""
    number = os.environ.get("RANK", "0") if ranks() > 1 else "0"
    return int(number) if number.isdigit() else 0


def lasting_console() -> Console:
    """Standard output for commands that work for hours. Of processes that train together the first alone speaks."""
    return Console(file=cast("TextIO", LastingOutput(sys.stdout)), quiet=rank() > 0)


def say(console: Console, text: str) -> None:
    """Prints text as it is: no markup, so that brackets in paths stay, and no line breaks of our own."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def is_live(console: Console) -> bool:
    """True for a terminal on which lines can be drawn again; TERM=dumb names one on which they cannot."""
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def doing(console: Console, text: str, lines: bool = True) -> Generator[None, None, None]:
    """Names what takes long while it happens: on a terminal until it is done, elsewhere as a line, if `lines`."""
    if not is_live(console):
        if lines:
            say(console, text)
        yield
        return
    # rich's other spinners are no ASCII
    with console.status(text, spinner="line"):
        yield


def listed(items: Sequence[str]) -> str:
    """a, b and c. There must be one at least."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def counted(count: int, noun: str) -> str:
    """1 image, 2,000 images."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def hush_cuda_home() -> None:
    """Keeps torch from warning of a CUDA toolkit beside no GPU: nothing is built with it here."""
    logging.getLogger("torch.utils.cpp_extension").addFilter(
        lambda record: not str(record.msg).startswith("No CUDA runtime is found")
    )
