"""The end of a command: its exit status, one line for what went wrong, and nothing left behind when it is stopped."""

import codecs
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from types import FrameType

from fastsr.console import PLAIN, rank
from fastsr.errors import UserError

BROKEN_PIPE = 128 + 13
"""The exit status of a process that SIGPIPE ended, as other tools have it whose reader went away."""


def exit_status(command: Callable[[], None]) -> int:
    """Runs a command. Returns 0, 2 for what the user can mend, 128 + N where signal N stopped it (130 for Ctrl-C).

    What a person reads is one line on stderr. Nothing is said where stdout was closed early, as by `| head`.
    """
    printable(sys.stdout)
    printable(sys.stderr)
    try:
        with stopped_by_exceptions(), told_apart():
            status, message = outcome(command)
            fault = flushing_fault()
            if isinstance(fault, BrokenPipeError):
                return BROKEN_PIPE
            if fault:  # whatever else went wrong began with it
                status, message = 2, str(fault)
    except KeyboardInterrupt as stop:  # between the command's end and the return of the handlers
        status, message = stopped_by(stop), ""
    if message:
        with suppress(OSError):
            who = f"rank {rank()}: " if rank() else ""
            sys.stderr.write(f"fastsr: {who}{message}\n")
            sys.stderr.flush()
    return status


def outcome(command: Callable[[], None]) -> tuple[int, str]:
    """The exit status of a command, and what is to be said about it."""
    try:
        command()
    except UserError as error:
        return 2, str(error)
    except KeyboardInterrupt as stop:
        return stopped_by(stop), ""
    except BrokenPipeError:
        return BROKEN_PIPE, ""
    except MemoryError:
        return 2, "out of memory: use smaller images or settings"
    except OSError as error:
        return 2, explained(error)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # rich's answer to one
            return BROKEN_PIPE, ""
        if not isinstance(stop.code, int):
            raise
        return stop.code, ""
    return 0, ""


def stopped_by(stop: KeyboardInterrupt) -> int:
    """The exit status for the signal that an interruption carries; Ctrl-C where it carries none, as Python's own."""
    return 128 + int(stop.args[0] if stop.args else signal.SIGINT)


def explained(error: OSError) -> str:
    """A line on what the system refused: the file, where it names one, and the reason."""
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else f"the system refuses: {reason}"


@contextmanager
def stopped_by_exceptions() -> Generator[None, None, None]:
    """Within, SIGTERM and SIGHUP raise KeyboardInterrupt with their number, once: who cleans up after Ctrl-C then does
    so after them. A signal that is ignored, as by nohup, stays so.
    """
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def stop(number: int, _: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    before: dict[int, object] = {}
    with suppress(ValueError):  # only the main thread hears signals
        for number in numbers:
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_DFL)


class Output(TextIOWrapper):
    """Standard output whose faults, as of a full disk, are not taken for those of files that are written meanwhile."""

    def write(self, text: str, /) -> int:
        with as_user_error():
            return super().write(text)

    def flush(self) -> None:
        with as_user_error():
            super().flush()


@contextmanager
def as_user_error() -> Generator[None, None, None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"standard output cannot be written ({error.strerror})") from error


@contextmanager
def told_apart() -> Generator[None, None, None]:
    """Within, sys.stdout is an Output, unless somebody has put a stream of theirs in its place, as tests do."""
    usual = sys.stdout
    if type(usual) is not TextIOWrapper:
        yield
        return
    usual.flush()
    sys.stdout = output = Output(
        usual.buffer, usual.encoding, usual.errors, line_buffering=usual.line_buffering,
        write_through=usual.write_through,
    )  # fmt: skip
    try:
        yield
    finally:
        sys.stdout = usual
        output.detach()


def flushing_fault() -> UserError | BrokenPipeError | None:
    """Flushes stdout. Where that fails, Python would fail again on its way out: what is left goes nowhere instead."""
    try:
        sys.stdout.flush()
    except (UserError, BrokenPipeError) as error:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def printable(stream: object) -> None:
    """Makes a stream take any text: names of files that are not UTF-8 as they are on disk, our arrows in ASCII too."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="fastsr")


def replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler for encoding: bytes of a name come back, our characters have stand-ins, others escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return bytes([ord(character) - 0xDC00]), error.start + 1
    escaped = character.encode("ascii", "backslashreplace").decode()
    return PLAIN.get(character, escaped), error.start + 1


codecs.register_error("fastsr", replaced)
