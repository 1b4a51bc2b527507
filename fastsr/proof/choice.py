"""The search for the fastest of equal settings: which to try, in what order, which to keep. It knows no device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

NETWORKS = ("generator", "discriminator", "content")
"""Those that torch.compile may compile."""
WITH_TEMPLATES = ("generator", "content")
"""Those whose compiled blocks hold convolutions."""
MARGIN = 0.99
"""A candidate has to take less than this share of the best one's time: timings of equal code differ by a little."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """Settings that decide on how a step is computed, and not on what."""

    peer_streams: int
    channels_last: bool = True
    compiled: tuple[str, ...] = NETWORKS
    templates: tuple[str, ...] = ()
    """Compiled networks for whose convolutions inductor's templates are timed, beside cuDNN's."""
    tail_by_rows: bool = False
    """The generators' last convolution as a sum of rows."""
    fused_norms: bool = True
    """BN that is not compiled, by the operator that computes the activation, too, where Triton runs it."""

    def __str__(self) -> str:
        streams = f"{self.peer_streams} stream" + "s" * (self.peer_streams != 1)
        layout = "channels_last" if self.channels_last else "contiguous"
        parts = [streams, layout, *["tail by rows"] * self.tail_by_rows]
        parts += ["torch's norms"] * (not self.fused_norms)
        text = f"{', '.join(parts)}, compiled: {', '.join(self.compiled) or 'nothing'}"
        return text + (f", templates: {', '.join(self.templates)}" if self.templates else "")

    @staticmethod
    def read(content: dict[str, Any]) -> "Way":
        """Raises KeyError, TypeError or ValueError for what is none."""
        compiled = tuple(name for name in NETWORKS if name in content["compiled"])
        return Way(
            peer_streams=int(content["peer_streams"]),
            channels_last=bool(content["channels_last"]),
            compiled=compiled,
            templates=tuple(name for name in compiled if name in content["templates"]),
            tail_by_rows=bool(content["tail_by_rows"]),
            fused_norms=bool(content["fused_norms"]),
        )


@dataclass(frozen=True, kw_only=True)
class Varied:
    """Values to try, of settings that are left open."""

    streams: tuple[int, ...] = ()
    tails: tuple[bool, ...] = ()
    norms: tuple[bool, ...] = ()
    layouts: tuple[bool, ...] = ()
    templates: bool = False
    """Templates, of one network after the other."""


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


def candidates(best: Callable[[], Way], varied: Varied) -> Iterator[Way]:
    """Ways that differ from the best one so far in one setting. What must be compiled anew comes last."""
    for count in varied.streams:
        yield replace(best(), peer_streams=count)
    for by_rows in varied.tails:
        yield replace(best(), tail_by_rows=by_rows)
    for network in NETWORKS:
        way = best()
        yield replace(
            way, compiled=without(network, way.compiled), templates=without(network, way.templates)
        )
    for fused in varied.norms:
        # Compiled blocks have BN of their own; the one outside is not worth a trial.
        if not {"generator", "discriminator"} <= {*best().compiled}:
            yield replace(best(), fused_norms=fused)
    for channels_last in varied.layouts:
        yield replace(best(), channels_last=channels_last)
    for network in WITH_TEMPLATES if varied.templates else ():
        way = best()
        if network in way.compiled and network not in way.templates:
            yield replace(way, templates=(*way.templates, network))


def without(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in names if each != name)


class Search:
    """Tries one way after the other and remembers.

    Args:
        measure: times a way. now: a clock, in seconds.
        limit: seconds for everything but the first trial, which compiles what training needs anyway. None is begun
            that would probably end later; one that takes longer than expected is waited for.
    """

    def __init__(self, measure: Measure, now: Callable[[], float], limit: float) -> None:
        self.measure, self.now, self.limit = measure, now, limit
        self.rows: list[Timed] = []
        self.seconds: dict[Way, float] = {}
        """Duration of each trial; the first one's includes compilation."""

    def run(self, start: Way, varied: Varied) -> Way | None:
        """The fastest way; None where every one fails."""
        self.attempt(start)
        end = self.now() + self.limit
        for way in candidates(lambda: self.best or start, varied):
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
        self.seconds[way] = self.now() - began

    def expected(self, way: Way, start: Way) -> float:
        """Seconds that a trial may take. What is compiled anew takes as long as the first way did, or as the longest of
        its kind since."""
        first, *later = self.seconds.values()
        if way.templates != start.templates:
            alike = [s for tried, s in self.seconds.items() if tried.templates != start.templates]
            return max(alike, default=first)
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
