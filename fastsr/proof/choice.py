"""The search for the fastest of equal settings: which to try, in what order, which to keep. It knows no device."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

NETWORKS = ("generator", "discriminator", "content")
"""Those that torch.compile may compile."""
MARGIN = 0.99
"""A candidate has to take less than this share of the best one's time: timings of equal code differ by a little."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """Settings that decide on how a step is computed, and not on what."""

    peer_streams: int
    channels_last: bool = True
    compiled: tuple[str, ...] = NETWORKS

    def __str__(self) -> str:
        streams = f"{self.peer_streams} stream" + "s" * (self.peer_streams != 1)
        layout = "channels_last" if self.channels_last else "contiguous"
        return f"{streams}, {layout}, compiled: {', '.join(self.compiled) or 'nothing'}"

    @staticmethod
    def read(content: dict[str, Any]) -> "Way":
        """Raises KeyError, TypeError or ValueError for what is none."""
        compiled = tuple(name for name in NETWORKS if name in content["compiled"])
        streams = int(content["peer_streams"])
        return Way(
            peer_streams=streams, channels_last=bool(content["channels_last"]), compiled=compiled
        )


@dataclass(frozen=True)
class Timed:
    """A way that was tried."""

    way: Way
    milliseconds: float | None
    """Of one step; None where it failed."""
    note: str = ""
    """The failure, or the reason for not trying."""


Measure = Callable[[Way], float]
"""Milliseconds of a step. Raises whatever makes a way impossible."""


def candidates(
    best: Callable[[], Way], streams: Iterable[int], layouts: Iterable[bool]
) -> Iterator[Way]:
    """Ways that differ from the best one so far in one setting. What must be compiled anew comes last."""
    for count in streams:
        yield replace(best(), peer_streams=count)
    for network in NETWORKS:
        eager = tuple(name for name in best().compiled if name != network)
        yield replace(best(), compiled=eager)
    for channels_last in layouts:
        yield replace(best(), channels_last=channels_last)


class Search:
    """Tries one way after the other and remembers.

    Args:
        measure: times a way. now: a clock, in seconds.
        limit: seconds for everything but the first trial, which compiles what training needs anyway.
    """

    def __init__(self, measure: Measure, now: Callable[[], float], limit: float) -> None:
        self.measure, self.now, self.limit = measure, now, limit
        self.rows: list[Timed] = []
        self.seconds: list[float] = []
        """Duration of each trial; the first one's includes compilation."""

    def run(self, start: Way, streams: Iterable[int], layouts: Iterable[bool]) -> Way | None:
        """The fastest way; None where every one fails."""
        self.attempt(start)
        end = self.now() + self.limit
        for way in candidates(lambda: self.best or start, streams, layouts):
            if way in (row.way for row in self.rows):
                continue
            if self.now() + self.expected(way, start) > end:
                self.rows.append(Timed(way, None, "not tried: out of time"))
            else:
                self.attempt(way)
        return self.best

    def attempt(self, way: Way) -> None:
        began = self.now()
        try:
            self.rows.append(Timed(way, self.measure(way)))
        except Exception as error:  # a way that compilers or memory refuse is no fault of training
            text = str(error).strip() or type(error).__name__
            self.rows.append(Timed(way, None, f"failed: {text.splitlines()[0]}"))
        self.seconds.append(self.now() - began)

    def expected(self, way: Way, start: Way) -> float:
        """Seconds that a trial may take: another layout is compiled anew, as the first way was."""
        first, *later = self.seconds
        if way.channels_last != start.channels_last and way.compiled:
            return first
        return median(later) if later else 0.0

    @property
    def best(self) -> Way | None:
        """The fastest so far; of those that are about as fast, the first."""
        chosen: Timed | None = None
        for row in self.rows:
            if row.milliseconds is None:
                continue
            if chosen is None or row.milliseconds < MARGIN * (chosen.milliseconds or 0):
                chosen = row
        return chosen.way if chosen else None
