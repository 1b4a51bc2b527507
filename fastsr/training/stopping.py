"""Stopping when asked to: at the next step, with everything saved, or at once."""

import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console

from fastsr.console import say
from fastsr.distributed.world import LostRankError
from fastsr.training.run import Run

SAME_WISH = 0.1
"""Seconds within which one more SIGINT is the first one again: GNU timeout sends it to a process and to its group."""
PATIENCE = 1.0
"""Seconds that a terminal which takes no output may delay leaving at once."""


class Stop:
    """The wish to stop training, and the answer to whoever has it.

    SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal) are such wishes. A later SIGINT leaves the process at once:
    checkpoints have their names only when whole, so nothing is harmed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.wanted = False
        self.heard_at = 0.0
        """When the first wish was answered, by the monotonic clock: a terminal may take its time."""
        self.number: int = signal.SIGINT
        """The signal that was heard first."""
        self.run: Run | None = None
        """The run that is saved when training stops. Before there is one, a signal interrupts whatever is going on."""
        self.step = 0
        """The step that will be saved: the one under way. 0 before the first."""

    def heard(self, number: int) -> None:
        """Answers a signal. Not in the main thread, which may be in the middle of a long computation."""
        if self.wanted and number == signal.SIGINT:
            if time.monotonic() - self.heard_at < SAME_WISH and self.number == number:
                return
            self.leave()
        if not self.wanted:
            self.number = number
        self.wanted = True
        if number == signal.SIGINT:
            what = f"saving step {self.step}" if self.step else "with nothing to save yet"
            say(self.console, f"stopping, {what}; Ctrl-C once more leaves without")
            self.heard_at = time.monotonic()

    def leave(self) -> None:
        """Ends the process now, and says what was kept."""
        timer = threading.Timer(PATIENCE, os._exit, (130,))
        timer.daemon = True
        timer.start()
        kept = self.run.latest() if self.run else None
        if self.run and kept:
            text = f"left at once; kept is {kept}. Continue: {continue_command(self.run)}"
        else:
            text = "left at once; nothing was saved"
        say(self.console, text)
        self.console.show_cursor()
        os._exit(130)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """The handler of signals in the main thread."""
        if self.run is None:
            raise KeyboardInterrupt(number)


def continue_command(run: Run) -> str:
    """The command that continues a run."""
    return f"fastsr train --resume --out {shlex.quote(str(run.folder))}"


def what_is_kept(stop: Stop) -> str:
    """Words on what a training leaves that ended at its present step without being saved."""
    kept = stop.run.latest() if stop.run else None
    if stop.run is None or kept is None:
        return "nothing was saved yet"
    return f"step {stop.step} is not saved, {kept.name} is. Continue: {continue_command(stop.run)}"


@contextmanager
def stop_signals(stop: Stop) -> Generator[None, None, None]:
    """Lets signals stop training. They are heard by a thread, as Python tells the main one only between operations.

    Where another rank is lost, SIGTERM is ignored from then on: torchrun sends it to all that are left, and would take
    the word from the one that tells which was lost. It kills those that do not end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def listen() -> None:
        while number := ours.recv(1):
            stop.heard(number[0])

    listener = threading.Thread(target=listen, daemon=True, name="signals")
    listener.start()
    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, stop.interrupt) for number in stopping_signals()
    }
    descriptor = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield
    except LostRankError:
        before[signal.SIGTERM] = signal.SIG_IGN
        raise
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        theirs.close()
        listener.join()
        ours.close()


def stopping_signals() -> list[signal.Signals]:
    """Those that ask to stop. nohup ignores SIGHUP, and it stays ignored."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:
        numbers.append(hang_up)
    return numbers
