"""The progress of a run on a terminal: a bar that moves with every step, and a table of the last metrics."""

import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite, isnan, nan

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fastsr.cohort.terms import Term
from fastsr.console import is_live, say

TICK_SECONDS = 0.1
WINDOW_SECONDS = 30.0
WIDE = 110
"""Columns from which a terminal has room to spare."""


class Pace:
    """Steps per second of late, and the time that the rest takes. Counts what the host starts, and waits for nothing.

    Args:
        stages: the last step of each stage, and the work of one of its steps in any unit.
    """

    def __init__(self, start: int, stages: Sequence[tuple[int, float]]) -> None:
        self.stages = stages
        self.ticks: deque[tuple[float, int]] = deque([(time.perf_counter(), start)])

    def tick(self, step: int) -> bool:
        """Notes that a step was started. Returns whether it is worth showing, which it is ten times a second."""
        now = time.perf_counter()
        if len(self.ticks) > 1 and now - self.ticks[-1][0] < TICK_SECONDS:
            return False
        self.ticks.append((now, step))
        while len(self.ticks) > 3 and now - self.ticks[1][0] > WINDOW_SECONDS:
            self.ticks.popleft()
        return True

    def restart(self, step: int) -> None:
        """Forgets the steps of a stage that is over: those of the next take another time."""
        self.ticks = deque([(time.perf_counter(), step)])

    def leave_out(self, seconds: float) -> None:
        """Leaves out of the speed what was no training until now, such as a validation."""
        self.ticks = deque((moment + seconds, step) for moment, step in self.ticks)

    @property
    def rate(self) -> float:
        """Steps per second; NaN before the first step."""
        (began, first), (now, last) = self.ticks[0], self.ticks[-1]
        return (last - first) / (now - began) if last > first and now > began else nan

    def seconds_left(self, step: int, rate: float) -> float:
        """Until the end of the last stage; steps of later stages take longer or shorter by their work."""
        work = next((work for end, work in self.stages if step < end), 1.0)
        left, begin = 0.0, step
        for end, each in self.stages:
            left += max(0, end - begin) * each / (work or 1.0)
            begin = max(begin, end)
        return left / rate if rate > 0 else nan


class Screen:
    """The live view of a run on a terminal, laid out for 80 columns; it uses more where there are more."""

    def __init__(self, start: int, total: int, pace: Pace) -> None:
        self.step, self.total, self.pace = start, total, pace
        self.activity = ""
        """The work going on, unless it is training."""
        self.stage = ""
        self.peers: list[dict[Term, float]] = []
        self.validated = 0
        """The step of the last validation."""
        self.psnr: dict[str, float] = {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        yield self.bar(options.max_width)
        if self.peers:
            yield self.table(3 if wide else 1)
        elif self.psnr:
            yield Text(f"validation at step {self.validated}: {scores_text(self.psnr)}")

    def bar(self, width: int) -> Table:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1, min_width=4)
        for _ in range(3):
            grid.add_column(no_wrap=True, justify="right")
        rate = self.pace.rate
        left = self.pace.seconds_left(self.step, rate)
        grid.add_row(
            self.activity or self.stage or "training",
            ProgressBar(total=self.total, completed=self.step),
            f"{self.step}/{self.total}",
            rate_text(rate),
            f"{clock(left)} left" if width < WIDE else f"{clock(left)} left, until {until(left)}",
        )
        return grid

    def table(self, gap: int) -> Table:
        """One row a peer; headings in two lines, so that six peers and every metric fit 80 columns."""
        table = Table.grid(padding=(0, gap), pad_edge=False)
        names = (term.short.replace(" ", "\n") for term in self.peers[0])
        headings = ["peer", *(name if gap > 1 else shortened(name) for name in names)]
        headings += [self.psnr_heading()] if self.psnr else []
        for _ in headings:
            table.add_column(justify="right", vertical="bottom", no_wrap=True)
        table.add_row(*headings, style="bold")
        for k, peer in enumerate(self.peers):
            psnr = [decibels(self.psnr.get(f"peer {k}", nan))] if self.psnr else []
            table.add_row(str(k), *map(digits, peer.values()), *psnr)
        if "bicubic" in self.psnr:
            blank = [""] * (len(headings) - 2)
            table.add_row("bicubic", *blank, decibels(self.psnr["bicubic"]), style="dim")
        return table

    def psnr_heading(self) -> str:
        return f"val PSNR\n@ {self.validated}"


class Display:
    """Shows progress: on a terminal by a live screen, elsewhere by lines. A context manager."""

    def __init__(self, console: Console, screen: Screen, verbose: bool) -> None:
        self.console, self.screen, self.verbose = console, screen, verbose
        self.live = (
            Live(screen, console=console, refresh_per_second=4) if is_live(console) else None
        )
        self.said: set[str] = set()

    def __enter__(self) -> "Display":
        if self.live:
            self.live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    @contextmanager
    def doing(self, activity: str) -> Generator[None, None, None]:
        """Names what takes long while it happens, and in lines only the first time."""
        before, self.screen.activity = self.screen.activity, activity
        if self.live:
            self.live.refresh()
        elif activity not in self.said:
            say(self.console, activity)
            self.said.add(activity)
        try:
            yield
        finally:
            self.screen.activity = before

    def row(
        self,
        step: int,
        stage: str,
        rate: float,
        peers: list[dict[Term, float]],
        losses: Mapping[str, Sequence[float]],
    ) -> None:
        """Shows the metrics of the last steps, and in lines the losses of each network, one a peer."""
        self.screen.step, self.screen.stage, self.screen.peers = step, stage, peers
        if self.live:
            return
        left = clock(self.screen.pace.seconds_left(step, rate))
        texts = [f"{name} {' '.join(map(digits, values))}" for name, values in losses.items()]
        head = f"{stage} {step}/{self.screen.total}  {rate_text(rate)}  {left} left"
        say(self.console, "  ".join((head, *texts)))
        for k, peer in enumerate(peers if self.verbose else ()):
            values = (f"{term.short} {value:.4g}" for term, value in peer.items())
            say(self.console, f"  peer {k}: {', '.join(values)}")

    def validation(self, step: int, psnr: dict[str, float]) -> None:
        self.screen.psnr, self.screen.validated = psnr, step
        say(self.console, f"validation {step}  {scores_text(psnr)}")


def scores_text(psnr: Mapping[str, float]) -> str:
    """Mean PSNR of bicubic and of the peers in their order, short enough for six of them."""
    peers = [decibels(value) for name, value in psnr.items() if name != "bicubic"]
    noun = "peer" if len(peers) == 1 else "peers"
    return f"bicubic {decibels(psnr['bicubic'])}, {noun} {' '.join(peers)} dB"


def decibels(value: float) -> str:
    return "" if isnan(value) else f"{value:.2f}"


def shortened(heading: str) -> str:
    """A heading no wider than the numbers below it."""
    return heading if "\n" in heading or len(heading) <= 7 else f"{heading[:6]}."


def digits(value: float) -> str:
    """Three significant digits, in seven signs but for extremes: 0.0123, 12.3, 1234, 1.23e-5."""
    if not isfinite(value) or value == 0:
        return f"{value:g}"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:#.3g}".rstrip(".") if abs(value) < 999.5 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def rate_text(rate: float) -> str:
    """Steps per second, or seconds per step where those are many."""
    if isnan(rate):
        return ""
    return f"{rate:.3g} steps/s" if rate >= 0.1 else f"{1 / rate:.3g} s/step"


def clock(seconds: float) -> str:
    """Minutes and seconds, hours before them; days of what takes long; nothing known is a dash."""
    if not isfinite(seconds):
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{seconds / 86400:.1f} days"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def until(seconds: float) -> str:
    """The local time in so many seconds."""
    if not isfinite(seconds):
        return "-"
    return time.strftime("%a %H:%M", time.localtime(time.time() + seconds))
