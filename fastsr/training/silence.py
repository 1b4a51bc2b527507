"""The telemetry of a rank that is not the first: nothing."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from fastsr.training.stopwatch import Stopwatch


class Silence:
    """Takes every report that `Telemetry` takes, and tells nobody: the first rank speaks for all."""

    def __init__(self) -> None:
        self.stopwatch = Stopwatch()

    def __enter__(self) -> "Silence":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def begin_stage(self, name: str, step: int) -> None: ...

    def tick(self, step: int) -> None: ...

    @contextmanager
    def doing(self, activity: str, kind: str = "") -> Generator[None, None, None]:
        yield

    def train_row(self, *_: Any) -> None: ...

    def validation(self, *_: Any) -> None: ...

    def picture(self, *_: Any) -> None: ...
