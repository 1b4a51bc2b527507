"""Signals that ask training to stop."""

import io
import os
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console

from fastsr.config.settings import TrainConfig
from fastsr.training import stopping
from fastsr.training.run import Run
from fastsr.training.stopping import SAME_WISH, Stop, stop_signals, stopping_signals


def heard(stop: Stop, number: signal.Signals) -> bool:
    """Sends a signal to this process, and waits for the answer."""
    os.kill(os.getpid(), number)
    deadline = time.monotonic() + 60
    while not stop.wanted and time.monotonic() < deadline:
        time.sleep(0.001)
    return stop.wanted


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name
)
def test_a_signal_is_a_wish(tiny_config: TrainConfig, number: signal.Signals) -> None:
    """It interrupts nothing once there is a run; Ctrl-C is answered; handlers are put back."""
    said = io.StringIO()
    stop = Stop(Console(file=said, width=200))
    stop.run, stop.step = Run(tiny_config.output.out or Path()), 7
    before = signal.getsignal(number)
    with stop_signals(stop):
        assert not stop.wanted
        assert heard(stop, number)
    assert signal.getsignal(number) == before
    assert signal.set_wakeup_fd(-1) == -1
    answer = "stopping, saving step 7; Ctrl-C once more leaves without\n"
    assert said.getvalue() == (answer if number == signal.SIGINT else "")


def test_a_signal_that_comes_twice_at_once_is_one_wish(
    tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of GNU timeout, which sends it to the process and to its group, also where a terminal takes its time; a later
    one leaves."""
    now, left = 100.0, list[float]()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            nonlocal now
            now += 2 * SAME_WISH
            return super().write(text)

    said = Slow()
    stop = Stop(Console(file=said, width=200))
    stop.run, stop.step = Run(tiny_config.output.out or Path()), 7
    monkeypatch.setattr(stop, "leave", lambda: left.append(now))
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now)
    stop.heard(signal.SIGINT)
    stop.heard(signal.SIGINT)
    assert stop.wanted and left == []
    assert said.getvalue().count("stopping") == 1
    now += 1.5 * SAME_WISH
    stop.heard(signal.SIGINT)
    assert len(left) == 1


def test_a_signal_before_there_is_a_run_interrupts() -> None:
    said = io.StringIO()
    with pytest.raises(KeyboardInterrupt), stop_signals(Stop(Console(file=said, width=200))):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    assert "with nothing to save yet" in said.getvalue()


def test_nohup_is_respected() -> None:
    assert signal.SIGHUP in stopping_signals()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert stopping_signals() == [signal.SIGINT, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)
