"""The share of wall time that is training, and what the rest of it went to."""

import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

from fastsr.console import listed
from fastsr.prediction.duration import duration


class Stopwatch:
    """Counts the seconds that were no training, by what they were spent on.

    Args:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self.began = now()
        self.spent: Counter[str] = Counter()
        self.running = False

    @contextmanager
    def aside(self, what: str) -> Generator[None, None, None]:
        """Time within is no training. Within another such time it counts as that one's."""
        if self.running:
            yield
            return
        began, self.running = self.now(), True
        try:
            yield
        finally:
            self.spent[what] += self.now() - began  # type: ignore[assignment]  # of seconds
            self.running = False

    @property
    def share(self) -> float:
        """The share of the time until now that was training, 0 to 1."""
        elapsed = self.now() - self.began
        return max(0.0, 1 - sum(self.spent.values()) / elapsed) if elapsed > 0 else 1.0

    def __str__(self) -> str:
        elapsed = self.now() - self.began
        parts = [
            f"{what} {seconds / elapsed:.1%}"
            for what, seconds in self.spent.most_common()
            if seconds >= 5e-4 * elapsed
        ]
        rest = f"; {listed(parts)}" if parts else ""
        return f"training took {self.share:.1%} of {duration(elapsed)}{rest}"
