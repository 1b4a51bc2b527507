"""The ranks of a training: processes that torchrun, or a scheduler in its manner, has started with one command."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from fastsr.console import listed
from fastsr.distributed.aside import Aside
from fastsr.distributed.meeting import find_each_other
from fastsr.distributed.together import Meeting, Member, done_together
from fastsr.errors import UserError

T = TypeVar("T")
PATIENCE = 6
"""So many times as long as in a step ranks wait where one validates, packs or saves."""
FAREWELL_SECONDS = 2.0
"""Time in which ranks that still live say so, once one is lost."""
NETWORK = ("gloo/transport", "connection closed", "connection reset", "timed out", "broken pipe")
"""Words in messages of torch.distributed, whose errors are mostly plain RuntimeErrors."""


class LostRankError(UserError):
    """Other ranks are gone, or silent for too long."""


class World(Meeting, Protocol):
    """The exchange of a rank with all others, beside the numbers of a step."""

    size: int

    def in_turn(self, name: str, work: Callable[[], T]) -> T:
        """As `together`: on the first rank, then on the first of every other machine, then on all others, so that these
        find what it leaves on disks. It may take hours. `name` is its own."""
        ...

    def any(self, mine: bool) -> bool:
        """True, on all ranks in the same call, soon after one said so: each call answers an earlier one."""
        ...

    def aside(self) -> Meeting:
        """A meeting for one other thread of each rank."""
        ...


@dataclass(frozen=True)
class Place:
    """The place of a process among those that were started with it, as the environment tells."""

    rank: int
    size: int
    local_rank: int
    """Index on its machine, by which it takes a GPU."""

    @staticmethod
    def from_environment() -> "Place | None":
        """None for a process that is alone. Raises UserError for what are no numbers."""
        size = os.environ.get("WORLD_SIZE", "1")
        if size == "1" or "RANK" not in os.environ:
            return None
        try:
            local = int(os.environ.get("LOCAL_RANK", "0"))
            return Place(int(os.environ["RANK"]), int(size), local)
        except ValueError as error:
            raise UserError(
                f"WORLD_SIZE, RANK or LOCAL_RANK is no number ({error}); start with torchrun"
            ) from None


class Alone:
    """The only process."""

    rank, size = 0, 1
    place: Place | None = None
    members: Sequence[Member] = ()

    def gather(self, value: T) -> list[T]:
        return [value]

    def together(self, work: Callable[[], T]) -> T:
        return work()

    def in_turn(self, name: str, work: Callable[[], T]) -> T:
        return work()

    def any(self, mine: bool) -> bool:
        return mine

    def aside(self) -> "Alone":
        return self

    def close(self) -> None:
        """Nobody waits."""


class Ranks:
    """All ranks, connected by gloo for whatever is no part of a step.

    Args:
        place: of this process. seconds: that a rank may be silent in a step.
    Raises:
        UserError: the ranks do not find each other.
    """

    def __init__(self, place: Place, seconds: int) -> None:
        self.rank, self.size, self.place = place.rank, place.size, place
        self.timeout = timedelta(seconds=seconds)
        self.key = f"fastsr/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
        """Beginning of the names that this start has in the store, which outlives it under torchrun."""
        self.store = find_each_other(place.rank, place.size, self.timeout)
        dist.init_process_group(
            "gloo",
            store=PrefixStore(self.key, self.store),
            rank=place.rank,
            world_size=place.size,
            timeout=self.timeout,
        )
        patient = dist.new_group(timeout=PATIENCE * self.timeout, backend="gloo")
        assert isinstance(patient, dist.ProcessGroup)
        self.patient = patient
        me = Member(self.rank, socket.gethostname(), os.getpid(), place.local_rank)
        self.members: Sequence[Member] = self.gather(me)
        self.questions: deque[tuple[dist.Work, torch.Tensor]] = deque()
        """Those that `any` has asked, and that are still on their way."""
        self.lag = 1
        """Calls of `any` after which one is answered: more over a slow link."""

    def gather(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.patient)
        return values

    def together(self, work: Callable[[], T]) -> T:
        return done_together(self, work)

    def aside(self) -> Aside:
        seconds = PATIENCE * self.timeout.total_seconds()
        return Aside(self.store.clone(), f"{self.key}/aside", self.rank, self.members, seconds)

    def in_turn(self, name: str, work: Callable[[], T]) -> T:
        key, mine = f"{self.key}/turn/{name}", turn(self.members[self.rank])

        def when_due() -> T:
            while self.store.add(key, 0) < sum(turn(member) < mine for member in self.members):
                time.sleep(0.1)
            try:
                return work()
            finally:
                self.store.add(key, 1)
                while self.store.add(key, 0) < self.size:  # gathering is less patient
                    time.sleep(0.1)

        return self.together(when_due)

    def any(self, mine: bool) -> bool:
        flag = torch.tensor([int(mine)], dtype=torch.int32)
        work = dist.all_reduce(flag, dist.ReduceOp.MAX, async_op=True)
        assert work is not None
        self.questions.append((work, flag))
        return self.answer() if len(self.questions) > self.lag else False

    def answer(self) -> bool:
        """The answer to the oldest question."""
        work, flag = self.questions.popleft()
        work.wait()
        return bool(flag)

    def lost(self, error: BaseException) -> LostRankError:
        """The error of a rank that cannot go on since others are gone or silent: it names them.

        Ranks that live say so in the store, which torchrun keeps; those that do not are lost.
        """
        key, silent = f"{self.key}/alive", [m for m in self.members if m.rank != self.rank]
        with suppress(RuntimeError):
            self.store.set(f"{key}/{self.rank}", "")
            end = time.monotonic() + FAREWELL_SECONDS
            # Without torchrun the store ends with the first rank, which others still read.
            while time.monotonic() < end and (len(silent) > 1 or self.rank == 0):
                silent = [m for m in silent if not self.store.check([f"{key}/{m.rank}"])]
                time.sleep(0.05)
        names = listed([str(m) for m in silent]) if silent else "another rank, or the network,"
        reason = " ".join(str(error).split())
        return LostRankError(f"{names} stopped answering ({short(reason)})")

    def close(self) -> None:
        with suppress(RuntimeError):
            while self.questions:
                self.answer()
            dist.destroy_process_group()


def turn(member: Member) -> int:
    return 0 if member.rank == 0 else 1 if member.local_rank == 0 else 2


def short(reason: str) -> str:
    """The message of the network library, without the place in its source."""
    reason = reason.rpartition("] ")[2] if reason.startswith("[") else reason
    return reason.partition(". This ")[0][:160]


def is_network_error(error: BaseException) -> bool:
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in NETWORK)


@contextmanager
def joined(seconds: int) -> Generator[Alone | Ranks, None, None]:
    """The world that this process is in, which it leaves at the end.

    Raises LostRankError where others are lost meanwhile.
    """
    place = Place.from_environment()
    if place is None:
        yield Alone()
        return
    try:
        world = Ranks(place, seconds)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the ranks do not connect ({short(reason)}); start all of them") from None
    try:
        yield world
    except RuntimeError as error:
        if not is_network_error(error):
            raise
        raise world.lost(error) from error
    else:
        world.close()
