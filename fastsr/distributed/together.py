"""Work that ranks do together, and errors that they raise alike: the first of them tells the user."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastsr.errors import UserError

T = TypeVar("T")
Problem = tuple[bool, str]
"""True for an OSError, False for a UserError, and its text."""


class ToldElsewhereError(UserError):
    """An error that another rank tells the user."""

    def __init__(self) -> None:
        super().__init__("")


@dataclass(frozen=True)
class Member:
    """A rank, as messages name it."""

    rank: int
    host: str
    process: int
    local_rank: int

    def __str__(self) -> str:
        return f"rank {self.rank} ({self.host}, process {self.process})"


class Meeting(Protocol):
    """The exchange of a rank with all others, in calls that all make in the same order."""

    rank: int
    members: Sequence[Member]
    """The ranks by their numbers; none where there is one."""

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, on all of them."""
        ...

    def together(self, work: Callable[[], T]) -> T:
        """The result of `work`; raises on all ranks where it raises UserError or OSError on any."""
        ...

    def close(self) -> None:
        """Nothing is begun any more."""
        ...


def done_together(meeting: Meeting, work: Callable[[], T]) -> T:
    """The result of `work`, as `Meeting.together` has it."""
    problem: Problem | None = None
    done: list[T] = []
    try:
        done.append(work())
    except (UserError, OSError) as error:
        problem = isinstance(error, OSError), str(error)
    raise_first(meeting, meeting.gather(problem))
    return done[0]


def raise_first(meeting: Meeting, problems: list[Problem | None]) -> None:
    """Raises the first problem: in full on the first rank, where it names the rank that has it."""
    found = [(member, *p) for member, p in zip(meeting.members, problems, strict=True) if p]
    if not found:
        return
    if meeting.rank:
        raise ToldElsewhereError
    member, is_os_error, text = found[0]
    if len({text for _, _, text in found}) > 1 or len(found) < len(problems):
        text = f"{member}: {text}" if member.rank else text
    raise (OSError if is_os_error else UserError)(text)
