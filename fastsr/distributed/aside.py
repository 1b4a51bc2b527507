"""Ranks as a thread beside training meets those of others: through the store, so that no step waits for it."""

import pickle
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch.distributed.distributed_c10d import Store

from fastsr.distributed.together import Member, done_together

T = TypeVar("T")
PAUSE_SECONDS = 0.05
"""Between two looks at the store."""
FAREWELL_SECONDS = 5.0
"""Time for what was begun, once training has ended without waiting for it: others may be gone."""


class Aside:
    """A meeting of one thread of each rank.

    Args:
        store: that all ranks share; nobody else talks through this connection. key: beginning of its names there.
        seconds: that others may take for what they do together.
    """

    def __init__(
        self, store: Store, key: str, rank: int, members: Sequence[Member], seconds: float
    ) -> None:
        self.store, self.key, self.rank, self.members = store, key, rank, members
        self.seconds, self.end = seconds, float("inf")
        self.calls = 0

    def gather(self, value: T) -> list[T]:
        keys = [f"{self.key}/{self.calls}/{member.rank}" for member in self.members]
        self.store.set(keys[self.rank], pickle.dumps(value))  # pyright: ignore[reportArgumentType]
        patience = time.monotonic() + self.seconds
        while not self.store.check(keys):
            if time.monotonic() > min(patience, self.end):
                raise RuntimeError("timed out waiting for other ranks to save")
            time.sleep(PAUSE_SECONDS)
        values = [pickle.loads(self.store.get(key)) for key in keys]
        if self.calls:  # who says more has read what was said before
            self.store.delete_key(f"{self.key}/{self.calls - 1}/{self.rank}")
        self.calls += 1
        return values

    def together(self, work: Callable[[], T]) -> T:
        return done_together(self, work)

    def close(self) -> None:
        self.end = time.monotonic() + FAREWELL_SECONDS
